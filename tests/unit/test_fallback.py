"""Rounds over two backends: the hosted one first, what it leaves undone by the fallback, and no line live twice."""

import msgspec
import pytest

from fakes.backend import Answer, Request, drop, fail, succeed
from fakes.world import SETTINGS, Outcome, World, jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.batch import Batch, Job, ObjectRef, Options
from slacktide.routes import choose_step, find_fallback
from slacktide.statuses import BatchStatus, JobState
from slacktide.timetable import fallback_begins, is_overdue, must_end_by

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # its route: together, together, sagemaker
FILE = jsonl(*(request(f"r{number}", model=MODEL) for number in range(1, 7)))
HOUR = 3_600


@pytest.fixture
def world() -> World:
    return World(has_hosted=True)


def by_line(kinds: dict[int, Answer], *, until: int = 99) -> Answer:
    def answer(told: Request, round_number: int) -> list[bytes]:
        line = int(told["custom_id"].rpartition(".")[2])
        return (kinds.get(line, succeed) if round_number <= until else succeed)(told, round_number)

    return answer


def rounds(outcome: Outcome) -> dict[int, int]:
    """The round in which each line was answered."""
    return {line["line"]: int(line["id"].split(".")[1]) for line in outcome.output}


def jobs_of(outcome: Outcome) -> list[tuple[str, str, int]]:
    return [(told["job_id"], told["backend"], told["requests"]) for told in outcome.receipt["jobs"]]


def check_whole(outcome: Outcome, lines: int = 6) -> None:
    found = sorted(line["line"] for line in outcome.output + outcome.errors)
    assert found == list(range(1, lines + 1))


class TestRoute:
    def test_transient_lines_go_from_step_to_step_and_rejected_ones_end(self, world: World) -> None:
        world.hosted.answer = by_line({2: fail(503), 3: drop, 4: fail(400)})
        outcome = world.process(FILE)
        assert jobs_of(outcome) == [("r1-j1", "together", 6), ("r2-j1", "together", 2), ("r3-j1", "sagemaker", 2)]
        assert rounds(outcome) == {1: 1, 2: 3, 3: 3, 5: 1, 6: 1}
        assert outcome.codes == {4: "backend_rejected"}

    @pytest.mark.parametrize("outcome", ["rejected", "displaced"])
    def test_a_job_that_failed_as_a_whole_is_a_step(self, world: World, outcome: str) -> None:
        world.hosted.creates.append(outcome)
        ended = world.process(FILE, max_rounds="1")
        assert (ended.output == []) is (outcome == "rejected")
        assert world.backend.creations == 0
        world = World(has_hosted=True)
        world.hosted.creates.extend(["rejected", "rejected"])
        assert [backend for _, backend, _ in jobs_of(world.process(FILE))] == ["together", "together", "sagemaker"]

    def test_a_batch_may_name_its_own_route(self, world: World) -> None:
        world.backend.answer = by_line({1: fail(503)})
        outcome = world.process(FILE, route="sagemaker,together")
        assert [backend for _, backend, _ in jobs_of(outcome)] == ["sagemaker", "together"]
        assert rounds(outcome)[1] == 2

    def test_a_backend_that_cannot_run_the_model_is_passed_over(self, world: World) -> None:
        world.hosted.models = frozenset()
        assert [backend for _, backend, _ in jobs_of(world.process(FILE))] == ["sagemaker"]

    def test_no_backend_is_said_before_anything_runs(self, world: World) -> None:
        world.hosted.models = frozenset()
        outcome = world.process(FILE, route="together")
        assert outcome.batch.status is BatchStatus.FAILED
        assert set(outcome.codes.values()) == {"no_backend_for_model"}
        assert (world.hosted.creations, world.backend.creations) == (0, 0)

    @pytest.mark.parametrize("given", [{"max_rounds": "2"}, {}])
    def test_rounds_are_bounded(self, given: dict[str, str]) -> None:
        settings = SETTINGS if given else msgspec.structs.replace(SETTINGS, max_rounds=2)
        world = World(has_hosted=True, settings=settings)
        world.hosted.answer = fail(503)
        outcome = world.process(FILE, **given)
        assert [backend for _, backend, _ in jobs_of(outcome)] == ["together", "together"]
        assert set(outcome.codes.values()) == {"backend_error"}

    def test_jobs_are_cut_by_bytes(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("slacktide.parts.PART_LINES", 2)
        monkeypatch.setattr("slacktide.reading.BLOCK", 300)  # lines that are checked at once stay in one object
        monkeypatch.setattr("slacktide.lines.ENOUGH_LINES", 2)
        world.hosted.limits = Limits(object_lines=2, object_bytes=10**6, job_bytes=800)
        outcome = world.process(FILE)
        assert jobs_of(outcome) == [(f"r1-j{number}", "together", 2) for number in (1, 2, 3)]
        sizes = [
            sum(len(world.s3.data(key)) for key in world.s3.keys("batches/") if f"r1-j{job}/input/" in key) for job in (1, 2, 3)
        ]
        assert max(sizes) <= 800
        assert set(world.hosted.billed.values()) == {1}


class TestSteps:
    def test_a_step_follows_on_those_that_were_taken(self) -> None:
        route = ["together", "together", "sagemaker", "sagemaker"]
        assert [choose_step(route, taken, is_cut_off=False) for taken in range(6)] == [0, 1, 2, 3, None, None]
        assert [choose_step(route, taken, is_cut_off=True) for taken in range(6)] == [2, 2, 2, 3, None, None]

    def test_only_another_backend_is_a_fallback(self) -> None:
        assert [find_fallback(["a", "a", "b", "a"], step) for step in range(5)] == ["b", "b", "a", None, None]
        assert choose_step(["a", "a"], 0, is_cut_off=True) == 0

    def test_the_cut_off(self) -> None:
        day = make_batch(24 * HOUR)
        job = make_job(fallback="sagemaker")
        assert fallback_begins(day, SETTINGS) == day.deadline - 900 - 2 * HOUR
        assert must_end_by(day, job, SETTINGS) == fallback_begins(day, SETTINGS)
        assert must_end_by(day, make_job(fallback=None), SETTINGS) == day.deadline - 900

    def test_a_short_window_is_shared(self) -> None:
        hour = make_batch(HOUR)
        assert fallback_begins(hour, SETTINGS) == (HOUR - 900) // 2
        held = make_batch(HOUR, not_before=10 * HOUR)
        assert fallback_begins(held, SETTINGS) == 10 * HOUR + (HOUR - 900) // 2

    def test_a_job_is_overdue_a_settle_window_after_the_cut_off(self) -> None:
        batch = make_batch(24 * HOUR)
        end = fallback_begins(batch, SETTINGS) + SETTINGS.settle_window
        assert [is_overdue(batch, make_job(fallback="b"), SETTINGS, now) for now in (end - 1, end)] == [False, True]
        assert not is_overdue(batch, make_job(fallback=None), SETTINGS, batch.deadline)


def make_batch(window: int, not_before: int | None = None) -> Batch:
    source = ObjectRef("b", "input/a.jsonl", "v", 1)
    options = Options(completion_window=window, not_before=not_before)
    deadline = (not_before or 0) + window
    return Batch("batch_a", "drop", BatchStatus.QUEUED, source, 0, deadline, [], options)


def make_job(fallback: str | None) -> Job:
    return Job("batch_a", "r1-j1", 1, "together", "m", "m", "/v1/completions", "g1", 1, 2, 2, 0, fallback=fallback)


class TestCutOff:
    def test_a_stuck_job_gives_way_and_its_undone_lines_are_run_once(self, world: World) -> None:
        world.hosted.turns, world.hosted.done_when_stopped = 10**6, 2
        outcome = world.process(FILE)
        assert outcome.batch.status is BatchStatus.COMPLETED
        assert jobs_of(outcome) == [("r1-j1", "together", 6), ("r2-j1", "sagemaker", 4)]
        assert rounds(outcome) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 2}
        cut_off = fallback_begins(outcome.batch, world.settings)
        assert cut_off <= world.clock() < cut_off + HOUR
        assert world.bus.notices() == [("Job Stuck", "r1-j1")]
        assert world.hosted.live == []

    def test_the_fallback_waits_for_the_confirmation(self, world: World) -> None:
        world.hosted.turns, world.hosted.cancels_needed = 10**6, 4
        assert world.deliver(world.drop(FILE))
        while not world.backend.creations:
            assert world.states.step()
            if world.hosted.live:
                assert world.backend.creations == 0
        assert world.hosted.live == []
        world.run()
        check_whole(world.outcome())
        assert rounds(world.outcome()) == dict.fromkeys(range(1, 7), 2)

    def test_what_is_not_confirmed_is_abandoned_and_expires(self, world: World) -> None:
        world.hosted.turns = world.hosted.cancels_needed = 10**6
        assert world.deliver(world.drop(FILE))
        while world.states.step():
            pass
        outcome = world.outcome()
        assert (outcome.batch.status, set(outcome.codes.values())) == (BatchStatus.EXPIRED, {"batch_expired"})
        (told,) = outcome.receipt["jobs"]
        assert (told["state"], world.backend.creations) == ("abandoned", 0)
        assert "not confirmed" in told["reason"]
        assert world.clock() <= outcome.batch.deadline
        assert (world.sweep() or {})["stopped"] == 0
        world.hosted.cancels_needed = 1
        world.run()
        assert world.hosted.live == []

    def test_what_ends_within_the_reserve_keeps_what_it_has_done(self, world: World) -> None:
        world.hosted.turns, world.hosted.cancels_needed, world.hosted.done_when_stopped = 10**6, 10**6, 4
        assert world.deliver(world.drop(FILE))
        (batch,) = world.batches()
        while world.clock() < batch.deadline - world.settings.assembly_reserve:
            world.states.step()
        world.hosted.cancels_needed = 0
        world.run()
        outcome = world.outcome()
        assert outcome.batch.status is BatchStatus.EXPIRED
        assert rounds(outcome) == {1: 1, 2: 1, 3: 1, 4: 1}
        assert (world.clock() <= outcome.batch.deadline, world.backend.creations) == (True, 0)

    def test_other_lines_do_not_wait_for_one_that_is_not_confirmed(self, world: World) -> None:
        """Of two jobs one ends when told, the other much later: both parts are run by the fallback, each once."""
        world.hosted.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=3)
        world.hosted.turns = 10**6
        assert world.deliver(world.drop(FILE))
        while world.hosted.creations < 2:
            world.states.step()
        slow = world.hosted.jobs["up-2"]
        slow.cancels = -12
        while world.backend.creations < 1:
            assert world.states.step()
        assert world.hosted.live == ["up-2"]
        (batch,) = world.batches()
        assert world.clock() < fallback_begins(batch, world.settings) + 2 * world.settings.settle_window
        world.run()
        outcome = world.outcome()
        assert jobs_of(outcome) == [
            ("r1-j1", "together", 3),
            ("r1-j2", "together", 3),
            ("r2-j1", "sagemaker", 3),
            ("r3-j1", "sagemaker", 3),
        ]
        assert rounds(outcome) == {1: 2, 2: 2, 3: 2, 4: 3, 5: 3, 6: 3}
        plans = [
            execution.history.count("Plan round")
            for execution in world.states.executions.values()
            if execution.machine == "batch"
        ]
        assert plans < [12], "no plan without something new"

    def test_lines_that_are_planned_after_the_cut_off_go_straight_to_the_fallback(self, world: World) -> None:
        world.hosted.creates.extend(["full"] * 10_000)
        outcome = world.process(FILE)
        assert jobs_of(outcome) == [("r1-j1", "together", 6), ("r2-j1", "sagemaker", 6)]
        assert world.hosted.creations == 0

    def test_without_another_backend_there_is_no_cut_off_before_the_reserve(self, world: World) -> None:
        world.hosted.turns = 10**6
        outcome = world.process(FILE, route="together,together")
        assert outcome.batch.status is BatchStatus.EXPIRED
        assert world.clock() >= outcome.batch.deadline - world.settings.assembly_reserve

    def test_in_the_last_round_nothing_gives_way(self, world: World) -> None:
        world.hosted.turns = 10**6
        outcome = world.process(FILE, max_rounds="1")
        assert outcome.batch.status is BatchStatus.EXPIRED
        assert world.clock() >= outcome.batch.deadline - world.settings.assembly_reserve

    def test_a_fallback_without_quota_expires(self, world: World) -> None:
        world.hosted.turns, world.hosted.done_when_stopped = 10**6, 1
        world.backend.script.extend(["full"] * 10_000)
        outcome = world.process(FILE)
        assert outcome.batch.status is BatchStatus.EXPIRED
        assert rounds(outcome) == {1: 1}
        check_whole(outcome)

    def test_a_plan_that_died_before_the_cut_off_is_not_mixed_with_one_after_it(self, world: World) -> None:
        world.hosted.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=2)
        assert world.deliver(world.drop(FILE))
        (batch,) = world.batches()
        for number in (1, 2, 3):
            world.records.put_job(
                Job(batch.batch_id, f"r1-j{number}", 1, "together", MODEL, "m", "/v1/chat/completions", "g1", 1, 2, 2, 0)
            )
        world.clock.advance_to(fallback_begins(batch, world.settings))
        world.run()
        outcome = world.outcome()
        assert jobs_of(outcome) == [("r1-j1", "sagemaker", 6)]
        assert outcome.batch.round == 1
        check_whole(world.outcome())


class TestHeld:
    def test_a_batch_waits_in_one_wait_and_its_window_counts_from_then(self, world: World) -> None:
        start = world.clock()
        assert world.deliver(world.drop(FILE, not_before="6h", completion_window="2h"))
        (batch,) = world.batches()
        assert (batch.deadline, batch.begins_at) == (start + 8 * HOUR, start + 6 * HOUR)
        (execution,) = world.states.running()
        while execution.history[-1:] != ["Hold back"]:
            world.states.step()
        calls = len(world.wire.calls)
        world.states.step()
        assert world.clock() >= start + 6 * HOUR
        assert len(world.wire.calls) == calls, "nothing was asked meanwhile"
        assert world.batches()[0].status is BatchStatus.QUEUED
        world.run()
        assert world.outcome().batch.status is BatchStatus.COMPLETED
        assert execution.history.count("Hold back") == 1

    def test_one_that_is_cancelled_meanwhile_ends_soon(self, world: World) -> None:
        start = world.clock()
        assert world.deliver(world.drop(FILE, not_before="6h"))
        for _ in range(3):
            world.states.step()
        world.clock.time = start + 60
        batch_id = world.batches()[0].batch_id
        world.canceller.cancel(batch_id)
        world.sweep()
        world.clock.advance(300)
        world.sweep()
        world.run()
        outcome = world.outcome()
        assert outcome.batch.status is BatchStatus.CANCELLED
        assert world.clock() < start + HOUR
        assert world.hosted.creations == 0

    def test_a_refused_one_is_not_held(self, world: World) -> None:
        start = world.clock()
        outcome = world.process(b"nonsense\n", not_before="6h")
        assert outcome.batch.status is BatchStatus.FAILED
        assert world.clock() < start + HOUR


def test_a_job_that_is_closed_stays_as_it_is(world: World) -> None:
    """A planner that hangs until its jobs are under way must not set them back: that would be a second submission."""
    assert world.deliver(world.drop(FILE))
    while not world.hosted.creations:
        world.states.step()
    (batch,) = world.batches()
    job = world.records.get_job(batch.batch_id, "r1-j1")
    with pytest.raises(Exception, match="under way"):
        world.records.put_job(msgspec.structs.replace(job, state=JobState.PLANNED, asks=0, file_id=None, upstream_id=None))
    assert world.records.get_job(batch.batch_id, "r1-j1") == job
