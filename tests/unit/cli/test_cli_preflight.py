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
HEAD = b'{"custom_id": "q", "body": {"model": "smollm2", "messages": [{"role": "user", "content": "'
DEEP = b'{"custom_id": "deep", "body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
TWICE = jsonl(request("a"), request("b"), request("a"), b"nonsense", request("b"), request("b", n=0), request("c"))

CORPUS: dict[str, bytes] = {
    "demo": (EXAMPLES / "demo.jsonl").read_bytes(),
    "marketing": (EXAMPLES / "marketing.jsonl").read_bytes(),
    "one good line": jsonl(request("a")),
    "empty": b"",
    "blank": b"\n\r\n  \n",
    "gzip": b"\x1f\x8b\x08\x00",
    "zip": b"PK\x03\x04",
    "byte order mark and CRLF": b"\xef\xbb\xbf" + jsonl(request("a"), request("b")).replace(b"\n", b"\r\n"),
    "no last line feed": jsonl(request("a"), request("b"))[:-1],
    "blank lines between": jsonl(request("a"), b"", b" ", request("b")) + b"\n\n",
    "only nonsense": b"{\n[]\nnull\n7\n",
    "bytes": HEAD + b'\xff"}]}}\n' + HEAD + b'\x00"}]}}\n' + jsonl(request("a")),
    "cut off": jsonl(request("a"))[:40] + b"\n" + HEAD + b"\n" + jsonl(request("b")),
    "numbers": jsonl(request("a"), b'{"custom_id": "n", "body": {"model": "smollm2", "x": NaN}}', request("b", temperature=3)),
    "names twice": jsonl(b'{"custom_id": "n", "custom_id": "m", "body": {}}', request("a")),
    "ids": jsonl(request(""), request("x" * 65), request("\x07"), request("a") | {"custom_id": 7}, {"body": {}}, request("ok")),
    "repeated ids": TWICE,
    "a repeated id behind a bad line": jsonl(request("a", stream=True), request("a"), request("z")),
    "endpoints": jsonl(
        request("a") | {"url": "/v1/nothing"},
        request("b") | {"url": "/v1/embeddings"},
        request("c") | {"method": "GET"},
        {"custom_id": "d", "url": "/v1/completions", "body": {"model": "smollm2", "prompt": "x"}},
        request("e"),
    ),
    "deep": DEEP + b"\n" + jsonl(request("a")),
    "surrogates": HEAD + b'\\ud800"}]}}\n' + jsonl(request("a")),
    "a long line": HEAD + b"x" * 10_000_001 + b'"}]}}\n' + jsonl(request("a")),
}


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
        (line["line"], line["error"].get("column"), line["error"]["code"], line["error"]["message"])
        for line in outcome.errors
        if line["error"]["code"] not in unrun
    ]
    faults = [finding.fault for finding in report.findings]
    assert [(fault.line, fault.column, fault.code, fault.message) for fault in faults] == expected
    assert (report.total, report.invalid) == (outcome.batch.total, outcome.batch.invalid)
    assert report.failure == outcome.batch.failure
    assert sum(report.codes.values()) == report.invalid
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


@pytest.mark.parametrize("name", ["demo", "endpoints", "repeated ids", "only nonsense", "one good line"])
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
    assert [(finding.fault.line, finding.fault.code) for finding in report.findings] == [
        (3, "duplicate_custom_id"),
        (4, "invalid_json_line"),
    ]
    assert report.codes == {"duplicate_custom_id": 2, "invalid_json_line": 1, "invalid_request": 1}
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
