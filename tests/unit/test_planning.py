"""Rounds: what is undone is planned, what is unsettled is attached again, and the same plan comes out twice."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.backend import Request, drop, fail, succeed
from fakes.wire import Killed, refuse
from fakes.world import World, jsonl, request
from slacktide import planning
from slacktide.backends.protocol import Limits
from slacktide.batch import Job, Part
from slacktide.bitmap import Bitmap
from slacktide.errors import ConflictError
from slacktide.ids import job_execution_name
from slacktide.models import parse_models
from slacktide.planning import MOST_ATTEMPTS
from slacktide.request_lines import ENVELOPE_BYTES
from slacktide.splitting import split
from slacktide.statuses import BatchStatus, JobState
from slacktide.steps import Plan, StartJob
from slacktide.timetable import fallback_begins
from slacktide.undone import lines_of_job
from statemachine.execution import EVENTS, EVENTS_OF_ITEM, MOST_EVENTS

FILE = jsonl(*(request(f"r{number}") for number in range(1, 6)))
HOSTED = jsonl(*(request(f"r{number}", model="meta-llama/Llama-3.3-70B-Instruct-Turbo") for number in range(1, 6)))


def queued(world: World, content: bytes = FILE, **metadata: str) -> str:
    """A batch that is validated; its execution has not begun."""
    assert world.deliver(world.drop(content, **metadata))
    return world.batches()[0].batch_id


def requests(most: int | None) -> Limits:
    return Limits(object_lines=1, object_bytes=1, job_requests=most)


@given(st.sets(st.integers(1, 300), min_size=1), st.integers(1, 50))
def test_a_split_is_even_and_whole(lines: set[int], most: int) -> None:
    bitmap = Bitmap(300)
    for line in lines:
        bitmap.add(line)
    pieces = split(bitmap, requests(most), [])
    sizes = [total for _, _, total in pieces]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1, "even"
    assert len(pieces) == -(-len(lines) // most), "as few as may be"
    assert [len(bitmap.between(first, last)) for first, last, _ in pieces] == sizes
    assert sum(sizes) == len(lines)
    assert all(here[1] < there[0] for here, there in itertools.pairwise(pieces))


def test_no_limit_is_one_piece_and_no_line_is_none() -> None:
    assert split(Bitmap.full(9), requests(None), []) == [(1, 9, 9)]
    assert split(Bitmap(9), requests(None), []) == split(Bitmap(9), requests(3), []) == []


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 7), st.integers(800, 4_000))
def test_a_split_by_bytes_bounds_every_piece(sizes: list[int], lines_per_part: int, most: int) -> None:
    """The bytes of lines and envelopes, as a job's input has them, not those of parts."""
    total = len(sizes)
    cuts = range(0, total, lines_per_part)
    parts = [Part("k", at + 1, min(total, at + lines_per_part), sum(sizes[at : at + lines_per_part])) for at in cuts]
    pieces = split(Bitmap.full(total), Limits(object_lines=1, object_bytes=1, job_bytes=most), parts)
    counts = [lines for _, _, lines in pieces]
    assert sum(counts) == total
    assert max(counts) - min(counts) <= 1, "even"
    for first, last, lines in pieces:
        assert lines == 1 or sum(sizes[first - 1 : last]) + lines * ENVELOPE_BYTES <= most


def test_a_split_by_bytes_is_not_finer_than_it_must_be() -> None:
    parts = [Part("k", first, first + 99, 1_000_000) for first in range(1, 1_000, 100)]
    pieces = split(Bitmap.full(1_000), Limits(object_lines=1, object_bytes=1, job_bytes=3_000_000), parts)
    assert len(pieces) <= 5, "four, if the parts lay as the pieces do"
    assert split(Bitmap.full(1_000), Limits(object_lines=1, object_bytes=1, job_bytes=11_000_000), parts) == [(1, 1_000, 1_000)]


def test_jobs_are_cut_by_model_and_by_size(world: World) -> None:
    world.backend.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=2)
    completion = {"custom_id": "c", "url": "/v1/completions", "body": {"model": "smollm2", "prompt": "x"}}
    batch_id = queued(world, FILE + jsonl(completion))
    plan = world.planner.plan(batch_id)
    jobs = world.records.jobs(batch_id)
    assert [(job.job_id, job.endpoint, job.first, job.last, job.total) for job in jobs] == [
        ("r1-j1", "/v1/chat/completions", 1, 1, 1),
        ("r1-j2", "/v1/chat/completions", 2, 3, 2),
        ("r1-j3", "/v1/chat/completions", 4, 5, 2),
        ("r1-j4", "/v1/completions", 6, 6, 1),
    ]
    assert [start.job_id for start in plan.jobs] == [job.job_id for job in jobs]
    assert {job.upstream_model for job in jobs} == {"upstream/HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert world.batches()[0].status is BatchStatus.IN_PROGRESS


def test_undone_lines_go_to_the_next_round_and_nothing_else_does(world: World) -> None:
    answers = {2: fail(503), 3: drop, 4: fail(400)}

    def answer(told: Request, round_number: int) -> list[bytes]:
        return answers.get(int(told["custom_id"].rpartition(".")[2]) if round_number == 1 else 0, succeed)(told, round_number)

    world.backend.answer = answer
    outcome = world.process(FILE)
    assert [told["custom_id"].partition(".")[2] for told in world.backend.seen] == [
        "1.1",
        "1.2",
        "1.3",
        "1.4",
        "1.5",
        "2.2",
        "2.3",
    ]
    assert outcome.codes == {4: "backend_rejected"}


def test_a_route_that_is_used_up_ends_the_batch(world: World) -> None:
    world.backend.answer = fail(503, "busy")
    outcome = world.process(FILE)
    assert outcome.batch.status == "completed"
    assert set(outcome.codes.values()) == {"backend_error"}
    assert len(world.backend.seen) == 10, "sagemaker, sagemaker"
    assert {line["response"]["status_code"] for line in outcome.errors} == {503}


def test_one_model_goes_on_when_the_route_of_another_is_used_up(world: World) -> None:
    row = '[[models]]\nid = "{}"\nfamily = "f"\nendpoints = ["/v1/chat/completions"]\nroute = {}\nbackends.sagemaker.id = "m"\n'
    world = World(models=parse_models(row.format("once", '["sagemaker"]') + row.format("twice", '["sagemaker", "sagemaker"]')))
    world.backend.answer = fail(503)
    world.process(jsonl(request("a", model="once"), request("b", model="twice")))
    assert [told["custom_id"].partition(".")[2] for told in world.backend.seen] == ["1.1", "1.2", "2.2"]


def test_a_plan_that_died_between_its_drafts_and_its_round_is_made_again(world: World) -> None:
    batch_id = queued(world)
    rehearsal = World()
    rehearsal_id = queued(rehearsal)
    start = len(rehearsal.wire.calls)
    rehearsal.states.invoke("plan", {"batch_id": rehearsal_id})
    calls = [call.partition(":")[2] for call in rehearsal.wire.calls[start:]]
    drafted = start + calls.index("FakeTable.put_item")
    world.wire.kill = drafted, "after"
    with pytest.raises(Killed), world.wire.invocation("plan"):
        world.planner.plan(batch_id)
    assert [job.job_id for job in world.records.jobs(batch_id)] == ["r1-j1"]
    assert world.batches()[0].round == 0, "a draft does not count"
    world.run()
    assert len(world.outcome().output) == 5
    assert world.records.get_job(batch_id, "r1-j1").attempt == 1


def hosted_world() -> tuple[World, str]:
    """A world with a batch that makes three jobs at the hosted backend."""
    world = World(has_hosted=True)
    world.hosted.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=2)
    return world, queued(world, HOSTED)


def count_calls() -> int:
    """How many calls a planner makes until its jobs count, that one too."""
    world, batch_id = hosted_world()
    start = len(world.wire.calls)
    with world.wire.invocation("plan"):
        world.planner.plan(batch_id)
    last_draft = max(number for number, call in enumerate(world.wire.calls) if call == "plan:FakeTable.put_item")
    assert world.wire.calls[last_draft + 1] == "plan:FakeTable.update_item"
    return last_draft + 2 - start


CALLS = count_calls()


def until_planned(world: World) -> bool:
    return world.batches()[0].round > 0


def until_created(world: World) -> bool:
    return world.backend.creations > 0


def until_over(world: World) -> bool:
    return world.batches()[0].status.is_final


@pytest.mark.parametrize("until", [until_planned, until_created, until_over])
@pytest.mark.parametrize("call", range(CALLS))
def test_a_planner_that_hangs_spoils_nothing(until: Callable[[World], bool], call: int) -> None:
    """It would have made three jobs at the hosted backend; another makes one at the fallback, after the cut-off."""
    world, batch_id = hosted_world()
    (batch,) = world.batches()

    def go_on() -> None:
        world.clock.advance_to(fallback_begins(batch, world.settings))
        while not until(world):
            world.states.step()

    world.wire.hang = len(world.wire.calls) + call, go_on
    with suppress(ConflictError), world.wire.invocation("plan"):
        world.planner.plan(batch_id)
    assert until(world), "the other was there"
    world.run()
    outcome = world.outcome()
    assert [line["line"] for line in outcome.output] == [1, 2, 3, 4, 5]
    jobs = [(told["job_id"], told["backend"], told["requests"]) for told in outcome.receipt["jobs"]]
    assert jobs == [("r1-j1", "sagemaker", 5)]
    assert len(world.backend.seen) == 5, "each line once"
    assert world.hosted.creations == 0


@pytest.mark.parametrize("call", range(CALLS))
def test_a_planner_that_hangs_does_not_change_what_the_jobs_of_another_have(call: int) -> None:
    world, batch_id = hosted_world()
    has: list[list[int]] = []

    def find_lines() -> list[int]:
        batch = world.batches()[0]
        return [line for job in world.records.counted_jobs(batch) for line in lines_of_job(world.bucket, batch, job)]

    def plan_less() -> None:
        world.hosted.limits = Limits(object_lines=9, object_bytes=10**6)
        invalid = Bitmap(5)
        invalid.add(3)
        world.bucket.write(world.batches()[0].keys.invalid, bytes(invalid), "application/octet-stream")
        while not until_planned(world):
            world.states.step()
        has.append(find_lines())

    world.wire.hang = len(world.wire.calls) + call, plan_less
    with suppress(ConflictError), world.wire.invocation("plan"):
        world.planner.plan(batch_id)
    assert has == [[1, 2, 4, 5]] == [find_lines()]


def test_a_planner_does_not_take_the_number_of_one_that_died_meanwhile() -> None:
    """Its drafts would count."""
    world, batch_id = hosted_world()

    def draft() -> None:
        batch = world.batches()[0]
        world.records.begin_plan(batch)
        world.records.put_job(Job(batch_id, "r1-j4", 1, "together", "m", "m", "/v1/chat/completions", "g1", 1, 5, 5, 0, plan=1))

    world.wire.hang = len(world.wire.calls) + 2, draft
    with pytest.raises(ConflictError), world.wire.invocation("plan"):
        world.planner.plan(batch_id)
    world.run()
    outcome = world.outcome()
    assert [told["job_id"] for told in outcome.receipt["jobs"]] == ["r1-j1", "r1-j2", "r1-j3"]
    assert len(outcome.output) == 5


def test_a_planner_that_hangs_until_the_batch_is_assembled_starts_nothing() -> None:
    """Its jobs would be paid for, and nobody would wait for them."""
    world, batch_id = hosted_world()

    def assemble() -> None:
        world.assembler.assemble(batch_id, cursor=None, is_late=lambda: False, gave_up=True)

    world.wire.hang = len(world.wire.calls) + CALLS - 1, assemble
    with pytest.raises(ConflictError), world.wire.invocation("plan"):
        world.planner.plan(batch_id)
    assert world.batches()[0].round == 0


def test_jobs_of_a_former_version_count_by_their_round() -> None:
    """Those have no number of a plan, and batches of that version name none."""
    world = World()
    batch_id = queued(world)
    world.planner.plan(batch_id)
    (job,) = world.records.jobs(batch_id)
    batch = world.batches()[0]
    old = msgspec.structs.replace(batch, plan=0, plans=[], round=2)
    assert old.has(msgspec.structs.replace(job, plan=0, round=2))
    assert not old.has(msgspec.structs.replace(job, plan=0, round=3))
    mixed = msgspec.structs.replace(old, plan=1, plans=[0, 0, 1], round=3)
    assert [mixed.has(msgspec.structs.replace(job, plan=plan, round=number)) for number, plan in ((2, 0), (3, 1), (3, 0))] == [
        True,
        True,
        False,
    ]


def test_a_batch_of_a_former_version_is_planned_on(world: World) -> None:
    world.backend.answer = fail(503)
    batch_id = queued(world)
    while not world.batches()[0].completed and world.batches()[0].round < 1:
        world.states.step()
    for key, item in world.table.items.items():
        if key[0] == batch_id:
            item.pop("plan"), item.pop("plans", None)
    plan_key = world.batches()[0].keys
    world.bucket.write(plan_key.undone(1, 0), world.bucket.read(plan_key.undone(1, 1)), "application/octet-stream")
    world.run()
    assert world.batches()[0].plans == [0, 1]
    assert len(world.backend.seen) == 10, "two rounds"


def test_a_dead_job_is_attached_again_and_created_once(world: World) -> None:
    queued(world)
    while not world.backend.creations:
        world.states.step()
    (execution,) = world.states.running("job")
    world.states.stop(execution.name)
    world.run()
    assert world.backend.creations == 1
    names = [execution.name for execution in world.states.executions.values() if execution.machine == "job"]
    assert [name.rpartition("-")[2] for name in names] == ["a1", "a2"]
    assert len(world.outcome().output) == 5
    assert {line["id"].split(".")[1] for line in world.outcome().output} == {"1"}, "no step of the route is used up"


def test_a_dead_job_does_not_wait_for_the_others(world: World) -> None:
    world.backend.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=3)
    world.backend.turns = 10**6
    queued(world)
    while world.backend.creations < 2:
        world.states.step()
    dead, alive = world.states.running("job")
    world.states.stop(dead.name)
    for _ in range(60):
        world.states.step()
    names = {execution.name for execution in world.states.running("job")}
    assert names == {alive.name, dead.name.removesuffix("1") + "2"}


def test_a_job_that_settles_while_it_is_planned_leaves_its_lines_to_the_next_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.backend.answer = fail(503)
    batch_id = queued(world)
    while world.records.jobs(batch_id)[:1] == [] or not world.records.jobs(batch_id)[0].state.is_closed:
        world.states.step()
    settled = world.records.get_job(batch_id, "r1-j1")
    stale = iter([[world_job_running(settled)]])
    jobs = type(world.records).jobs
    monkeypatch.setattr("slacktide.records.Records.jobs", lambda self, key: next(stale, None) or jobs(self, key))
    plan = world.planner.plan(batch_id)
    assert [start.job_id for start in plan.jobs] == ["r2-j1"]


def world_job_running(settled: Any) -> Any:
    """The job as it was read a moment before."""
    return msgspec.structs.replace(settled, state=JobState.ENDED)


def test_only_what_does_not_run_is_started(world: World) -> None:
    """An execution of the batch that begins anew has a history of its own, and no event to spare for jobs that are alive."""
    world.backend.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=1)
    world.backend.turns = 10**6
    batch_id = queued(world)
    while world.backend.creations < 5:
        world.states.step()
    again = world.planner.plan(batch_id)
    assert (again.has_jobs, again.jobs, again.wait_seconds) == (True, [], 15)
    dead = world.states.running("job")[2]
    world.states.stop(dead.name)
    assert [start.job_id for start in world.planner.plan(batch_id).jobs] == [dead.input["job_id"]]


def test_a_plan_starts_a_bounded_number_of_jobs_and_the_next_one_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MOST_STARTS", 2)
    monkeypatch.setattr(planning, "MOST_REVIVED", 1)
    world.backend.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=1)
    plan, started = world.states.functions["plan"], list[int]()

    def count(event: dict[str, Any]) -> dict[str, Any]:
        answer = plan(event)
        started.append(len(answer["jobs"]))
        return answer

    world.states.functions["plan"] = count
    outcome = world.process(FILE)
    assert len(outcome.output) == 5
    assert started[:4] == [2, 1, 1, 1]
    assert set(world.backend.ledger.values()) == {1}


def test_a_plan_fits_into_a_payload_and_its_starts_into_a_history() -> None:
    batch_id, job_id = "batch_" + "a" * 26, "r1000-j100000"
    start = StartJob(job_id, MOST_ATTEMPTS, job_execution_name(batch_id, job_id, MOST_ATTEMPTS))
    plan = Plan(has_jobs=True, jobs=[start] * planning.MOST_STARTS, wait_seconds=360)
    assert len(msgspec.json.encode(plan)) < 256 * 1024 / 2
    events_of_a_start = EVENTS["Task"] + EVENTS_OF_ITEM
    assert planning.MOST_STARTS * events_of_a_start < MOST_EVENTS / 2


def test_jobs_that_cannot_be_asked_for_now_count_as_alive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole account has some ten questions a second: a batch must not fail because many others ask too."""
    world.backend.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=1)
    world.backend.turns = 10**6
    batch_id = queued(world)
    while world.backend.creations < 5:
        world.states.step()
    for execution in world.states.running("job"):
        world.states.stop(execution.name)
    describe = world.states.describe_execution
    monkeypatch.setattr(world.states, "describe_execution", throttle)
    assert not world.follower.follow(batch_id, 15).settled
    assert world.planner.plan(batch_id).jobs == []
    asked: set[str] = set()

    def answer_one(**arguments: Any) -> Any:
        monkeypatch.setattr(world.states, "describe_execution", throttle)
        asked.add(arguments["executionArn"])
        return describe(**arguments)

    for _ in range(5):
        world.clock.advance(1)
        monkeypatch.setattr(world.states, "describe_execution", answer_one)
        assert world.follower.follow(batch_id, 15).settled
    assert len(asked) == 5, "each comes first once"


def throttle(**_: Any) -> Any:
    refuse("ThrottlingException")


@pytest.mark.parametrize(("function", "after"), [("plan", 0), ("follow", 300)])
def test_a_service_that_is_out_for_a_quarter_of_an_hour_fails_no_batch(world: World, function: str, after: int) -> None:
    world.backend.turns = 20
    call, started = world.states.functions[function], world.clock() + after

    def fail_for_a_while(event: dict[str, Any]) -> dict[str, Any]:
        if started <= world.clock() < started + 900:
            raise RuntimeError("out of service")
        return call(event)

    world.states.functions[function] = fail_for_a_while
    assert world.process(FILE).batch.status is BatchStatus.COMPLETED
    assert world.backend.creations == 1


def test_a_hold_that_was_over_while_it_was_told_of_is_no_negative_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = queued(world, not_before="1h")

    def take_long(*_: Any) -> None:
        world.clock.advance(3_605)

    monkeypatch.setattr(type(world.announcer), "announce", take_long)
    plan = world.planner.plan(batch_id)
    assert (plan.is_held, plan.wait_seconds) == (True, 0)


def test_a_job_whose_executions_keep_dying_is_given_up(world: World) -> None:
    batch_id = queued(world)
    waits: list[int] = []
    for _ in range(MOST_ATTEMPTS):
        plan = world.planner.plan(batch_id)
        assert [start.job_id for start in plan.jobs] == ["r1-j1"]
        waits.append(plan.wait_seconds)
    assert waits == sorted(waits)
    assert waits[-1] == 360
    assert not world.planner.plan(batch_id).has_jobs
    assert world.records.get_job(batch_id, "r1-j1").state is JobState.ABANDONED


@pytest.mark.parametrize("status", ["cancelled", "late", "refused"])
def test_nothing_is_planned_any_more(world: World, status: str) -> None:
    batch_id = queued(world)
    if status == "cancelled":
        world.canceller.cancel(batch_id)
    elif status == "refused":
        world.records.update_batch(batch_id, refused=True)
    else:
        world.clock.advance_to(world.batches()[0].deadline - world.settings.assembly_reserve)
    assert world.planner.plan(batch_id).jobs == []
