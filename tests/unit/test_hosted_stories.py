"""The real client of a hosted backend against the fake Together, and the real machines in process: whole batches, with faults."""

import json
from typing import Any

import httpx
import pytest

from fakes.hosted_bench import KEY, URLS, FakeSecrets
from fakes.world import World, jsonl, request
from slacktide.backends.api_keys import ApiKey
from slacktide.backends.dialects import TOGETHER
from slacktide.backends.hosted import HostedBatches
from slacktide.backends.upstream import Upstream
from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.ledger import find_paid_twice
from slacktide_fake_together.transport import FakeTransport

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # its route: together, together, sagemaker
LINES = 12
FILE = jsonl(*(request(f"r{number}", f"hello {number}", model=MODEL) for number in range(1, LINES + 1)))


class StrictTransport(FakeTransport):
    """A service that answers 404 to the create of a file that it does not have."""

    def __init__(self, fake: FakeTogether, **more: Any) -> None:
        super().__init__(fake, **more)
        self.files = fake.service.account.files

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if (request.method, request.url.path) == ("POST", "/v1/batches"):
            file_id = json.loads(request.read())["input_file_id"]
            if file_id not in self.files:
                return httpx.Response(404)
        return super().handle_request(request)


def connect(world: World, requests: int = 5, **settings: Any) -> FakeTogether:
    """Put the real client in the place of `together`, on the world's bucket and clock."""
    fake = FakeTogether(Settings(keys=(KEY,), **settings), clock=world.clock, seed=7)
    transport = StrictTransport(fake, sleep=lambda seconds: world.clock.advance(int(seconds)))
    key = ApiKey(FakeSecrets, "arn:secret")
    upstream = Upstream(
        TOGETHER.name, URLS[TOGETHER.name], key, transport, lambda seconds: world.clock.advance(int(seconds)), world.clock
    )
    world.backends["together"] = HostedBatches(TOGETHER, upstream, world.backend.bucket, requests, world.clock)
    return fake


def line_of(custom_id: str) -> str:
    """The line of a request; a later round of it is the same line."""
    return custom_id.rpartition(".")[2]


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


class TestDeletedInput:
    """The file is deleted upstream between its upload and the create."""

    @pytest.fixture
    def world(self) -> World:
        return World(has_hosted=True)

    @pytest.fixture
    def fake(self, world: World) -> FakeTogether:
        """A batch of one job is about to begin."""
        fake = connect(world, requests=50, lines_per_second=0.01)
        assert world.deliver(world.drop(FILE))
        return fake

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
        """Such a batch is known by its file alone: it could be found by no other."""
        fake.script({"kind": "timeout", "call": "create", "accepted": False})
        while not fake.ledger.counts["create"]:
            world.states.step()
        fake.service.account.files.clear()
        world.run()
        outcome = world.outcome()
        assert [line["line"] for line in outcome.output] == list(range(1, LINES + 1))
        assert fake.ledger.counts["put"] == 1
        assert world.records.jobs(outcome.batch.batch_id)[0].file_id is not None, "it can be found to the end"
        assert {job["backend"] for job in outcome.receipt["jobs"] if job["completed"]} == {"sagemaker"}
        assert fake.ledger.batches == []
