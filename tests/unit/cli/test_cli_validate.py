"""`slacktide validate` as a person and as a script call it: output, exit code, and no AWS."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from fakes.world import jsonl, request
from slacktide.batch import Options
from slacktide.models import shipped_models
from slacktide_cli import app
from slacktide_cli.reports import Document
from slacktide_cli.verbs import validate as verb

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
GOOD = jsonl(request("a"), request("b"))
BAD = jsonl(request("a"), b"nonsense", request("a"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the working directory, and neither credentials nor a bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION", "SLACKTIDE_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    (tmp_path / "bad.jsonl").write_bytes(BAD)
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "packed.jsonl.gz").write_bytes(b"\x1f\x8b\x08")
    (tmp_path / "notes.txt").write_bytes(GOOD)
    (tmp_path / "folder.jsonl").mkdir()
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["slacktide", "validate", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = call(monkeypatch, *arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (["good.jsonl"], 0),
        (["good.jsonl", "good.jsonl"], 0),
        (["bad.jsonl"], 1),
        (["bad.jsonl", "good.jsonl"], 1),
        (["empty.jsonl"], 1),
        (["packed.jsonl.gz"], 1),
        (["nowhere.jsonl"], 2),
        (["nowhere.jsonl", "bad.jsonl"], 2),
        (["folder.jsonl"], 2),
        (["notes.txt"], 2),
        ([], 2),
        (["-", "-"], 2),
        (["good.jsonl", "--endpoint", "/v1/nothing"], 2),
        (["good.jsonl", "--max-invalid-ratio", "2"], 2),
        (["good.jsonl", "--on-invalid", "perhaps"], 2),
        (["packed.jsonl.gz", "--model", "smollm2"], 2),
        (["good.jsonl", "--endpoint", "/v1/completions"], 1),
        (["bad.jsonl", "--on-invalid", "reject"], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst_file(monkeypatch: pytest.MonkeyPatch, files: list[str], code: int) -> None:
    assert call(monkeypatch, *files) == code


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("nowhere.jsonl", "nowhere.jsonl cannot be read: No such file"),
        ("folder.jsonl", "folder.jsonl cannot be read: Is a directory"),
        ("notes.txt", "a dropped file ends in .jsonl, .jsonl.gz, .jsonl.zst. Rename it"),
    ],
)
def test_an_unreadable_file_is_said_and_the_others_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str, complaint: str
) -> None:
    call(monkeypatch, file, "good.jsonl")
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert printed.out.startswith("good.jsonl: 2 lines, 2 good, 0 bad\n")


def test_the_text_has_faults_and_no_control_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "bad.jsonl") == 1
    printed = capsys.readouterr().out
    assert "        nonsense\n        ^\n" in printed
    assert "3  duplicate_custom_id  custom_id of line 3 is that of line 1 already." in printed
    assert "\x1b" not in printed


def test_a_script_gets_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = document(monkeypatch, capsys, "bad.jsonl", "good.jsonl", "nowhere.jsonl", "--faults", "1")
    assert code == 2
    assert (told["v"], told["ok"]) == (1, False)
    bad, good, nowhere = told["files"]
    assert (bad["invalid"], [fault["line"] for fault in bad["faults"]]) == (2, [2])
    assert (good["file"], good["runs"], good["failure"]) == ("good.jsonl", 2, None)
    assert "cannot be read" in nowhere["unreadable"]
    assert document(monkeypatch, capsys, "good.jsonl")[1]["ok"] is True


def test_the_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("bad.jsonl").open() as content:
        monkeypatch.setattr(sys, "stdin", content)
        code, told = document(monkeypatch, capsys, "-")
    assert code == 1
    assert (told["files"][0]["file"], told["files"][0]["total"]) == ("-", 3)


def test_another_model_is_checked_as_run_would_send_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("hosted.jsonl").write_bytes(
        jsonl(request("a", model="unknown"), b'{"custom_id": "b", "body": {"model": 1, "model": 2}}')
    )
    assert document(monkeypatch, capsys, "hosted.jsonl")[1]["files"][0]["codes"]["model_not_found"] == 1
    (file,) = document(monkeypatch, capsys, "hosted.jsonl", "--model", "smollm2")[1]["files"]
    assert file["valid"] == 1
    assert file["codes"] == {"invalid_json_line": 1, "invalid_request": 1}, "what the user wrote is not mended on the way"


@pytest.mark.usefixtures("no_sockets")
def test_neither_the_network_nor_aws_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a client of AWS is made")

    monkeypatch.setattr("boto3.client", refuse)
    monkeypatch.setattr("boto3.Session", refuse)
    assert call(monkeypatch, "good.jsonl") == 0


@pytest.mark.parametrize("model", [None, "smollm2"])
def test_a_big_file_has_a_bar_on_a_terminal_only(folder: Path, monkeypatch: pytest.MonkeyPatch, model: str | None) -> None:
    monkeypatch.setattr(verb, "_BIG", 100)
    monkeypatch.setattr(verb, "_STEP", 50)
    for is_terminal in (True, False):
        shown = io.StringIO()
        notices = Console(file=shown, force_terminal=is_terminal, width=120)
        report = verb.read_report(
            str(folder / "good.jsonl"), model=model, table=shipped_models(), options=Options(), most=1, notices=notices
        )
        assert report.is_clean
        assert (f"{len(GOOD)}/{len(GOOD)} bytes" in shown.getvalue()) is is_terminal


def test_the_documented_document_is_one() -> None:
    (example,) = re.findall(r"^```json validate\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    document = json.loads(example)
    decoded = msgspec.json.decode(example, type=Document)
    assert json.loads(msgspec.json.encode(decoded)) == document, "no field is missing, and none is made up"
    (file,) = document["files"]
    assert file["valid"] + file["invalid"] == file["total"]
    table = PAGE.partition("### The document of validate")[2].partition("\n## ")[0]
    assert [name for name in (*document, *file) if f"| `{name}` |" not in table] == []


def test_a_table_of_ones_own_is_laid_over_the_shipped_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "mine.jsonl").write_bytes(jsonl(request("a", model="mine"), request("b")))
    (folder / "models.toml").write_text(
        '[[models]]\nid = "me/mine"\naliases = ["mine"]\nfamily = "mine"\nendpoints = ["/v1/chat/completions"]\n'
        'backends.together = { id = "me/mine", batchable = true }\nroute = ["together"]\n'
    )
    assert document(monkeypatch, capsys, "mine.jsonl")[1]["files"][0]["codes"] == {"model_not_found": 1}
    code, found = document(monkeypatch, capsys, "mine.jsonl", "--models", "models.toml")
    assert (code, [group["model"] for group in found["files"][0]["groups"]]) == (
        0,
        ["me/mine", "HuggingFaceTB/SmolLM2-135M-Instruct"],
    )


@pytest.mark.parametrize("content", [None, "models = 1"])
def test_a_table_that_cannot_be_followed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, content: str | None
) -> None:
    if content:
        (folder / "models.toml").write_text(content)
    assert call(monkeypatch, "good.jsonl", "--models", "models.toml") == 2
    assert "models.toml cannot be" in capsys.readouterr().err
