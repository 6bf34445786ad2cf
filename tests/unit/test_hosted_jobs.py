"""Jobs where creation has no idempotency key: whatever happens to an answer, no second paid job without proof."""

from contextlib import suppress
from typing import Any

import pytest

from fakes.metrics import read_metrics
from fakes.wire import Killed
from fakes.world import World, jsonl, request
from slacktide import collection, wiring
from slacktide.backends import upstream
from slacktide.batch import Job
from slacktide.errors import ConflictError
from slacktide.statuses import JobNotice, JobState
from slacktide.steps import Gathering, Poll, Submission
from slacktide.submitting import Submitter
from template.document import read_template

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # its route: together, together, sagemaker
FILE = jsonl(*(request(f"r{number}", model=MODEL) for number in range(1, 6)))
JOB = "r1-j1"


@pytest.fixture
def world() -> World:
    return World(has_hosted=True)


@pytest.fixture
def batch_id(world: World) -> str:
    """A batch with one planned job of five lines."""
    assert world.deliver(world.drop(FILE))
    batch_id = world.batches()[0].batch_id
    world.planner.plan(batch_id)
    return batch_id


def submit(world: World, batch_id: str, cursor: str | None = "written", wait_seconds: int = 0) -> Submission:
    return world.jobs.submit(batch_id, JOB, clock=world.invocation_clock, cursor=cursor, wait_seconds=wait_seconds)


def submit_whole(world: World, batch_id: str) -> Submission:
    """Uploaded, and one try to create it."""
    assert not submit(world, batch_id, None).done
    return submit(world, batch_id)


def poll(world: World, batch_id: str) -> Poll:
    return world.jobs.poll(batch_id, JOB, now=world.clock(), wait_seconds=15)


def collect(world: World, batch_id: str) -> Gathering:
    return world.jobs.collect(batch_id, JOB, clock=world.invocation_clock, cursor=None, wait_seconds=20)


def job(world: World, batch_id: str) -> Job:
    return world.records.get_job(batch_id, JOB)


def kinds(world: World, batch_id: str) -> list[JobNotice]:
    return [notice.kind for notice in job(world, batch_id).notices]


def pass_settle_window(world: World) -> None:
    world.clock.advance(world.settings.settle_window)


class TestSubmit:
    def test_file_then_intent_then_job_are_recorded(self, world: World, batch_id: str) -> None:
        assert submit(world, batch_id, None) == Submission(False, "submitted", 0, "written")
        uploaded = job(world, batch_id)
        assert (uploaded.file_id in world.hosted.files, uploaded.asked_at, uploaded.upstream_id) == (True, None, None)
        assert submit(world, batch_id) == Submission(True, "submitted", 15)
        created = job(world, batch_id)
        assert (created.upstream_id, created.asked_at, created.state) == ("up-1", world.clock(), JobState.RUNNING)
        assert submit(world, batch_id).outcome == "submitted"
        assert (world.hosted.creations, world.hosted.calls["upload"]) == (1, 1)

    def test_lines_carry_the_backends_name_of_the_model(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        ((told, *_),) = world.hosted.files.values()
        assert told["body"] == request("x", model=f"hosted/{MODEL}")["body"]
        assert told["custom_id"] == f"{batch_id}.1.1"

    @pytest.mark.parametrize("call", ["uploads", "creates"])
    def test_no_room_is_waited_for_as_long_as_the_backend_says(self, world: World, batch_id: str, call: str) -> None:
        getattr(world.hosted, call).append("full")
        answer = submit(world, batch_id, None)
        if call == "creates":
            answer = submit(world, batch_id)
        assert answer == Submission(True, "quota_full", 60, "written"), "40 asked for, and growing by half"
        waiting = job(world, batch_id)
        assert (waiting.state, waiting.asked_at) == (JobState.WAITING, None)
        assert "no room" in (waiting.reason or "")
        while not (answer := submit(world, batch_id)).done:
            pass
        assert answer.outcome == "submitted"
        assert (world.hosted.creations, world.hosted.calls["find"]) == (1, 0)

    @pytest.mark.parametrize("call", ["uploads", "creates"])
    def test_a_refusal_ends_the_job_and_nothing_is_looked_for(self, world: World, batch_id: str, call: str) -> None:
        getattr(world.hosted, call).append("rejected")
        world.hosted.is_down = True  # a key that is not valid makes no list either
        submit(world, batch_id, None)
        while not (answer := submit(world, batch_id)).done:
            pass
        assert answer.outcome == "rejected"
        assert job(world, batch_id).state is JobState.ENDED
        assert "refused" in (job(world, batch_id).reason or "")
        assert collect(world, batch_id).done, "there are no files to fetch"

    @pytest.mark.parametrize("outcome", ["lost", "crash"])
    def test_a_lost_answer_is_found_and_adopted(self, world: World, batch_id: str, outcome: str) -> None:
        world.hosted.creates.append(outcome)
        if outcome == "crash":
            with pytest.raises(Killed):
                submit_whole(world, batch_id)
        else:
            assert submit_whole(world, batch_id) == Submission(True, "unsettled", 15, "written")
        asked = job(world, batch_id)
        assert (asked.asked_at, asked.upstream_id) == (world.clock(), None)
        assert submit(world, batch_id).outcome == "submitted"
        adopted = job(world, batch_id)
        assert (adopted.upstream_id, adopted.state, adopted.submission) == ("up-1", JobState.RUNNING, 1)
        assert (world.hosted.creations, adopted.notices) == (1, [])

    def test_only_after_the_window_and_a_look_another_is_created(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append("dropped")
        submit_whole(world, batch_id)
        world.clock.advance(world.settings.settle_window - 1)
        assert submit(world, batch_id, wait_seconds=200) == Submission(True, "unsettled", 1, "written"), "to the window's end"
        assert world.hosted.calls["submit"] == 1
        world.clock.advance(1)
        world.hosted.is_down = True
        assert submit(world, batch_id).outcome == "unsettled", "no list, no proof"
        world.clock.advance(10_000)
        assert submit(world, batch_id).outcome == "unsettled"
        assert world.hosted.calls["submit"] == 1
        world.hosted.is_down = False
        assert submit(world, batch_id).outcome == "submitted"
        again = job(world, batch_id)
        assert (again.submission, again.is_watched, again.upstream_id) == (2, True, "up-1")
        assert world.hosted.calls["upload"] == 1

    def test_the_window_of_another_counts_from_its_own_request_on(self, world: World, batch_id: str) -> None:
        """The list takes so long to read that the window would be over before the request is sent."""
        world.hosted.creates.extend(["dropped", f"late:{world.settings.settle_window - 1}"])
        submit_whole(world, batch_id)
        pass_settle_window(world)
        find = world.hosted.find

        def take_long(work: Any) -> Any:
            pass_settle_window(world)
            return find(work)

        world.hosted.find = take_long  # type: ignore[method-assign]
        assert submit(world, batch_id).outcome == "unsettled"
        assert job(world, batch_id).asked_at == world.clock()
        world.hosted.find = find  # type: ignore[method-assign]
        while submit(world, batch_id).outcome == "unsettled":
            world.clock.advance(50)
        assert (world.hosted.creations, job(world, batch_id).upstream_id) == (1, "up-1")

    def test_nothing_is_created_when_the_time_was_over_during_the_look(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append("dropped")
        submit_whole(world, batch_id)
        pass_settle_window(world)
        find = world.hosted.find

        def take_for_ever(work: Any) -> Any:
            world.clock.advance_to(world.batches()[0].deadline)
            return find(work)

        world.hosted.find = take_for_ever  # type: ignore[method-assign]
        assert submit(world, batch_id).outcome == "rejected"
        assert (world.hosted.calls["submit"], job(world, batch_id).state) == (1, JobState.ENDED)

    def test_waits_for_proof_grow(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append("dropped")
        waits = [submit_whole(world, batch_id).wait_seconds]
        while world.hosted.calls["submit"] == 1:
            world.clock.advance(waits[-1])
            waits.append(submit(world, batch_id, wait_seconds=waits[-1]).wait_seconds)
        looks = waits[:-1]
        assert looks[:-1] == sorted(looks[:-1])
        assert sum(looks) == world.settings.settle_window
        assert len(looks) < 10

    @pytest.mark.parametrize("is_down", [False, True])
    def test_one_that_comes_late_is_stopped_and_told_of(self, world: World, batch_id: str, is_down: bool) -> None:
        world.hosted.turns = 10**6
        world.hosted.creates.append(f"late:{world.settings.settle_window + 100}")
        submit_whole(world, batch_id)
        pass_settle_window(world)
        assert submit(world, batch_id).outcome == "submitted"
        assert (job(world, batch_id).upstream_id, world.hosted.live) == ("up-2", ["up-1", "up-2"])
        assert not poll(world, batch_id).done
        assert world.hosted.live == ["up-1", "up-2"], "nobody can see it yet"
        world.clock.advance(100)
        world.hosted.is_down = is_down
        assert not poll(world, batch_id).done
        world.hosted.is_down = False
        poll(world, batch_id)
        assert world.hosted.live == ["up-2"]
        assert kinds(world, batch_id) == [JobNotice.REPEATED], "once"

    def test_a_job_ends_only_when_no_other_of_its_input_runs(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append(f"late:{world.settings.settle_window + 1}")
        submit_whole(world, batch_id)
        pass_settle_window(world)
        submit(world, batch_id)
        world.clock.advance(1)
        world.hosted.cancels_needed = 3
        world.hosted.jobs["up-2"].turns = 1
        assert [poll(world, batch_id).done for _ in range(4)] == [False, False, False, True]
        assert (world.hosted.live, world.hosted.jobs["up-1"].state) == ([], "cancelled")

    @pytest.mark.parametrize("cause", ["cancelled", "late"])
    def test_where_no_round_follows_what_it_has_done_does_not_wait_for_the_other(
        self, world: World, batch_id: str, cause: str
    ) -> None:
        world.hosted.creates.append(f"late:{world.settings.settle_window + 1}")
        submit_whole(world, batch_id)
        pass_settle_window(world)
        submit(world, batch_id)
        world.clock.advance(1)
        world.hosted.cancels_needed = 10**6
        world.hosted.jobs["up-2"].turns = 1
        assert not poll(world, batch_id).done, "its lines could be run again"
        if cause == "cancelled":
            world.canceller.cancel(batch_id)
        else:
            world.clock.advance_to(world.batches()[0].deadline - world.settings.assembly_reserve)
        assert poll(world, batch_id).done
        assert collect(world, batch_id).done
        assert (job(world, batch_id).state, job(world, batch_id).completed) == (JobState.SETTLED, 5)
        assert (world.sweep() or {})["stopped"] == 0
        world.hosted.cancels_needed = 1
        assert [(world.sweep() or {})["stopped"] for _ in range(3)] == [0, 1, 0]
        assert (world.hosted.live, job(world, batch_id).state) == ([], JobState.SETTLED)

    def test_one_that_has_ended_before_anybody_saw_it_is_told_of_too(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append(f"late:{world.settings.settle_window + 1}")
        submit_whole(world, batch_id)
        pass_settle_window(world)
        submit(world, batch_id)
        world.hosted.jobs["up-1"].state = "completed"
        world.clock.advance(1)
        while not poll(world, batch_id).done:
            pass
        assert kinds(world, batch_id) == [JobNotice.REPEATED]
        assert world.hosted.calls["cancel"] == 0

    def test_of_two_the_oldest_is_adopted_and_the_other_stopped(self, world: World, batch_id: str) -> None:
        world.hosted.turns = 10**6
        window = world.settings.settle_window
        world.hosted.creates.extend([f"late:{window + 1}", "lost"])
        submit_whole(world, batch_id)
        world.clock.advance(window)
        assert submit(world, batch_id).outcome == "unsettled"
        world.clock.advance(1)
        assert submit(world, batch_id).outcome == "submitted"
        adopted = job(world, batch_id)
        assert (adopted.upstream_id, world.hosted.live) == ("up-1", ["up-1"])
        assert (kinds(world, batch_id), adopted.is_watched) == ([JobNotice.REPEATED], True)
        assert "2 jobs" in (adopted.reason or "")

    def test_only_one_of_two_invocations_asks(self, world: World, batch_id: str) -> None:
        submit(world, batch_id, None)
        create, entered = world.hosted.submit, []

        def enter_again(work: Any) -> Any:
            entered.append(submit(world, batch_id).outcome)
            return create(work)

        world.hosted.submit = enter_again  # type: ignore[method-assign]
        assert submit(world, batch_id).outcome == "submitted"
        assert (entered, world.hosted.creations, job(world, batch_id).upstream_id) == (["unsettled"], 1, "up-1")

    def test_of_two_invocations_that_read_the_same_one_asks(self, world: World, batch_id: str) -> None:
        submit(world, batch_id, None)
        submitter = Submitter(world.bucket, world.records, world.backends, world.tables, world.quotas, world.settings)
        batch, read = world.records.get_batch(batch_id), job(world, batch_id)
        for _ in range(2):
            with suppress(ConflictError):
                submitter.submit(batch, read, clock=world.invocation_clock, cursor="written", wait_seconds=0)
        assert (world.hosted.calls["submit"], world.hosted.creations) == (1, 1)

    def test_one_that_comes_late_is_adopted_while_there_is_no_room_for_another(self, world: World, batch_id: str) -> None:
        world.hosted.creates.extend([f"late:{world.settings.settle_window + 10}", "full"])
        submit_whole(world, batch_id)
        pass_settle_window(world)
        assert submit(world, batch_id).outcome == "quota_full"
        world.clock.advance(60)
        assert submit(world, batch_id).outcome == "submitted"
        assert (job(world, batch_id).upstream_id, world.hosted.creations) == ("up-1", 1)
        assert job(world, batch_id).submission == 2

    def test_one_that_comes_late_is_stopped_before_a_refused_job_ends(self, world: World, batch_id: str) -> None:
        world.hosted.turns = 10**6
        world.hosted.creates.extend([f"late:{world.settings.settle_window + 1}", "rejected"])
        submit_whole(world, batch_id)
        pass_settle_window(world)
        create = world.hosted.submit

        def take_time(work: Any) -> Any:
            world.clock.advance(1)
            return create(work)

        world.hosted.submit = take_time  # type: ignore[method-assign]
        assert submit(world, batch_id).outcome == "unsettled", "asked to stop, not confirmed"
        assert world.hosted.live == []
        assert job(world, batch_id).state is not JobState.ENDED

    def test_an_answer_that_comes_after_another_was_recorded_is_stopped(self, world: World, batch_id: str) -> None:
        """An invocation that hangs over the whole window, against all time-outs."""
        submit(world, batch_id, None)
        world.hosted.turns = 10**6
        create = world.hosted.submit

        def hang(work: Any) -> Any:
            world.hosted.submit = create  # type: ignore[method-assign]
            pass_settle_window(world)
            assert submit(world, batch_id).outcome == "submitted"
            return create(work)

        world.hosted.submit = hang  # type: ignore[method-assign]
        assert submit(world, batch_id).outcome == "submitted"
        assert (job(world, batch_id).upstream_id, world.hosted.live) == ("up-1", ["up-1"])
        assert world.hosted.creations == 2

    def test_an_answer_that_comes_before_the_other_is_recorded_counts(self, world: World, batch_id: str) -> None:
        submit(world, batch_id, None)
        world.hosted.turns = 10**6
        create = world.hosted.submit

        def hang(work: Any) -> Any:
            world.hosted.submit = create  # type: ignore[method-assign]
            answer = create(work)
            world.hosted.jobs["up-1"].is_seen_from = world.clock() + 10_000
            pass_settle_window(world)
            world.hosted.creates.append("lost")
            assert submit(world, batch_id).outcome == "unsettled"
            return answer

        world.hosted.submit = hang  # type: ignore[method-assign]
        submit(world, batch_id)
        assert (job(world, batch_id).upstream_id, job(world, batch_id).is_watched) == ("up-1", True)
        poll(world, batch_id)
        assert world.hosted.live == ["up-1"]

    def test_a_job_given_up_while_it_is_created_is_stopped_at_once(self, world: World, batch_id: str) -> None:
        submit(world, batch_id, None)
        world.hosted.turns = 10**6
        create = world.hosted.submit

        def give_up_then_create(work: Any) -> Any:
            world.records.abandon_job(job(world, batch_id), world.clock(), world.clock(), "late")
            world.sweep()  # looks for it too early
            return create(work)

        world.hosted.submit = give_up_then_create  # type: ignore[method-assign]
        submit(world, batch_id)
        assert (world.hosted.creations, world.hosted.live) == (1, [])


class TestGivenUp:
    @pytest.mark.parametrize("cause", ["cancelled", "late"])
    def test_an_unknown_creation_is_found_stopped_and_collected(self, world: World, cause: str) -> None:
        world.hosted.turns, world.hosted.done_when_stopped = 10**6, 2
        world.hosted.creates.append("late:100")
        assert world.deliver(world.drop(FILE, route="together"))
        batch_id = world.batches()[0].batch_id
        while not world.hosted.creations:
            world.states.step()
        if cause == "cancelled":
            world.canceller.cancel(batch_id)
        world.run()
        outcome = world.outcome()
        code = "batch_cancelled" if cause == "cancelled" else "batch_expired"
        assert [line["line"] for line in outcome.output] == [1, 2]
        assert outcome.codes == dict.fromkeys([3, 4, 5], code)
        assert (world.hosted.creations, world.hosted.live) == (1, [])

    def test_one_that_was_never_created_is_waited_out(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append("dropped")
        submit_whole(world, batch_id)
        world.canceller.cancel(batch_id)
        assert submit(world, batch_id).outcome == "unsettled"
        pass_settle_window(world)
        assert submit(world, batch_id).outcome == "rejected"
        assert (job(world, batch_id).state, world.hosted.calls["submit"]) == (JobState.ENDED, 1)

    def test_sweep_looks_for_an_abandoned_one_until_it_is_proven(self, world: World, batch_id: str) -> None:
        world.hosted.turns, world.hosted.cancels_needed = 10**6, 2
        world.hosted.creates.append("late:200")
        submit_whole(world, batch_id)
        world.records.abandon_job(job(world, batch_id), world.clock(), world.clock(), "late")
        stopped = []
        for _ in range(8):
            world.hosted.is_down = len(stopped) == 6
            stopped.append((world.sweep() or {})["stopped"])
            world.clock.advance(50)
        assert stopped == [0, 0, 0, 0, 0, 0, 0, 1], "not seen; asked twice; window not over; no list; confirmed"
        assert (world.hosted.live, job(world, batch_id).cancel_confirmed) == ([], True)

    def test_sweep_is_done_with_one_that_was_refused(self, world: World, batch_id: str) -> None:
        world.hosted.creates.append("full")
        submit_whole(world, batch_id)
        world.records.abandon_job(job(world, batch_id), world.clock(), world.clock(), "late")
        assert (world.sweep() or {})["stopped"] == 1


class TestPoll:
    def test_progress_never_goes_back_and_silence_changes_nothing(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.turns = world.hosted.jobs["up-1"].turns = 10**6
        shares = [0.4, 0.2, 0.8]
        seen = []
        for share in shares:
            world.hosted.share = share
            seen.append(poll(world, batch_id).progress)
        world.hosted.polls.append("silent")
        assert [*seen, poll(world, batch_id).progress] == [2, 2, 4, 4]

    def test_one_missing_answer_is_no_proof(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.polls.extend(["missing", "ok", "missing"])
        assert [poll(world, batch_id).done for _ in range(4)] == [False, False, False, True]
        assert (job(world, batch_id).is_lost, world.hosted.calls["find"]) == (False, 0)

    def test_a_job_that_is_listed_is_not_lost(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.polls.extend(["missing"] * 5)
        for _ in range(5):
            assert not poll(world, batch_id).done
            pass_settle_window(world)
        assert not job(world, batch_id).is_lost

    def test_a_job_that_the_list_alone_knows_ends_as_the_list_says(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.polls.extend(["missing"] * 10)
        assert [poll(world, batch_id).done for _ in range(2)] == [False, False]
        upstream = world.hosted.jobs["up-1"]
        upstream.state, upstream.done = "completed", 5
        assert poll(world, batch_id).done
        assert collect(world, batch_id).done
        assert (job(world, batch_id).completed, job(world, batch_id).reason) == (5, None)

    def test_a_job_that_the_list_alone_knows_is_asked_to_stop_when_its_time_is_over(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.polls.extend(["missing"] * 10)
        world.hosted.cancels_needed = 3
        world.canceller.cancel(batch_id)
        assert [poll(world, batch_id).done for _ in range(4)] == [False, False, True, True]
        assert world.hosted.calls["cancel"] == 3
        assert job(world, batch_id).cancel_requested

    def test_a_lost_job_ends_after_the_window_and_its_lines_go_on(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.polls.append("forget")
        assert not poll(world, batch_id).done
        assert not poll(world, batch_id).done
        pass_settle_window(world)
        world.hosted.is_down = True
        assert not poll(world, batch_id).done, "no list, no proof"
        world.hosted.is_down = False
        assert poll(world, batch_id).done
        assert collect(world, batch_id).done
        assert world.hosted.calls["results"] == 0
        settled = job(world, batch_id)
        assert (settled.state, settled.completed) == (JobState.SETTLED, 0)
        assert "does not know" in (settled.reason or "")

    def test_a_displaced_job_is_created_again_and_not_taken_for_the_new_one(self, world: World, batch_id: str) -> None:
        world.hosted.creates.extend(["displaced", "lost"])
        submit_whole(world, batch_id)
        assert poll(world, batch_id).resubmit
        assert submit(world, batch_id).outcome == "unsettled"
        assert submit(world, batch_id).outcome == "submitted"
        again = job(world, batch_id)
        assert (again.upstream_id, again.submission, world.hosted.calls["upload"]) == ("up-2", 2, 1)

    def test_a_stuck_job_is_told_of_once(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.jobs["up-1"].turns = 10**6
        poll(world, batch_id)
        for _ in range(3):
            assert kinds(world, batch_id) == []
            world.clock.advance(world.settings.stuck_time // 2)
            poll(world, batch_id)
            if kinds(world, batch_id):
                break
        world.clock.advance(world.settings.stuck_time)
        poll(world, batch_id)
        assert kinds(world, batch_id) == [JobNotice.STUCK]
        for _ in range(2):
            world.follower.follow(batch_id, 15)
        told = [entry for entry in world.bus.entries if entry["DetailType"] == "Job Stuck"]
        assert len(told) == 1
        assert job(world, batch_id).announced == 1

    def test_what_is_told_of_is_counted_too(self, world: World, batch_id: str, capsys: pytest.CaptureFixture[str]) -> None:
        world.hosted.turns = 10**6
        window = world.settings.settle_window
        world.hosted.creates.extend([f"late:{window + 1}", "lost"])
        submit_whole(world, batch_id)
        world.clock.advance(window)
        submit(world, batch_id)
        world.clock.advance(1)
        submit(world, batch_id)
        poll(world, batch_id)
        world.clock.advance(world.settings.stuck_time)
        poll(world, batch_id)
        for _ in range(2):
            world.follower.follow(batch_id, 15)
        assert [entry["DetailType"] for entry in world.bus.entries][-2:] == ["Job Repeated", "Job Stuck"]
        assert read_metrics(capsys.readouterr().out) == [("JobRepeated", 1, "bus"), ("JobStuck", 1, "bus")]

    def test_a_notice_that_the_bus_did_not_take_is_sent_by_the_next_turn(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.jobs["up-1"].turns = 10**6
        poll(world, batch_id)
        world.clock.advance(world.settings.stuck_time)
        poll(world, batch_id)
        world.bus.refusals = 1
        world.follower.follow(batch_id, 15)
        assert job(world, batch_id).announced == 0
        world.follower.follow(batch_id, 15)
        assert [entry["DetailType"] for entry in world.bus.entries][-1] == "Job Stuck"

    def test_a_job_is_asked_to_stop_until_it_has(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        world.hosted.jobs["up-1"].turns = 10**6
        world.hosted.cancels_needed = 3
        world.canceller.cancel(batch_id)
        assert [poll(world, batch_id).done for _ in range(4)] == [False, False, False, True]
        assert world.hosted.calls["cancel"] == 3


class TestCollect:
    def test_files_that_cannot_be_had_now_are_waited_for(self, world: World, batch_id: str) -> None:
        submit_whole(world, batch_id)
        assert [poll(world, batch_id).done for _ in range(2)] == [False, True]
        world.hosted.is_down = True
        assert collect(world, batch_id) == Gathering(done=False, wait_seconds=30)
        world.hosted.is_down = False
        assert collect(world, batch_id).done
        assert job(world, batch_id).completed == 5

    def test_a_late_one_goes_on_behind_what_it_has(self, world: World, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collection, "PART_BYTES", 1)
        submit_whole(world, batch_id)
        assert [poll(world, batch_id).done for _ in range(2)] == [False, True]
        world.hurry = True
        cursors: list[str | None] = [None]
        while (answer := self.go_on(world, batch_id, cursors[-1])).cursor is not None:
            cursors.append(answer.cursor)
        assert cursors == [None, "1", "2", "3", "4"]
        assert (answer.done, world.hosted.calls["results"], job(world, batch_id).completed) == (True, 5, 5)

    def test_one_that_is_late_loses_nothing_of_its_way_to_an_outage(
        self, world: World, batch_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collection, "PART_BYTES", 1)
        submit_whole(world, batch_id)
        assert [poll(world, batch_id).done for _ in range(2)] == [False, True]
        world.hurry = True
        answer = self.go_on(world, batch_id, None)
        world.hosted.is_down = True
        assert self.go_on(world, batch_id, answer.cursor) == Gathering(done=False, wait_seconds=15, cursor="1")

    def test_what_is_collected_stays_when_the_files_are_gone(
        self, world: World, batch_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collection, "PART_BYTES", 1)
        submit_whole(world, batch_id)
        assert [poll(world, batch_id).done for _ in range(2)] == [False, True]
        world.hurry = True
        cursor = self.go_on(world, batch_id, self.go_on(world, batch_id, None).cursor).cursor
        world.hosted.jobs["up-1"].done = 0
        assert self.go_on(world, batch_id, cursor).done
        assert (job(world, batch_id).completed, job(world, batch_id).failed) == (2, 3)

    @staticmethod
    def go_on(world: World, batch_id: str, cursor: str | None) -> Gathering:
        return world.jobs.collect(batch_id, JOB, clock=world.invocation_clock, cursor=cursor, wait_seconds=0)


def test_the_settle_window_outlasts_every_create() -> None:
    """From the record of the intent on: the write of it with all its tries, then the request."""
    write = (wiring.CONNECT_SECONDS + wiring.READ_SECONDS) * wiring.TRIES
    parameter = read_template()["Parameters"]["SettleWindowSeconds"]
    assert write + upstream.CREATE_SECONDS < parameter["Default"] == World().settings.settle_window
    assert f"Below {write + upstream.CREATE_SECONDS} " in parameter["Description"]
