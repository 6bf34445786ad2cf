"""The command line finds in a file what the pipeline finds, in flat memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.world import World, jsonl, request
from slacktide.batch import Failure, Options
from slacktide.models import Model, ModelTable, shipped_models
from slacktide.options import read_options
from slacktide_cli.preflight import Report, examine

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
MODELS = shipped_models()
TWICE = jsonl(request("a"), request("b"), request("a"), b"nonsense", request("b"), request("b", n=0), request("c"))

FOLDER = Path(__file__).resolve().parents[2] / "corpus"
CORPUS: dict[str, bytes] = {
    **{path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.jsonl"))},
    **{f"example {path.stem}": path.read_bytes() for path in (EXAMPLES / "demo.jsonl", EXAMPLES / "marketing.jsonl")},
    "one good line": jsonl(request("a")),
    "repeated ids": TWICE,
}
WITH_OPTIONS = ["example demo", "endpoints", "repeated ids", "not-json", "one good line"]


def blocks_of(content: bytes, size: int = 1_000) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def look(content: bytes, *, name: str = "a.jsonl", most: int = 1_000, options: Options | None = None) -> Report:
    return examine(blocks_of(content), name=name, models=MODELS, options=options or Options(), most=most)


def agree(world: World, content: bytes, name: str = "a.jsonl", **metadata: str) -> None:
    """Run the file through the whole pipeline, and hold the report to what it wrote."""
    options = read_options({key.replace("_", "-"): value for key, value in metadata.items()}, world.settings, 0)
    assert not isinstance(options, Failure)
    report = look(content, name=name, options=options)
    outcome = world.process(content, name, **metadata)
    unrun = {"batch_failed"} if report.failure else set[str]()
    expected = [
        (line["line"], problem.get("column"), problem["code"], problem.get("param"), problem["message"])
        for line in outcome.errors
        for problem in (line["error"], *line["error"].get("others", []))
        if problem["code"] not in unrun
    ]
    found = [(finding.line, finding.problem) for finding in report.findings]
    assert [(line, told.column, told.code, told.param, told.message) for line, told in found] == expected
    assert (report.total, report.invalid) == (outcome.batch.total, outcome.batch.invalid)
    assert report.failure == outcome.batch.failure
    assert len({line for line, _ in found}) == report.invalid
    assert max(report.codes.values(), default=0) <= report.invalid
    assert sum(group.lines for group in report.groups) == report.total - report.invalid
    jobs = [job for job in world.records.jobs(outcome.batch.batch_id) if job.round == 1]
    if report.failure is None:
        assert [(job.model, job.endpoint, job.total) for job in jobs] == [
            (group.model, group.endpoint, group.lines) for group in report.groups
        ]
    else:
        assert jobs == []


@pytest.mark.parametrize("name", CORPUS)
def test_the_report_is_what_the_pipeline_writes(world: World, name: str) -> None:
    agree(world, CORPUS[name])


@pytest.mark.parametrize("name", WITH_OPTIONS)
@pytest.mark.parametrize(
    "metadata",
    [
        {"on_invalid": "reject"},
        {"max_invalid_ratio": "0.15"},
        {"max_invalid_ratio": "0.149"},
        {"max_invalid_ratio": "0"},
        {"endpoint": "/v1/completions"},
    ],
    ids=lambda metadata: "-".join(metadata.values()),
)
def test_the_options_decide_as_in_the_pipeline(world: World, name: str, metadata: dict[str, str]) -> None:
    agree(world, CORPUS[name], **metadata)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\x00", b""])
def test_a_compressed_file_is_refused_as_in_the_pipeline(world: World, name: str, content: bytes) -> None:
    agree(world, content, name)


def test_the_first_faults_are_kept_by_line_and_all_are_counted() -> None:
    report = look(TWICE, most=2)
    assert [(finding.line, finding.problem.code) for finding in report.findings] == [
        (3, "duplicate_custom_id"),
        (4, "invalid_json_line"),
    ]
    assert report.codes == {"duplicate_custom_id": 3, "invalid_json_line": 1, "invalid_request": 1}
    assert look(TWICE, most=0).findings == []


def test_a_model_that_no_backend_runs_in_batches_is_found_without_a_stack() -> None:
    row: dict[str, Any] = {"id": "m", "family": "f", "endpoints": ["/v1/chat/completions"], "route": ["sagemaker"]}
    row["backends"] = {"sagemaker": {"id": "m", "batchable": False}}
    model = msgspec.convert(row, Model)
    table = ModelTable({"m": model})
    report = examine([jsonl(request("a", model="m"))], name="a.jsonl", models=table, options=Options(), most=9)
    assert report.codes == {"no_backend_for_model": 1}


def test_memory_is_flat_but_for_twelve_bytes_and_two_bits_a_line() -> None:
    line = jsonl(request("x" * 8, "p" * 200)).replace(b"xxxxxxxx", b"%08d")
    bad = b'{"custom_id": "%08d"\n'

    def peak(lines: int) -> int:
        tracemalloc.start()
        report = examine(
            ((bad if number % 2 else line) % number for number in range(lines)),
            name="a.jsonl",
            models=MODELS,
            options=Options(),
            most=10,
        )
        assert report.invalid == lines // 2
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    small, big = 2_000, 22_000
    # Only good lines have an id that can be read. Arrays grow by an eighth, and the suspects of one of 256 buckets come on top.
    assert (peak(big) - peak(small)) / (big - small) < 24
