"""The results: every line once, in order, with the true SHA-256; the same bytes wherever the step is repeated."""

import hashlib
import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest

from fakes.backend import Request, drop, fail, succeed
from fakes.world import BUCKET, Outcome, World, force_ids, force_small_steps, jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.batch import ObjectRef
from slacktide.codes import CLASSES, Code, CodeClass
from slacktide.results import MESSAGES
from slacktide.statuses import JobState
from slacktide.uploads import Upload

HOSTED = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
FILE = jsonl(*(request(f"r{number}", "words " * number) for number in range(1, 9)), b"nonsense", request("r1"))


def answer(told: Request, round_number: int) -> list[bytes]:
    line = int(told["custom_id"].rpartition(".")[2])
    kinds = {2: fail(400, "refused, said the backend"), 4: drop, 6: fail(503, "busy"), 7: drop if round_number == 1 else succeed}
    return kinds.get(line, succeed)(told, round_number)


def ready(*, hurry: bool = False) -> World:
    """A world whose batch is about to be assembled."""
    world = World(hurry=hurry)
    world.backend.answer = answer
    assert world.deliver(world.drop(FILE))
    while "Assemble" not in next(iter(world.states.executions.values())).history:
        world.states.step()
    return world


def assemble(world: World, cursor: str | None = None) -> Any:
    return world.assembler.assemble(world.batches()[0].batch_id, cursor=cursor, is_late=world.is_late)


def files(world: World) -> tuple[bytes, bytes]:
    results = world.batches()[0].results
    return world.s3.data(results.output), world.s3.data(results.errors)


def test_every_line_is_in_one_file_in_order() -> None:
    world = ready()
    world.run()
    outcome = world.outcome()
    assert [line["line"] for line in outcome.output] == [1, 3, 5, 7, 8]
    assert outcome.codes == {
        2: "backend_rejected",
        4: "missing_result",
        6: "backend_error",
        9: "invalid_json_line",
        10: "duplicate_custom_id",
    }
    assert [line["custom_id"] for line in outcome.errors] == ["r2", "r4", "r6", None, "r1"]
    assert {tuple(line) for line in outcome.output + outcome.errors} == {("id", "custom_id", "line", "response", "error")}
    assert outcome.manifest["counts"] == {"total": 10, "completed": 5, "failed": 5} == outcome.latest["counts"]


def test_an_upstream_error_keeps_its_response_but_no_upstream_id() -> None:
    world = ready()
    world.run()
    refused = world.outcome().errors[0]
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"] == {"error": {"message": "refused, said the backend"}}
    assert refused["error"] == {"code": "backend_rejected", "message": "refused, said the backend"}
    assert b"upstream-secret-id" not in b"".join(files(world))


def test_an_id_tells_the_round(world: World) -> None:
    world = ready()
    world.run()
    outcome = world.outcome()
    rounds = {line["line"]: line["id"].split(".")[1] for line in outcome.output + outcome.errors}
    assert (rounds[1], rounds[6], rounds[7], rounds[9]) == ("1", "2", "2", "0"), "6 failed in both"


def test_the_manifest_is_true_and_last() -> None:
    world = ready()
    world.run()
    outcome = world.outcome()
    for name, text in zip(("output", "errors"), outcome.raw, strict=True):
        told = outcome.manifest[name]
        assert told["sha256"] == hashlib.sha256(text).hexdigest()
        assert (told["bytes"], told["lines"]) == (len(text), text.count(b"\n"))
        assert b"".join(world.bucket.stream(told["key"], told["version_id"])) == text
    versions = {key: max(int(version.version_id[1:]) for version in world.s3.objects[key]) for key in world.s3.keys("output/")}
    manifest = versions.pop(outcome.batch.results.manifest)
    versions.pop("output/a.jsonl/latest.json")
    assert manifest > max(versions.values())


def test_steps_repeated_at_every_cursor_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ready()
    assemble(plain)
    wanted = [text.replace(plain.batches()[0].batch_id.encode(), b"ID") for text in files(plain)]
    world = ready()
    force_small_steps(monkeypatch)
    world.hurry = True
    cursors: list[str | None] = [None]
    for _ in range(10):
        loop, again = (assemble(world, cursors[-1]) for _ in range(2))  # the answer of the first was lost
        assert json.loads(loop.cursor)["line"] == json.loads(again.cursor)["line"]
        cursors.append(again.cursor)
    assert assemble(world, cursors[-1]).done
    assert [text.replace(world.batches()[0].batch_id.encode(), b"ID") for text in files(world)] == wanted


@pytest.mark.parametrize("place", range(10))
def test_a_restart_at_any_cursor_makes_the_same_bytes(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = ready()
    force_small_steps(monkeypatch)
    world.hurry = True
    cursors: list[str | None] = [None]
    for _ in range(9):
        cursors.append(assemble(world, cursors[-1]).cursor)
    world.hurry = False
    loop = assemble(world, cursors[place])
    assert loop.done or assemble(world, loop.cursor).done
    outcome = Outcome.of(world, world.batches()[0].batch_id)
    lines = sorted(line["line"] for line in outcome.output + outcome.errors)
    assert lines == list(range(1, 11))
    for name, text in zip(("output", "errors"), outcome.raw, strict=True):
        assert outcome.manifest[name]["sha256"] == hashlib.sha256(text).hexdigest()


def test_a_pass_over_a_big_file_has_an_invocation_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 GB it takes some 15 minutes. Killed in it, the function would find its upload completed, and begin from the start."""
    world = ready()
    force_small_steps(monkeypatch)
    world.hurry = True
    first = assemble(world)
    world.hurry = False
    digests: list[bool] = []
    digest = Upload._digest
    monkeypatch.setattr(Upload, "_digest", lambda *given: (digests.append(True), digest(*given))[1])
    written = assemble(world, first.cursor)
    assert (written.done, digests) == (False, [])
    assert json.loads(written.cursor)["line"] == 11, "all lines are written"
    assert assemble(world, written.cursor).done
    assert digests == [True, True]


def test_a_lost_upload_is_written_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ready()
    force_small_steps(monkeypatch)
    world.hurry = True
    cursor = None
    for _ in range(6):
        cursor = assemble(world, cursor).cursor
    world.s3.uploads.clear()
    cursors = [cursor]
    for _ in range(30):
        loop = assemble(world, cursors[-1])
        if loop.done:
            break
        cursors.append(loop.cursor)
    assert None in cursors, "it began anew"
    assert loop.done
    assert len(Outcome.of(world, world.batches()[0].batch_id).output) == 5


def test_the_manifest_is_written_once() -> None:
    world = ready()
    assemble(world)
    manifest = world.batches()[0].results.manifest
    written = world.s3.data(manifest)
    world.records.update_batch(world.batches()[0].batch_id, outcome=None)  # as if it had died before it noted the outcome
    world.clock.advance(100)
    assemble(world)
    assert world.s3.data(manifest) == written
    assert world.batches()[0].outcome == "completed"
    assert len(world.s3.objects[manifest]) == 1


def test_what_the_bucket_states_decides_the_outcome() -> None:
    world = ready()
    manifest = world.batches()[0].results.manifest
    written = {
        name: {"key": f"output/{name}", "version_id": name, "lines": 1, "bytes": 2, "sha256": "0"}
        for name in ("output", "errors")
    }
    world.bucket.write_json(manifest, {"status": "expired", **written})
    assemble(world)
    batch = world.batches()[0]
    assert batch.outcome == "expired"
    assert batch.output == ObjectRef(BUCKET, "output/output", "output", 2), "the files of the manifest are the results"
    assert batch.errors == ObjectRef(BUCKET, "output/errors", "errors", 2)


def test_what_many_refused_jobs_have_in_common_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.backend.limits = Limits(object_lines=1, object_bytes=10**6, job_requests=1)
    assert world.deliver(world.drop(jsonl(*(request(f"r{number}") for number in range(1, 21)))))
    (batch,) = world.batches()
    world.planner.plan(batch.batch_id)
    for job in world.records.jobs(batch.batch_id):
        world.records.update_job(job, state=JobState.ENDED, refusal=Code.BUDGET_EXCEEDED)
        world.jobs.collect(batch.batch_id, job.job_id, clock=world.invocation_clock, cursor=None, wait_seconds=0)
    read: Counter[str] = Counter()
    get = world.s3.get_object

    def note(*, Key: str, **rest: Any) -> Any:  # noqa: N803 - boto3's name
        read[Key.rpartition("/")[2]] += 1
        return get(Key=Key, **rest)

    monkeypatch.setattr(world.s3, "get_object", note)
    assert assemble(world).done
    assert {json.loads(line)["error"]["code"] for line in files(world)[1].splitlines()} == {"budget_exceeded"}
    assert (read["summary.json"], read["undone-1.bitmap"], read["g1.bitmap"]) == (20, 1, 1)


def test_an_execution_that_gave_up_assembles_what_is_there() -> None:
    world = World()
    assert world.deliver(world.drop(FILE))
    plan, calls = world.states.functions["plan"], itertools.chain([False], itertools.repeat(True))

    def fail_after_the_first(event: dict[str, Any]) -> dict[str, Any]:
        if next(calls):
            raise RuntimeError("broken")
        return plan(event)

    world.backend.answer = lambda told, number: drop(told, number) if told["custom_id"].endswith(".4") else succeed(told)
    world.states.functions["plan"] = fail_after_the_first
    world.run()
    outcome = world.outcome()
    assert outcome.batch.status == "failed"
    assert outcome.manifest["error"]["code"] == "internal_error"
    assert outcome.codes == {4: "batch_failed", 9: "invalid_json_line", 10: "duplicate_custom_id"}
    assert len(outcome.output) == 7, "what is done is kept"


def test_only_lines_that_were_never_tried_make_a_batch_expired(world: World) -> None:
    world.backend.answer = fail(503)
    assert world.process(jsonl(request("a"))).batch.status == "completed"


def test_every_code_that_a_backend_or_a_batch_gives_has_words() -> None:
    classes = {CodeClass.REJECTED, CodeClass.TRANSIENT, CodeClass.GIVEN_UP}
    assert set(MESSAGES) >= {code for code in Code if CLASSES[code] in classes} - {Code.BUDGET_EXCEEDED}


def test_a_success_of_a_later_part_wins_over_a_failure_that_was_written_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slacktide.collection.PART_LINES", 1)
    world.backend.answer = lambda told, number: [*fail(400)(told, number), *succeed(told, number)]
    outcome = world.process(jsonl(request("a"), request("b")))
    assert [line["custom_id"] for line in outcome.output] == ["a", "b"]
    assert outcome.errors == []
    assert outcome.receipt["jobs"][0]["completed"] == 2


def test_shuffled_results_come_out_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slacktide.collection.PART_LINES", 3)
    world = World()
    numbers = random.Random(1).sample(range(1, 41), 40)  # noqa: S311 - an order, no secret
    held: list[bytes] = []

    def hold_back(told: Request, round_number: int) -> list[bytes]:
        """All answers at once, with the last request, in another order."""
        held.extend(succeed(told, round_number))
        return [held[number - 1] for number in numbers] if len(held) == 40 else []

    world.backend.answer = hold_back
    world.backend.limits = Limits(object_lines=100, object_bytes=1_000_000)
    outcome = world.process(jsonl(*(request(f"r{number}", f"prompt {number}") for number in range(1, 41))))
    assert [line["custom_id"] for line in outcome.output] == [f"r{number}" for number in range(1, 41)]
    assert all(f"prompt {line['line']}" in json.dumps(line["response"]) for line in outcome.output)


def test_what_is_written_at_once_is_bounded_however_long_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedding of many texts has megabytes, and a thousand such lines more than a function has memory."""
    monkeypatch.setattr("slacktide.assembly.WRITE_BYTES", 2_000)
    world, sizes = World(), list[int]()
    write = Upload.write
    monkeypatch.setattr(Upload, "write", lambda upload, lines: (sizes.append(len(lines)), write(upload, lines)))
    outcome = world.process(jsonl(*(request(f"r{number}", "x" * 1_500) for number in range(1, 31))))
    assert len(outcome.output) == 30
    assert max(sizes) < 2_000 + 2_500, "a line is what comes on top"


@pytest.mark.parametrize("every", [1, 3, 1_000])
def test_the_size_of_a_step_changes_no_byte(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    force_ids(monkeypatch)
    monkeypatch.setattr("slacktide.uploads.PART_BYTES", 300)
    wanted = ready()
    assemble(wanted)
    world = ready()
    monkeypatch.setattr("slacktide.assembly.CHECK_EVERY", every)
    world.hurry = True
    cursor, done = None, False
    while not done:
        loop = assemble(world, cursor)
        cursor, done = loop.cursor, loop.done
    replaced = [
        text.replace(world.batches()[0].batch_id.encode(), wanted.batches()[0].batch_id.encode()) for text in files(world)
    ]
    assert replaced == list(files(wanted))


def test_each_line_shows_the_backend_and_round_that_answered_it_if_that_is_asked_for() -> None:
    world = World(has_hosted=True)
    world.hosted.answer = fail(503)
    lines = jsonl(request("a", model=HOSTED), request("b"), request("c", model=HOSTED), b"rubbish")
    outcome = world.process(lines, show_backend="true")
    assert {line["line"]: line.get("slacktide") for line in outcome.output} == {
        1: {"backend": "sagemaker", "round": 3},
        2: {"backend": "sagemaker", "round": 1},
        3: {"backend": "sagemaker", "round": 3},
    }
    assert list(outcome.output[0]) == ["id", "custom_id", "line", "slacktide", "response", "error"]
    assert "slacktide" not in outcome.errors[0], "no backend saw it"
    assert all("slacktide" not in line for line in World(has_hosted=True).process(lines).output)
