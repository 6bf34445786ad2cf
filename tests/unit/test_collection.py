"""What a backend wrote, joined to the lines of a job: the first success of a line wins, nothing foreign gets in."""

import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from fakes.backend import Request, result, succeed
from fakes.metrics import read_metrics
from fakes.s3 import FakeS3
from fakes.world import SETTINGS, Outcome, World, force_small_steps, jsonl, request
from slacktide import collection
from slacktide.backends.protocol import stored_results
from slacktide.batch import Job, Summary
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.codes import Code
from slacktide.collection import Collection
from slacktide.reading import AHEAD
from slacktide.results import MESSAGES

BATCH = "batch_" + "a" * 26
OTHER = "batch_" + "b" * 26
LINES = 4


def job(endpoint: str = "/v1/completions") -> Job:
    fields: dict[str, Any] = {"backend": "sagemaker", "model": "m", "upstream_model": "u", "endpoint": endpoint}
    return Job(BATCH, "r1-j1", 1, group="g1", first=1, last=LINES, total=LINES, created_at=0, **fields)


def collect(world: World, *lines: bytes, **of_job: str) -> tuple[dict[int, Any], Summary, set[int]]:
    """Collect one object of these lines; answers what was found by line, the summary, the settled lines."""
    world.bucket.write("raw/1.out", b"".join(line + b"\n" for line in lines))
    collecting = Collection(world.bucket, job(**of_job), Bitmap.full(LINES))
    objects = iter([stored_results(world.bucket, "raw/1.out", 1, 1, LINES)])
    assert collecting.run(objects, after=0, is_late=lambda: False) is None
    summary, settled = collecting.finish()
    found = [json.loads(text) for part in summary.parts for text in world.bucket.lines(part.key)]
    assert [entry["line"] for entry in found] == sorted(entry["line"] for entry in found)
    return {entry["line"]: entry for entry in found}, summary, set(settled)


def collect_in_parts(world: World, *lines: bytes) -> tuple[Summary, set[int], list[list[tuple[int, str | None]]]]:
    """Collect one object whose results make parts; answers the summary, the settled lines, and each part's lines and codes."""
    world.bucket.write("raw/1.out", b"".join(text + b"\n" for text in lines))
    collecting = Collection(world.bucket, job(), Bitmap.full(LINES))
    collecting.run(iter([stored_results(world.bucket, "raw/1.out", 1, 1, LINES)]), after=0, is_late=lambda: False)
    summary, settled = collecting.finish()
    parts = [[json.loads(text) for text in world.bucket.lines(part.key)] for part in summary.parts]
    return summary, set(settled), [[(it["line"], (it["error"] or {}).get("code")) for it in part] for part in parts]


def line(number: int, status: int = 200, body: object = None) -> bytes:
    return result(f"{BATCH}.1.{number}", status, {"choices": []} if body is None else body)


def failed(number: int, error: object) -> bytes:
    return json.dumps({"custom_id": f"{BATCH}.1.{number}", "response": None, "error": error}).encode()


def test_results_come_in_any_order(world: World) -> None:
    found, summary, settled = collect(world, *(line(number) for number in (3, 1, 4, 2)))
    assert set(found) == settled == {1, 2, 3, 4}
    assert (summary.completed, summary.missing) == (4, 0)


def test_a_missing_line_is_counted_and_free_again(world: World) -> None:
    _, summary, settled = collect(world, line(1), line(4))
    assert (summary.completed, summary.missing, settled) == (2, 2, {1, 4})


def test_nothing_at_all(world: World) -> None:
    found, summary, settled = collect(world)
    assert (found, summary.parts, summary.missing, settled) == ({}, [], 4, set())


def test_the_first_success_wins(world: World) -> None:
    found, summary, settled = collect(
        world, line(1, 503), line(1, body={"n": 1}), line(1, body={"n": 2}), line(1, 400), line(2, 400), line(2, 503)
    )
    assert found[1]["error"] is None
    assert found[1]["response"] == {"status_code": 200, "request_id": f"{BATCH}.1.1", "body": {"n": 1}}
    assert found[2]["error"]["code"] == "backend_rejected"
    assert (summary.repeated, summary.completed, summary.rejected) == (4, 1, 1)
    assert settled == {1, 2}


def test_shuffled_results_make_sorted_parts_of_bounded_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "PART_LINES", 2)
    summary, settled, parts = collect_in_parts(world, line(4), line(1), line(3), line(2))
    assert parts == [[(1, None), (4, None)], [(2, None), (3, None)]]
    assert [(part.first, part.last) for part in summary.parts] == [(1, 4), (2, 3)]
    assert (summary.completed, settled) == (4, {1, 2, 3, 4})


def test_parts_are_bounded_by_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "PART_BYTES", 1)
    _, _, parts = collect_in_parts(world, line(2), line(1))
    assert parts == [[(2, None)], [(1, None)]]


@pytest.mark.parametrize("size", [1, 2, 10])
def test_the_first_success_wins_over_parts_too(world: World, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(collection, "PART_LINES", size)
    told = [line(1, 503), line(2, 400), line(1), line(1, body={"n": 2}), line(3, 503), line(2), line(1, 503), line(3, 400)]
    summary, settled, parts = collect_in_parts(world, *told)
    kept = [entry for part in parts for entry in part]
    assert [code for number, code in kept if number == 1][-1] is None
    assert [code for number, code in kept if number == 2][-1] is None
    assert [code for number, code in kept if number == 3] == ["backend_error"]
    assert (summary.completed, summary.rejected, summary.transient, summary.repeated, summary.missing) == (2, 0, 1, 5, 1)
    assert settled == {1, 2}


class Sink(FakeS3):
    """Keeps no part, so that what it holds is no memory of a collection."""

    def put_object(self, *, Body: bytes = b"", **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        return {"ETag": str(len(Body))}


def test_memory_is_bounded_though_one_shuffled_object_holds_a_whole_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "PART_BYTES", 1_000_000)
    total = 4_000
    world = World()
    numbers = random.Random(1).sample(range(1, total + 1), total)  # noqa: S311 - an order, no secret
    world.bucket.write("raw", b"\n".join(line(number, body={"choices": ["x" * 20_000]}) for number in numbers))
    sink = Sink(world.wire, world.clock, world.s3.objects)
    collecting = Collection(Bucket(sink, "b"), job(), Bitmap.full(total))
    tracemalloc.start()
    collecting.run(iter([stored_results(world.bucket, "raw", 1, 1, total)]), after=0, is_late=lambda: False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    summary, _ = collecting.finish()
    assert summary.completed == total
    assert len(summary.parts) >= 80, "80 MB in parts of 1 MB"
    # A part, the same once more as it is written, and the ranges that are read ahead, twice, since the fake cuts them out of
    # a whole: not the 80 MB of all results.
    assert peak < 3 * collection.PART_BYTES + 2 * (AHEAD.ahead + 1) * AHEAD.range_bytes


FOREIGN = [
    b"nonsense",
    b"",
    b"[]",
    b"[" * 50_000,
    line(1)[:-9],
    json.dumps({"custom_id": None, "response": None, "error": {"code": "backend_rejected"}}).encode(),
    result("req1", 200, {}),
    result(f"{OTHER}.1.1", 200, {}),
    result(f"{BATCH}.2.1", 200, {}),
    result(f"{BATCH}.1.5", 200, {}),
    result(f"{BATCH}.1.0", 200, {}),
    line(1).replace(b"200", b'"ok"'),
    line(1).replace(b"choices", b"choi\xffces"),
    json.dumps({"custom_id": f"{BATCH}.1.1", "response": {"status_code": 200}}).encode(),
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_is_foreign_or_malformed_is_dropped_and_counted(world: World, foreign: bytes) -> None:
    found, summary, _ = collect(world, foreign, line(2))
    assert set(found) == {2}
    assert (summary.foreign, summary.missing) == (1, 3)


def test_a_line_outside_of_its_object_is_foreign(world: World) -> None:
    world.bucket.write("raw/1.out", line(3) + b"\n")
    collecting = Collection(world.bucket, job(), Bitmap.full(LINES))
    collecting.run(iter([stored_results(world.bucket, "raw/1.out", 1, 1, 2)]), after=0, is_late=lambda: False)
    assert collecting.finish()[0].foreign == 1


CASES: list[tuple[str, bytes, str | None, str | None]] = [
    ("success", line(1), None, None),
    ("another 2xx", line(1, 201), None, None),
    ("body.error null", line(1, body={"error": None}), None, None),
    ("200 with body.error", line(1, body={"error": {"message": "why"}}), "backend_error", "why"),
    ("200 with an error that is text", line(1, body={"error": "why"}), "backend_error", "why"),
    ("null body", line(1).replace(b'{"choices": []}', b"null"), "backend_error", "The backend's answer has no body."),
    ("a body that is text", line(1, body="x"), "backend_error", "The backend's answer has no body."),
    ("status 0", line(1, 0), "backend_error", None),
    ("400", line(1, 400, {"error": {"message": "why"}}), "backend_rejected", "why"),
    ("400 without words", line(1, 400, []), "backend_rejected", None),
    ("429", line(1, 429, {"error": {"message": "why"}}), "backend_error", "why"),
    ("500", line(1, 500), "backend_error", None),
    ("lost", failed(1, {"code": "backend_error", "message": "why"}), "backend_error", "why"),
    ("refused", failed(1, {"code": "backend_rejected", "message": "why"}), "backend_rejected", "why"),
    ("a code that is not ours", failed(1, {"code": "whatever"}), "backend_error", None),
    ("an error that is text", failed(1, "why"), "backend_error", "why"),
    ("neither", failed(1, None), "backend_error", None),
    ("odd usage", line(1, body={"usage": {"prompt_tokens": None, "completion_tokens": "x"}}), None, None),
    ("usage that is a list", line(1, body={"usage": []}), None, None),
]


@pytest.mark.parametrize(("text", "code", "error"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_how_a_line_went(world: World, text: bytes, code: str | None, error: str | None) -> None:
    found, summary, settled = collect(world, text)
    told = None if code is None else {"code": code, "message": error or MESSAGES[Code(code)]}
    assert found[1]["error"] == told
    assert settled == ({1} if code in {None, "backend_rejected"} else set())
    assert (summary.completed, summary.rejected, summary.transient) == (
        code is None,
        code == "backend_rejected",
        code == "backend_error",
    )


def test_tokens_are_summed(world: World) -> None:
    usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}
    _, summary, _ = collect(world, line(1, body=usage), line(2, body=usage), line(3, 500, usage))
    assert (summary.prompt_tokens, summary.completion_tokens) == (10, 6)


@pytest.mark.parametrize(
    ("endpoint", "usage", "unmetered"),
    [
        ("/v1/completions", {"prompt_tokens": 5, "completion_tokens": 0}, 0),
        ("/v1/completions", {"prompt_tokens": 5}, 1),
        ("/v1/chat/completions", {"prompt_tokens": 5, "completion_tokens": None}, 1),
        ("/v1/chat/completions", {"completion_tokens": 5}, 1),
        ("/v1/embeddings", {"prompt_tokens": 5, "total_tokens": 5}, 0),
        ("/v1/embeddings", {"total_tokens": 5}, 1),
    ],
)
def test_tokens_that_are_not_told_are_not_taken_for_none(
    world: World, endpoint: str, usage: dict[str, Any], unmetered: int
) -> None:
    _, summary, _ = collect(world, line(1, body={"usage": usage}), endpoint=endpoint)
    assert (summary.completed, summary.unmetered) == (1, unmetered)


FILE = jsonl(*(request(f"r{number}") for number in range(1, 10)))


def run(monkeypatch: pytest.MonkeyPatch, *, hurry: bool, live: Callable[[World], None] = World.run) -> Outcome:
    world = World(hurry=hurry)

    def answer(told: Request, round_number: int) -> list[bytes]:
        number = int(told["custom_id"].rpartition(".")[2])
        if round_number == 1 and number % 3 == 0:
            return [b"garbage"]
        return succeed(told, round_number) * (1 + number % 2)

    world.backend.answer = answer
    with monkeypatch.context() as patch:
        if hurry:
            force_small_steps(patch)
        assert world.deliver(world.drop(FILE))
        live(world)
        return world.outcome()


def test_many_invocations_collect_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = run(monkeypatch, hurry=False), run(monkeypatch, hurry=True)
    names = ("completed", "rejected", "transient", "missing", "foreign", "repeated", "prompt_tokens", "completion_tokens")
    for here, there in zip(whole.receipt["jobs"], pieces.receipt["jobs"], strict=True):
        assert {name: here[name] for name in names} == {name: there[name] for name in names}
    assert whole.receipt["jobs"][0] | {"foreign": 3, "missing": 3, "repeated": 3} == whole.receipt["jobs"][0]
    assert [entry["line"] for entry in pieces.output] == list(range(1, 10))


def test_lines_of_no_request_are_counted_where_alarms_are_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run(monkeypatch, hurry=False)
    assert read_metrics(capsys.readouterr().out) == [("ForeignLines", 3, SETTINGS.stack)]
    assert [record.levelname for record in caplog.records if record.message == "lines of no request"] == ["WARNING"]
    assert "garbage" not in caplog.text
