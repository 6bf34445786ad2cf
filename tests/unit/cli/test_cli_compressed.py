"""Compressed files: the command line says of each what the pipeline says, to the last byte of a damage."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from hashlib import shake_128
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from fakes.world import SETTINGS, World, jsonl, request
from slacktide.batch import Options
from slacktide.compression import Limits, zstd
from slacktide.models import shipped_models
from slacktide_cli import app
from slacktide_cli.batches import check_key
from slacktide_cli.preflight import Report, examine
from slacktide_cli.verbs import validate as verb

GOOD = jsonl(request("a"), request("b"))


def pack_zstd(content: bytes) -> bytes:
    """As zstd(1) does, with a checksum."""
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


LINES = [request(f"r{n}", shake_128(b"%d" % n).hexdigest(1_500)) for n in range(150)]
LONG = jsonl(*LINES[:4], b"nonsense", *LINES[:2], *LINES[4:])  # with a bad line and two repeated ids
PACKERS: dict[str, Callable[[bytes], bytes]] = {"a.jsonl.gz": gzip.compress, "a.jsonl.zst": pack_zstd}
FLIP = 60_000  # a byte within LONG, compressed


def damaged(packed: bytes) -> bytes:
    return packed[:FLIP] + bytes(50) + packed[FLIP + 50 :]


CASES: dict[str, Callable[[Callable[[bytes], bytes]], bytes]] = {
    "good": lambda pack: pack(GOOD),
    "many pieces": lambda pack: b"".join(pack(line) for line in LONG.splitlines(keepends=True)),
    "no last line feed": lambda pack: pack(GOOD[:-1]),
    "long": lambda pack: pack(LONG),
    "cut off": lambda pack: pack(LONG)[:100_001],
    "cut off at once": lambda pack: pack(GOOD)[:9],
    "no check sum": lambda pack: pack(LONG)[:-1],
    "damaged": lambda pack: damaged(pack(LONG)),
    "followed by rubbish": lambda pack: pack(GOOD) + b"rubbish",
    "a bomb": lambda pack: pack(GOOD) + pack(b"x" * 60_000_000),
    "too large": lambda pack: pack(GOOD) + pack(b"x" * 1_000_000) + pack(GOOD),
    "empty": lambda _: b"",
    "nothing inside": lambda pack: pack(b""),
    "plain": lambda _: GOOD,
    "another format inside": lambda pack: pack(b"PK\x03\x04" + GOOD),
    "twice": lambda pack: pack(pack(GOOD)),
}


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1_000, 1 << 18])
def test_the_report_is_what_the_pipeline_writes(name: str, case: str, size: int) -> None:
    content = CASES[case](PACKERS[name])
    megabytes = 1 if case == "too large" else 1_000
    world = World(settings=msgspec.structs.replace(SETTINGS, largest_input_megabytes=megabytes))
    outcome = world.process(content, name)
    blocks = (content[start : start + size] for start in range(0, len(content), size))
    limits = Limits(megabytes * 1_000_000)
    report = examine(blocks, name=name, size=len(content), limits=limits, models=shipped_models(), options=Options(), most=999)
    assert report.failure == outcome.batch.failure
    assert (report.total, report.invalid) == (outcome.batch.total, outcome.batch.invalid)
    expected = {line: code for line, code in outcome.codes.items() if code != "batch_failed"}
    first = {finding.line: str(finding.problem.code) for finding in reversed(report.findings)}  # a line may have several
    assert first == expected
    assert (report.failure is None) is (case in {"good", "many pieces", "no last line feed", "long"})
    assert len(outcome.output) + len(outcome.errors) == report.total


def test_the_cases_are_what_they_are_called() -> None:
    def look(case: str) -> Report:
        content = CASES[case](gzip.compress)
        return examine([content], name="a.jsonl.gz", models=shipped_models(), options=Options(), most=0)

    assert "damaged before byte" in str(look("damaged").failure)
    assert "LargestInputRatio" in str(look("a bomb").failure)
    assert 40 < look("cut off").total < 100
    assert look("no check sum").total == look("long").total


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr(sys, "argv", ["slacktide", "validate", *arguments, "--json"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    (file,) = json.loads(capsys.readouterr().out)["files"]
    return int(ended.value.code or 0), file


@pytest.mark.parametrize("name", PACKERS)
def test_a_compressed_file_is_checked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(PACKERS[name](GOOD))
    code, file = call(monkeypatch, capsys, str(tmp_path / name))
    assert (code, file["runs"], file["failure"]) == (0, 2, None)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_the_standard_input_shows_its_compression(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unnamed").write_bytes(pack(GOOD))
    with (tmp_path / "unnamed").open() as content:
        monkeypatch.setattr(sys, "stdin", content)
        code, file = call(monkeypatch, capsys, "-")
    assert (code, file["runs"]) == (0, 2)


def test_another_model_needs_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unnamed").write_bytes(gzip.compress(GOOD))
    with (tmp_path / "unnamed").open() as content:
        monkeypatch.setattr(sys, "stdin", content)
        code, file = call(monkeypatch, capsys, "-", "--model", "smollm2")
    assert code == 1
    assert "the content is gzip" in file["failure"]["message"]


def test_a_plain_file_above_the_limit_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as file:
        file.truncate(10_000_000_001)  # a hole: no byte of it is on the disk
    notices = Console(file=io.StringIO())
    report = verb.read_report(
        str(tmp_path / "a.jsonl"), model=None, table=shipped_models(), options=Options(), most=1, notices=notices
    )
    assert report.total == 0
    assert "more than 10000000000 bytes" in str(report.failure)


@pytest.mark.parametrize("name", PACKERS)
def test_run_drops_compressed_files_under_their_whole_name(name: str) -> None:
    assert check_key(f"input/{name}") == f"input/{name}"
