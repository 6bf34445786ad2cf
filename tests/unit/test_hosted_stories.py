"""The real client of a hosted backend against the fake Together, and the real machines in process: whole batches, with faults."""

from typing import Any

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


def connect(world: World, **settings: Any) -> FakeTogether:
    """Put the real client in the place of `together`, on the world's bucket and clock."""
    fake = FakeTogether(Settings(keys=(KEY,), **settings), clock=world.clock, seed=7)
    transport = FakeTransport(fake, sleep=lambda seconds: world.clock.advance(int(seconds)))
    key = ApiKey(FakeSecrets, "arn:secret")
    upstream = Upstream(
        TOGETHER.name, URLS[TOGETHER.name], key, transport, lambda seconds: world.clock.advance(int(seconds)), world.clock
    )
    world.backends["together"] = HostedBatches(TOGETHER, upstream, world.backend.bucket, 5, world.clock)
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
