"""`slacktide models` as a person and as a script see it."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from slacktide.models import shipped_models
from slacktide_cli import app
from slacktide_cli.verbs.models import FitsDocument

MINE = """[[models]]
id = "mine"
family = "f"
endpoints = ["/v1/completions"]
backends.sagemaker = { id = "m" }
route = ["sagemaker"]
"""
OFF = '[[models]]\nid = "Qwen/QwQ-32B"\nenabled = false\n'


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["slacktide", "models", *arguments])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def test_the_shipped_table_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch) == 0
    shown = capsys.readouterr().out
    assert [model.id for model in shipped_models().rows if model.id not in shown] == []
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert details(shown, "smollm2") == "135M, 8,192 tokens; chat, completions; sagemaker x2"
    assert details(shown, "QwQ-32B").endswith("together x2, sagemaker")


def details(shown: str, model: str) -> str:
    """The line below a model's name."""
    lines = shown.splitlines()
    (place,) = [number for number, line in enumerate(lines) if model in line]
    return lines[place + 1].strip()


def test_json_has_every_field_of_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == shipped_models().ids
    assert rows[0]["backends"] == {"sagemaker": {"id": rows[0]["id"], "batchable": True, "terms": [], "speeds": {}}}


def test_a_file_is_laid_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models.toml"
    file.write_text(OFF)
    assert call(monkeypatch, "--file", str(file)) == 0
    assert details(capsys.readouterr().out, "QwQ-32B").endswith("switched off")


def test_what_fits_is_shown_with_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "models.toml"
    file.write_text(MINE)
    assert call(monkeypatch, "--fit", "--file", str(file)) == 0
    shown = capsys.readouterr().out
    blocks = dict(zip([*shipped_models().ids, "mine"], split_blocks(shown), strict=True))
    assert "ml.g6.xlarge: L4, $1.127/h as of 2026-09-27" in blocks["HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert "ml.p3.2xlarge: V100, price unknown" in blocks["HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert "ml.g6e.12xlarge: 4 L40S, $13.12/h" in blocks["meta-llama/Llama-3.3-70B-Instruct-Turbo"]
    assert "fits no instance type, so there is no fallback" in blocks["deepseek-ai/DeepSeek-R1"]
    assert "not known" in blocks["mine"]


def test_json_has_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models.toml"
    file.write_text(MINE)
    assert call(monkeypatch, "--fit", "--json", "--file", str(file)) == 0
    rows = msgspec.json.decode(capsys.readouterr().out, type=list[FitsDocument])
    fits = {row.model: row.fits for row in rows}
    assert list(fits) == [*shipped_models().ids, "mine"]
    assert (fits["mine"], fits["deepseek-ai/DeepSeek-R1"]) == (None, [])
    (four,) = [fit for fit in fits["meta-llama/Llama-3.3-70B-Instruct-Turbo"] or [] if fit.instance == "ml.g6e.12xlarge"]
    assert (four.gpu, four.gpus, str(four.usd_per_hour), str(four.as_of)) == ("L40S", 4, "13.12", "2026-09-27")
    assert four.cache_tokens > 0


def split_blocks(shown: str) -> list[str]:
    """The lines of each model: its name stands at the margin, all else is indented."""
    blocks: list[str] = []
    for line in shown.splitlines():
        if line.startswith(" "):
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    return blocks


@pytest.mark.parametrize(
    ("text", "told"),
    [("[[models]]\nid = 'new'\nfamly = 'f'\n", "row 1 (new)"), ("nonsense", "not well-formed"), (None, "cannot be read")],
)
def test_a_wrong_file_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str | None, told: str
) -> None:
    file = tmp_path / "models.toml"
    if text is not None:
        file.write_text(text)
    assert call(monkeypatch, "--file", str(file)) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
