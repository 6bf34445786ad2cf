"""`slacktide estimate` as a person and as a script see it."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.world import jsonl, request
from slacktide_cli import app
from slacktide_cli.verbs.estimate import EstimateDocument
from slacktide_cli.vocabularies import _load, find_vocabulary

HALF = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
ASKED = "the secret of the prompt"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["slacktide", "estimate", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    messages = [{"role": "user", "content": ASKED}]
    path.write_bytes(jsonl(*(request(f"r{number}", model=HALF, messages=messages, max_tokens=100) for number in range(3))))
    return path


def test_a_person_sees_tokens_dollars_and_what_is_not_known(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, str(file)) == 0
    told = capsys.readouterr().out
    assert f"{HALF} /v1/chat/completions: 3 requests" in told
    assert "tokens: prompts counted 120; answers at most 300" in told
    assert "together: at most $0.000218, of which prompts $0.000062, 50% off real time (as of 2026-11-25)" in told
    assert "its last day there is 2026-10-22" in told
    assert "sagemaker: not known on ml.g6.xlarge" in told
    assert "In all, in real time: at most $0.000437" in told
    assert "How long it takes is not known" in told
    assert ASKED not in told


def test_a_script_gets_one_document(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, str(file), "--json", "--compare") == 0
    told = capsys.readouterr().out
    document = msgspec.json.decode(told, type=EstimateDocument)
    assert (document.estimate.total, document.estimate.groups[0].tokens.prompt) == (3, 120)
    assert document.estimate.alternatives
    assert ASKED not in told


def test_other_models_are_shown_when_asked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, str(file), "--compare")
    assert "  meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo at together: at most $0.00" in capsys.readouterr().out


def test_own_rows_and_instances_count(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models.toml"
    models.write_text(
        f'[[models]]\nid = "{HALF}"\nroute = ["sagemaker"]\n'
        f'backends.sagemaker = {{ id = "m", speeds = {{ "ml.g6e.12xlarge" = 900 }} }}\n'
    )
    assert call(monkeypatch, str(file), "--models", str(models), "--instance-type", "ml.g6e.12xlarge") == 0
    told = capsys.readouterr().out
    assert "together" not in told
    assert "sagemaker: at most $2.19 on ml.g6e.12xlarge, the start included" in told  # 601 s at $13.12 an hour


def test_bad_lines_are_counted_and_told_by_the_exit_code(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(file.read_bytes() + b"nonsense\n")
    assert call(monkeypatch, str(file)) == 1
    assert "1 invalid_json_line" in capsys.readouterr().out
    assert call(monkeypatch, str(file), "--on-invalid", "reject") == 1
    assert "Nothing of it would run: invalid_lines" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "told"), [("nowhere.jsonl", "cannot be read"), ("a.txt", "ends in .jsonl")])
def test_what_cannot_be_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    assert call(monkeypatch, str(tmp_path / name)) == 2
    assert told in capsys.readouterr().err


def test_without_splintr_prompts_are_bounded(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "splintr", None)
    _load.cache_clear()
    try:
        assert call(monkeypatch, str(file)) == 0
    finally:
        _load.cache_clear()
    assert "tokens: prompts at most " in capsys.readouterr().out


def test_a_vocabulary_that_there_is_not() -> None:
    row: dict[str, Any] = {"id": "m", "family": "f", "endpoints": ["/v1/completions"], "route": ["sagemaker"], "backends": {}}
    from slacktide.models import Model  # noqa: PLC0415

    assert find_vocabulary(msgspec.convert(row | {"tokenizer": {"vocabulary": "nobody's"}}, Model)) is None
    assert find_vocabulary(msgspec.convert(row, Model)) is None


def test_the_documented_document_is_one() -> None:
    example = PAGE.partition("```json estimate\n")[2].partition("```")[0]
    decoded = msgspec.json.decode(example, type=EstimateDocument)
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(example), "no field is missing, and none is made up"
