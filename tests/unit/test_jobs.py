"""The steps of one job: each can be run again, and none creates a second job upstream."""

import json
from typing import Any

import pytest

from fakes.wire import Killed
from fakes.world import World, force_small_steps, jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.clock import Clock
from slacktide.errors import ConflictError
from slacktide.statuses import JobState
from slacktide.steps import Poll, Submission

FILE = jsonl(*(request(f"r{number}") for number in range(1, 6)))
JOB = "r1-j1"


@pytest.fixture
def batch_id(world: World) -> str:
    """A batch with one planned job of five lines."""
    assert world.deliver(world.drop(FILE))
    batch_id = world.batches()[0].batch_id
    world.planner.plan(batch_id)
    return batch_id


def submit(world: World, batch_id: str, cursor: str | None = None) -> Submission:
    return world.jobs.submit(batch_id, JOB, clock=world.invocation_clock, cursor=cursor, wait_seconds=0)


def poll(world: World, batch_id: str) -> Poll:
    return world.jobs.poll(batch_id, JOB, now=world.clock(), wait_seconds=15)


def collect(world: World, batch_id: str) -> None:
    cursor = None
    while not (answer := world.jobs.collect(batch_id, JOB, clock=world.invocation_clock, cursor=cursor, wait_seconds=0)).done:
        cursor = answer.cursor


def job(world: World, batch_id: str) -> Any:
    return world.records.get_job(batch_id, JOB)


class TestSubmit:
    def test_the_input_is_written_then_the_job_is_created(self, world: World, batch_id: str) -> None:
        assert submit(world, batch_id) == Submission(done=False, outcome="submitted", wait_seconds=0, cursor="written")
        keys = world.s3.keys(f"batches/{batch_id}/rounds/1/{JOB}/")
        assert [key.rpartition("/")[2] for key in keys] == [
            "000000001-000000002.jsonl",
            "000000003-000000004.jsonl",
            "000000005-000000005.jsonl",
        ]
        assert world.backend.creations == 0
        assert submit(world, batch_id, "written").outcome == "submitted"
        assert (job(world, batch_id).state, world.backend.creations) == (JobState.RUNNING, 1)

    def test_objects_are_bounded_by_bytes(self, world: World, batch_id: str) -> None:
        world.backend.limits = Limits(object_lines=100, object_bytes=450)
        submit(world, batch_id)
        keys = world.s3.keys(f"batches/{batch_id}/rounds/1/{JOB}/input/")
        assert len(keys) > 1
        assert all(len(world.s3.data(key)) <= 450 for key in keys)
        lines = [json.loads(line)["custom_id"] for key in keys for line in world.s3.data(key).splitlines()]
        assert lines == [f"{batch_id}.1.{line}" for line in range(1, 6)]

    def test_a_slow_input_goes_on_where_it_stopped(self, world: World, batch_id: str) -> None:
        world.hurry = True
        cursors: list[str | None] = [None]
        for _ in range(3):
            cursors.append(submit(world, batch_id, cursors[-1]).cursor)
        assert cursors == [None, "3", "5", "written"]
        assert len(world.s3.keys(f"batches/{batch_id}/rounds/1/{JOB}/input/")) == 3

    def test_a_full_quota_is_waited_for(self, world: World, batch_id: str) -> None:
        world.backend.script.append("full")
        answer = submit(world, batch_id, "written")
        assert (answer.outcome, answer.wait_seconds) == ("quota_full", 15)
        assert (job(world, batch_id).state, job(world, batch_id).reason) == (JobState.WAITING, "The quota is used up.")
        assert submit(world, batch_id, "written").outcome == "submitted"
        assert job(world, batch_id).reason is None

    def test_a_wait_for_quota_ends_at_the_cut_off(self, world: World) -> None:
        world.backend.script.extend(["full"] * 10_000)
        assert world.deliver(world.drop(FILE))
        world.run()
        outcome = world.outcome()
        assert outcome.batch.status == "expired"
        assert set(outcome.codes.values()) == {"batch_expired"}
        assert world.clock() <= outcome.batch.deadline
        assert world.backend.creations == 0

    def test_a_rejected_job_is_an_outcome(self, world: World) -> None:
        world.backend.script.extend(["rejected", "rejected"])
        outcome = world.process(FILE)
        assert set(outcome.codes.values()) == {"missing_result"}
        assert {told["reason"] for told in outcome.receipt["jobs"]} == {"The backend refused the job."}

    def test_a_creation_with_an_unknown_outcome_is_not_repeated(self, world: World, batch_id: str) -> None:
        world.backend.script.append("crash")
        with pytest.raises(Killed):
            submit(world, batch_id, "written")
        assert job(world, batch_id).upstream_id is None
        assert submit(world, batch_id).cursor == "written"
        assert submit(world, batch_id, "written").outcome == "submitted"
        assert list(world.backend.ledger.values()) == [1]

    def test_a_job_that_was_created_is_not_submitted_again(self, world: World, batch_id: str) -> None:
        submit(world, batch_id, "written")
        assert submit(world, batch_id).outcome == "submitted"
        assert world.backend.creations == 1

    def test_a_cancelled_batch_submits_nothing(self, world: World, batch_id: str) -> None:
        world.canceller.cancel(batch_id)
        assert submit(world, batch_id).outcome == "rejected"
        assert (world.backend.creations, job(world, batch_id).state) == (0, JobState.ENDED)

    def test_a_job_of_unknown_outcome_is_stopped_and_what_it_finished_is_kept(self, world: World, batch_id: str) -> None:
        world.backend.script.append("crash")
        world.backend.finished_when_stopped = 2
        submit(world, batch_id)
        with pytest.raises(Killed):
            submit(world, batch_id, "written")
        world.canceller.cancel(batch_id)
        assert submit(world, batch_id).outcome == "unsettled", "asked to stop, not confirmed"
        assert submit(world, batch_id).outcome == "rejected"
        collect(world, batch_id)
        assert job(world, batch_id).completed == 4

    def test_a_job_given_up_while_it_is_created_is_stopped_at_once(self, world: World, batch_id: str) -> None:
        create = world.backend.submit

        def give_up_then_create(work: Any) -> Any:
            world.records.abandon_job(job(world, batch_id), world.clock(), world.clock(), "late")
            world.sweep()  # looks for it too early
            return create(work)

        world.backend.submit = give_up_then_create  # type: ignore[method-assign]
        with pytest.raises(ConflictError):
            submit(world, batch_id, "written")
        assert [upstream.stopped for upstream in world.backend.jobs.values()] == [True]


class TestPoll:
    def test_progress_never_goes_back(self, world: World, batch_id: str) -> None:
        submit(world, batch_id)
        submit(world, batch_id, "written")
        assert poll(world, batch_id) == Poll(done=False, resubmit=False, wait_seconds=22, progress=2)
        world.records.update_job(job(world, batch_id), progress=4)
        next(iter(world.backend.jobs.values())).turns = 2
        assert poll(world, batch_id).progress == 4
        assert poll(world, batch_id).done

    def test_a_displaced_job_gets_a_new_number(self, world: World, batch_id: str) -> None:
        world.backend.script.append("displaced")
        submit(world, batch_id, "written")
        assert poll(world, batch_id).resubmit
        assert (job(world, batch_id).submission, job(world, batch_id).upstream_id) == (2, None)
        again = poll(world, batch_id)
        assert (again.done, again.resubmit) == (False, True), "the same answer to a repeated step"
        submit(world, batch_id, "written")
        assert sorted(name[-2:] for name in world.backend.ledger) == ["a1", "a2"]

    def test_a_displaced_job_of_a_batch_that_is_over_ends(self, world: World, batch_id: str) -> None:
        world.backend.script.append("displaced")
        submit(world, batch_id, "written")
        world.canceller.cancel(batch_id)
        assert poll(world, batch_id).done

    @pytest.mark.parametrize("cause", ["cancelled", "late"])
    def test_a_running_job_is_stopped_and_what_it_finished_is_kept(self, world: World, cause: str) -> None:
        world.backend.turns, world.backend.finished_when_stopped = 10**6, 1
        assert world.deliver(world.drop(FILE))
        batch_id = world.batches()[0].batch_id
        while not world.backend.creations:
            world.states.step()
        if cause == "cancelled":
            world.canceller.cancel(batch_id)
        world.run()
        outcome = world.outcome()
        assert [line["line"] for line in outcome.output] == [1, 2]
        code = "batch_cancelled" if cause == "cancelled" else "batch_expired"
        assert outcome.codes == dict.fromkeys([3, 4, 5], code)
        assert outcome.batch.status == code.removeprefix("batch_")
        assert world.clock() <= outcome.batch.deadline

    def test_a_job_that_cannot_be_stopped_is_given_up_at_the_deadline_and_stopped_by_sweep(self, world: World) -> None:
        world.backend.turns = 10**6
        stop, world.backend.cancel = world.backend.cancel, lambda _: False  # type: ignore[method-assign]
        assert world.deliver(world.drop(FILE))
        while world.states.step():
            pass
        outcome = world.outcome()
        assert outcome.batch.status == "expired"
        assert outcome.receipt["jobs"][0]["state"] == "abandoned"
        assert world.sweep() == {"restarted": 0, "unannounced": 0, "stopped": 0, "released": 0}
        world.backend.cancel = stop  # type: ignore[method-assign]
        world.run()
        assert world.records.get_job(outcome.batch.batch_id, JOB).cancel_confirmed

    def test_a_job_the_backend_forgot_ends(self, world: World, batch_id: str) -> None:
        submit(world, batch_id, "written")
        world.backend.jobs.clear()
        assert not poll(world, batch_id).done, "one such answer is no proof"
        assert poll(world, batch_id).done
        assert "does not know" in job(world, batch_id).reason


class TestCollect:
    def test_a_settled_job_is_collected_once(self, world: World, batch_id: str) -> None:
        submit(world, batch_id)
        submit(world, batch_id, "written")
        assert [poll(world, batch_id).done for _ in range(2)] == [False, True]
        collect(world, batch_id)
        settled = job(world, batch_id)
        assert (settled.state, settled.completed, settled.failed) == (JobState.SETTLED, 5, 0)
        collect(world, batch_id)
        assert job(world, batch_id) == settled

    def test_results_of_a_job_that_was_given_up_stay_unused(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        force_small_steps(monkeypatch)
        assert world.deliver(world.drop(FILE))
        batch_id = world.batches()[0].batch_id
        while not world.records.jobs(batch_id) or job(world, batch_id).state is not JobState.ENDED:
            world.states.step()
        world.records.abandon_job(job(world, batch_id), world.clock(), world.clock(), "late")
        collect(world, batch_id)
        assert job(world, batch_id).state is JobState.ABANDONED


def test_a_clock_is_late_at_its_end() -> None:
    assert Clock(lambda: 10, 10).is_late
    assert not Clock(lambda: 9, 10).is_late
