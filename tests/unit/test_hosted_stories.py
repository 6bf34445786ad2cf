"""The real client of a hosted backend against the fake Together, and the real machines in process: whole batches, with faults."""

from random import Random
from typing import Any

import pytest

from fakes.hosted_world import MODEL, connect, line_of
from fakes.world import Outcome, World, jsonl, request
from slacktide.sweeping import STOP_PATIENCE
from slacktide_fake_together import FakeTogether
from slacktide_fake_together.account import Account
from slacktide_fake_together.ledger import find_paid_twice

LINES = 12
FILE = jsonl(*(request(f"r{number}", f"hello {number}", model=MODEL) for number in range(1, LINES + 1)))


Faults = list[dict[str, Any]]
STORIES: dict[str, Faults] = {
    "plain": [],
    "create timed out after acceptance": [{"kind": "timeout", "call": "create", "accepted": True, "times": 2}],
    "create dropped": [
        {"kind": "drop", "call": "create", "accepted": False},
        {"kind": "drop", "call": "create", "accepted": True},
    ],
    "create answered 503 after acceptance": [{"kind": "status", "call": "create", "status": 503, "accepted": True}],
    "create throttled twice": [{"kind": "status", "call": "create", "status": 429, "retry_after": 90, "times": 2}],
    "the file is not seen at once": [{"kind": "status", "call": "create", "status": 404}],
    "no list either": [
        {"kind": "timeout", "call": "create", "accepted": True},
        {"kind": "status", "call": "list_batches", "status": 503, "seconds": 2_000, "times": None},
    ],
    "down for an hour": [{"kind": "status", "call": "*", "status": 503, "seconds": 3_600, "times": None}],
    "a job is missing for a while": [{"kind": "status", "call": "get_batch", "status": 404, "times": 3}],
    "expired half-done": [{"kind": "end", "status": "EXPIRED", "at": 0.5}],
    "failed with a text only": [{"kind": "end", "status": "FAILED", "files": False, "message": "boom"}],
    "lines are missing and malformed": [
        {"kind": "lines", "what": "missing", "count": 2},
        {"kind": "lines", "what": "malformed", "count": 1},
    ],
    "stuck": [{"kind": "stuck", "at": 0.5}],
    "files cut short": [{"kind": "cut", "call": "content", "at": 0.5, "times": 2}],
}


@pytest.mark.parametrize("story", STORIES)
def test_every_line_is_answered_and_none_is_paid_twice(story: str) -> None:
    world = World(has_hosted=True)
    fake = connect(world, lines_per_second=0.01)
    for fault in STORIES[story]:
        fake.script(fault)
    outcome = world.process(FILE)
    assert [line["line"] for line in outcome.output] == list(range(1, LINES + 1))
    assert (outcome.batch.status, outcome.errors) == ("completed", [])
    assert find_paid_twice(fake.ledger.batches, identity=line_of) == {}
    assert world.clock() <= outcome.batch.deadline
    hosted = [job for job in outcome.receipt["jobs"] if job["backend"] == "together"]
    assert hosted
    if story != "failed with a text only":
        assert sum(job["completed"] for job in hosted) > 0


@pytest.fixture
def world() -> World:
    return World(has_hosted=True)


@pytest.fixture
def fake(world: World) -> FakeTogether:
    """A batch of one job is about to begin."""
    fake = connect(world, requests=50, lines_per_second=0.01)
    assert world.deliver(world.drop(FILE))
    return fake


def run_to_deadline(world: World) -> Outcome:
    """The outcome at the deadline, when jobs may be left over for sweep to stop."""
    world.run_until(world.batches()[0].deadline)
    return world.outcome()


class TestDeletedInput:
    """The file is deleted upstream between its upload and the create."""

    @staticmethod
    def delete(world: World, fake: FakeTogether) -> None:
        while not fake.service.account.files or not all(file.is_processed for file in fake.service.account.files.values()):
            world.states.step()
        fake.service.account.files.clear()

    def test_it_is_uploaded_again(self, world: World, fake: FakeTogether) -> None:
        self.delete(world, fake)
        deleted = world.clock()
        world.run()
        outcome = world.outcome()
        assert [line["line"] for line in outcome.output] == list(range(1, LINES + 1))
        jobs = [(job["backend"], job["round"], job["submissions"]) for job in outcome.receipt["jobs"]]
        assert jobs == [("together", 1, 2)]
        assert find_paid_twice(fake.ledger.batches, identity=line_of) == {}
        created = min(batch.created_at for batch in fake.ledger.batches)
        assert deleted + world.settings.settle_window <= created < deleted + 2 * world.settings.settle_window

    def test_another_answer_in_between_begins_the_count_anew(self, world: World, fake: FakeTogether) -> None:
        self.delete(world, fake)
        while world.records.jobs(world.batches()[0].batch_id)[0].unseen_at is None:
            world.states.step()
        outage = world.settings.settle_window - 20
        fake.script({"kind": "status", "call": "get_file", "status": 503, "times": None, "seconds": outage})
        ends = world.clock() + outage
        world.run()
        assert min(batch.created_at for batch in fake.ledger.batches) >= ends + world.settings.settle_window
        assert [line["line"] for line in world.outcome().output] == list(range(1, LINES + 1))

    def test_it_is_not_where_an_earlier_create_may_have_been_heard(self, world: World, fake: FakeTogether) -> None:
        """Such a batch is known by its file alone, and that nobody shows is no proof that there is none."""
        fake.script({"kind": "timeout", "call": "create", "accepted": False})
        while not fake.ledger.counts["create"]:
            world.states.step()
        fake.service.account.files.clear()
        outcome = run_to_deadline(world)
        assert (len(outcome.output), len(outcome.errors)) == (0, LINES), "each line is accounted for"
        assert (fake.ledger.counts["put"], fake.ledger.batches) == (1, [])
        (job,) = world.records.abandoned_jobs()
        assert job.file_id is not None, "it can be found to the end"


class TestAnotherAccount:
    """The API key is changed, in mid-run, for one of another account: it shows no batch and no file of before."""

    @staticmethod
    def change_key(world: World, fake: FakeTogether) -> Account:
        """While the job runs; answers the former account."""
        while not fake.service.account.batches:
            world.states.step()
        former = fake.service.account
        fake.service.account = Account(Random("other"))  # noqa: S311
        return former

    def test_what_runs_there_is_not_run_again(self, world: World, fake: FakeTogether) -> None:
        former = self.change_key(world, fake)
        outcome = run_to_deadline(world)
        fake.service.account = former
        fake.run_out()
        assert find_paid_twice(fake.ledger.batches, identity=line_of) == {}
        assert [job["backend"] for job in outcome.receipt["jobs"]] == ["together"]
        assert (len(outcome.output), len(outcome.errors)) == (0, LINES), "each line is accounted for"

    def test_sweep_asks_for_it_for_a_week(self, world: World, fake: FakeTogether) -> None:
        self.change_key(world, fake)
        run_to_deadline(world)
        (job,) = world.records.abandoned_jobs()
        assert job.settled_at is not None
        for seconds, left in ((STOP_PATIENCE - 1, 1), (STOP_PATIENCE, 0)):
            world.clock.advance_to(job.settled_at + seconds)
            world.sweep()
            assert len(list(world.records.abandoned_jobs())) == left
        assert not world.records.get_job(job.batch_id, job.job_id).cancel_confirmed

    def test_with_the_key_of_the_account_it_is_found_again(self, world: World, fake: FakeTogether) -> None:
        former = self.change_key(world, fake)
        until = world.clock() + 3 * world.settings.settle_window
        while world.clock() < until:
            world.states.step()
        fake.service.account = former
        world.run()
        outcome = world.outcome()
        assert [line["line"] for line in outcome.output] == list(range(1, LINES + 1))
        assert [(job["backend"], job["submissions"]) for job in outcome.receipt["jobs"]] == [("together", 1)]
        assert find_paid_twice(fake.ledger.batches, identity=line_of) == {}
