"""Pools of tokens and of jobs: nothing is submitted before there is room for it, in order, and all of it is given back."""

import dataclasses
from typing import Any

import msgspec
import pytest

from fakes.priced import DAY, LINE, OTHER, codes, drop, hosted, jobs, latest, lines, run_until
from fakes.watch import Watch
from fakes.wire import Killed
from fakes.world import NOTHING, World
from slacktide.accounts import Kind, Ledger, Reservation
from slacktide.batch import Batch, Job
from slacktide.quotas import Granted, Pool
from slacktide.statuses import JobState


class Blind(Ledger):
    """Does not see at its first look what another has reserved."""

    has_looked = False

    def find(self, batch_id: str, job_id: str) -> Reservation | None:
        found = super().find(batch_id, job_id) if self.has_looked else None
        object.__setattr__(self, "has_looked", True)
        return found


def wait_behind_another() -> World:
    """One job runs, and another waits for the room that it takes."""
    world = hosted(Pool(tokens=5 * LINE))
    world.hosted.turns = 10**6
    drop(world, lines(4), "running.jsonl")
    run_until(world, lambda: world.hosted.creations == 1)
    drop(world, lines(4), "dead.jsonl")
    run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
    return world


class TestPools:
    def test_a_batch_that_would_overrun_the_pool_waits_and_then_runs(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})
        world.hosted.turns = 6
        drop(world, lines(4), "one.jsonl")
        drop(world, lines(4), "two.jsonl")
        run_until(world, lambda: latest(world, "two.jsonl")["waiting"] is not None)
        told = latest(world, "two.jsonl")
        assert world.hosted.creations == 1
        assert (
            told["waiting"]
            == {"reason": told["progress"]["jobs"][0]["reason"], "jobs": 1} | told["progress"]["jobs"][0]["waiting"]
        )
        assert "enqueued tokens" in told["waiting"]["reason"]
        assert told["waiting"]["place"] == 1
        assert told["waiting"]["since"] < told["updated_at"]
        world.run()
        assert [batch.status for batch in world.batches()] == ["completed", "completed"]
        assert codes(world) == []
        assert world.hosted.creations == 2
        assert watch.nothing_is_reserved
        assert latest(world, "two.jsonl")["waiting"] is None

    def test_those_behind_the_first_wait_even_if_they_would_fit(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        world.hosted.turns = 40
        drop(world, lines(4), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(3), "big.jsonl")
        world.clock.advance(1)
        drop(world, lines(1), "small.jsonl")
        run_until(world, lambda: all(latest(world, path)["waiting"] for path in ("big.jsonl", "small.jsonl")))
        assert (latest(world, "big.jsonl")["waiting"]["place"], latest(world, "small.jsonl")["waiting"]["place"]) == (1, 2)
        drop(world, lines(1, OTHER), "other.jsonl")
        run_until(world, lambda: world.hosted.creations == 2)
        assert latest(world, "small.jsonl")["waiting"], "another model does not wait behind them"
        world.run()
        assert [len(world.hosted.files[job.file_id]) for job in world.hosted.jobs.values()] == [4, 1, 3, 1], (
            "1 of the other model"
        )

    def test_priority_goes_first_and_waiting_makes_up_for_it(self) -> None:
        world = hosted(Pool(jobs=1))
        watch = Watch(world, {"jobs": 1})
        world.hosted.turns = 120
        drop(world, lines(1), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(1), "low.jsonl", priority="low")
        drop(world, lines(1), "normal.jsonl")
        world.run_until(world.clock() + 3 * 3_600)
        drop(world, lines(1), "high.jsonl", priority="high")
        world.run_until(world.clock() + 2 * 3_600)
        assert world.hosted.creations == 1
        drop(world, lines(1), "late.jsonl", completion_window="2d")
        world.hosted.turns = 2
        world.run()
        order = sorted(
            (job.submitted_at or 0, batch.input.key) for batch in world.batches() for job in world.records.jobs(batch.batch_id)
        )
        names = [key.removeprefix("input/").removesuffix(".jsonl") for _, key in order]
        assert names == ["running", "high", "normal", "low", "late"], "late came 5 hours after low, which is behind by 4"
        assert watch.most == {"pool#together jobs": 1}
        assert watch.nothing_is_reserved

    def test_other_models_in_front_have_the_first_claim_on_a_free_job(self) -> None:
        world = hosted(Pool(tokens=10 * LINE, jobs=1))
        world.hosted.turns = 30
        drop(world, lines(1), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(1, OTHER), "first.jsonl")
        run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
        world.clock.advance(5)
        drop(world, lines(1), "second.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        (job,) = [job for job in jobs(world) if job.state is JobState.RUNNING]
        world.records.update_job(job, state=JobState.SETTLED)
        world.quotas.settle(world.records.get_job(job.batch_id, job.job_id), world.clock())
        first, second = jobs(world)[1:]
        waits = world.quotas.ask(world.records.get_batch(second.batch_id), second, world.clock())
        assert "end of another job" in waits.reason
        assert world.quotas.ask(world.records.get_batch(first.batch_id), first, world.clock()).__class__.__name__ == "Granted"

    def test_a_dead_ticket_is_passed_over_when_its_lease_is_over(self) -> None:
        world = wait_behind_another()
        dead, batch = jobs(world)[1], world.batches()[1]
        drop(world, lines(1), "behind.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        behind = jobs(world)[2]
        world.quotas.settle(msgspec.structs.replace(jobs(world)[0], state=JobState.SETTLED), world.clock())

        def ask(job: Job, now: int) -> Any:
            return world.quotas.ask(world.records.get_batch(job.batch_id), job, now)

        assert ask(behind, world.clock()).place == 2
        lease = 2 * world.settings.wait_longest + world.settings.lease
        assert [ticket.job_id for ticket in world.quotas.queues.lapsed(world.clock() + lease)] == ["r1-j1", "r1-j1"]
        assert (
            world.quotas.queues.ahead(
                world.quotas._ticket(world.records.get_batch(behind.batch_id), behind, 0), world.clock() + lease
            )
            == []
        )
        assert ask(dead, world.clock()).__class__.__name__ == "Granted", "it comes back to its place"
        assert batch.batch_id == dead.batch_id

    def test_the_ticket_of_a_job_that_was_given_up_is_removed_by_the_next(self) -> None:
        world = wait_behind_another()
        drop(world, lines(1), "behind.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        world.records.abandon_job(jobs(world)[1], world.clock(), world.clock(), "a test")
        behind = jobs(world)[2]
        assert world.quotas.ask(world.records.get_batch(behind.batch_id), behind, world.clock()).__class__.__name__ == "Granted"

    def test_the_ticket_of_another_models_job_that_was_given_up_has_no_claim(self) -> None:
        world = hosted(Pool(jobs=1))
        world.hosted.turns = 10**6
        drop(world, lines(1), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(1, OTHER), "dead.jsonl")
        run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
        drop(world, lines(1), "behind.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        running, dead, behind = jobs(world)
        world.records.abandon_job(dead, world.clock(), world.clock(), "a test")
        world.quotas.settle(msgspec.structs.replace(running, state=JobState.SETTLED), world.clock())
        answer = world.quotas.ask(world.records.get_batch(behind.batch_id), behind, world.clock())
        assert isinstance(answer, Granted)

    @pytest.mark.parametrize("ledger", [Ledger, Blind])
    def test_who_comes_second_for_the_same_job_leaves_no_ticket(self, ledger: type[Ledger]) -> None:
        world = hosted(Pool(tokens=10 * LINE))
        watch = Watch(world, {"tokens": 4 * LINE})
        drop(world, lines(4), "a.jsonl")
        run_until(world, lambda: watch.most != {})
        (batch,), (job,) = world.batches(), jobs(world)
        world.quotas.queues.take(world.quotas._ticket(batch, job, world.clock()))
        second = dataclasses.replace(world.quotas, ledger=ledger(world.table))
        assert isinstance(second.ask(batch, job, world.clock()), Granted)
        assert [key for key in world.table.items if key[0].startswith("queue#")] == []


class TestLeftBehind:
    def abandoned(self) -> tuple[World, Watch, Batch]:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})
        world.hosted.turns, world.hosted.cancels_needed = 10**6, 10**6
        drop(world, lines(4), "a.jsonl", max_cost_usd="50", completion_window="1h", route="together")
        while world.states.step():
            pass
        (batch,) = world.batches()
        assert jobs(world)[0].state is JobState.ABANDONED
        return world, watch, batch

    def test_an_abandoned_job_keeps_its_room_until_its_end_is_confirmed(self) -> None:
        world, watch, batch = self.abandoned()
        pool = next(key for key in watch.accounts() if "tokens" in key)
        world.sweep()
        assert watch.accounts()[pool]["used"] > 0, "it may still run"
        world.hosted.cancels_needed = 0
        world.sweep()
        world.sweep()
        assert jobs(world)[0].cancel_confirmed
        world.sweep()
        assert watch.nothing_is_reserved
        assert watch.accounts()[pool]["used"] == 0
        assert watch.accounts()[f"{batch.batch_id} budget"]["used"] == watch.most[f"{batch.batch_id} budget"], "nobody knows"

    def test_no_reservation_outlives_its_lease(self) -> None:
        world, watch, batch = self.abandoned()
        world.clock.advance_to(batch.deadline + DAY - 1)
        world.sweep()
        assert not watch.nothing_is_reserved
        world.clock.advance(1)
        world.sweep()
        assert watch.nothing_is_reserved

    def test_sweep_gives_back_what_the_death_of_collect_left(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})

        object.__setattr__(world.quotas, "ledger", Dying(world.table))
        world.process(lines(4))
        assert jobs(world)[0].state is JobState.SETTLED
        assert not watch.nothing_is_reserved
        object.__setattr__(world.quotas, "ledger", Ledger(world.table))
        assert world.sweep() == NOTHING | {"released": 1}
        assert watch.nothing_is_reserved

    def test_a_reservation_is_given_back_once(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})
        drop(world, lines(4), "a.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        (job,) = jobs(world)
        reservation = world.quotas.ledger.find(job.batch_id, job.job_id)
        assert reservation
        assert [charge.kind for charge in reservation.charges] == [Kind.ENQUEUED_TOKENS]
        for _ in range(2):
            world.quotas.ledger.settle(reservation, [0])
        assert watch.nothing_is_reserved
        assert [int(account["used"]) for account in watch.accounts().values()] == [0]


class Dying(Ledger):
    """Whoever wants to settle dies."""

    def settle(self, *_: Any) -> None:
        raise Killed
