"""What a backend wrote, joined to the lines of a job: the first success of a line wins, nothing foreign gets in."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fakes.backend import Request, result, succeed
from fakes.world import Outcome, World, force_small_steps, jsonl, request
from slacktide.backends.protocol import ResultObject
from slacktide.batch import Job, Summary
from slacktide.bitmap import Bitmap
from slacktide.collection import Collected, Collection

BATCH = "batch_" + "a" * 26
OTHER = "batch_" + "b" * 26
LINES = 4


def job() -> Job:
    fields: dict[str, Any] = {"backend": "sagemaker", "model": "m", "upstream_model": "u", "endpoint": "/v1/completions"}
    return Job(BATCH, "r1-j1", 1, group="g1", first=1, last=LINES, total=LINES, created_at=0, **fields)


def collect(world: World, *lines: bytes) -> tuple[dict[int, Collected], Summary, set[int]]:
    """Collect one object of these lines; answers what was found by line, the summary, the settled lines."""
    world.bucket.write("raw/1.out", b"".join(line + b"\n" for line in lines))
    collection = Collection(world.bucket, job(), Bitmap.full(LINES))
    objects = iter([ResultObject("raw/1.out", 1, 1, LINES)])
    assert collection.run(objects, after=0, is_late=lambda: False) is None
    summary, settled = collection.finish()
    texts = [text for part in summary.parts for text in world.bucket.lines(part.key)]
    found = [Collected(**json.loads(text)) for text in texts]
    assert [entry.line for entry in found] == sorted(entry.line for entry in found)
    return {entry.line: entry for entry in found}, summary, set(settled)


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
    assert found[1].code is None
    assert found[1].response == {"status_code": 200, "body": {"n": 1}, "request_id": "upstream-secret-id"}
    assert found[2].code == "backend_rejected"
    assert (summary.repeated, summary.completed, summary.rejected) == (4, 1, 1)
    assert settled == {1, 2}


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
    collection = Collection(world.bucket, job(), Bitmap.full(LINES))
    collection.run(iter([ResultObject("raw/1.out", 1, 1, 2)]), after=0, is_late=lambda: False)
    assert collection.finish()[0].foreign == 1


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
    assert (found[1].code, found[1].error) == (code, error)
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
