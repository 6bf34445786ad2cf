"""A function is killed before and after each HTTP call of the real hosted client, and each call of the bucket in between."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.hosted_world import MODEL, connect, line_of
from fakes.points import Point, choose_points, find_points, try_points
from fakes.wire import Wire
from fakes.world import World, jsonl, request
from slacktide.backends import fetching
from slacktide_fake_together import FakeTogether
from slacktide_fake_together.ledger import find_paid_twice

LINES = 8
FILE = jsonl(*(request(f"r{number}", f"hello {number}", model=MODEL) for number in range(1, LINES + 1)))
HTTP = "Http."
MOST_OTHERS = 40  # of one scenario, a sample; all were tried when this was written


@dataclass(frozen=True)
class Scenario:
    """What the upstream does, and whose calls are tried."""

    faults: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    calls: tuple[str, ...] = (HTTP,)
    window: str = "24h"

    def play(self, kill: tuple[int, str] | None = None) -> tuple[World, FakeTogether]:
        world = World(has_hosted=True)
        fake = connect(world, requests=5, lines_per_second=0.01)
        fake.script(self.faults)
        world.wire.kill = kill
        assert world.deliver(world.drop(FILE, completion_window=self.window)), "the queue gave the message up"
        world.run()
        return world, fake


SCENARIOS = {
    "plain": Scenario(calls=(HTTP, "FakeS3.")),
    "create timed out after acceptance": Scenario([{"kind": "timeout", "call": "create", "accepted": True}]),
    "create dropped": Scenario([{"kind": "drop", "call": "create", "accepted": False, "times": 2}]),
    "half done": Scenario([{"kind": "end", "status": "EXPIRED", "at": 0.5}]),
    "stuck": Scenario([{"kind": "stuck", "at": 0.5}], window="2h"),
    "files cut and late": Scenario(
        [{"kind": "cut", "call": "content", "at": 0.5}, {"kind": "status", "call": "content", "status": 404}]
    ),
    "missing for a while": Scenario([{"kind": "status", "call": "get_batch", "status": 404, "times": 3}]),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_client_that_is_killed_pays_nothing_twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "BLOCK_LINES", 2)
    scenario = SCENARIOS[name]
    whole, fake = scenario.play()
    check(whole, fake)
    calls = whole.wire.calls
    functions = tuple(f"{function}:{call}" for function in ("submit", "poll", "collect") for call in scenario.calls)
    points = find_points(calls, lambda call: call.startswith(functions))
    assert len(points) >= 20
    # What uploads, makes and stops jobs is always tried.
    always = [point for point in points if calls[point[0]].endswith("Http.POST")]

    def run(point: Point) -> Wire:
        world, fake = scenario.play(point)
        check(world, fake)
        return world.wire

    try_points(calls, choose_points(points, len(always) + MOST_OTHERS, always), run)


def check(world: World, fake: FakeTogether) -> None:
    """What is true of every run."""
    outcome = world.outcome()
    assert [line["line"] for line in outcome.output] == list(range(1, LINES + 1))
    assert (outcome.batch.status, outcome.errors) == ("completed", [])
    assert find_paid_twice(fake.ledger.batches, identity=line_of) == {}
    assert list(fake.service.account.unfinished()) == [], "nothing goes on running"
    assert all(execution.status != "RUNNING" for execution in world.states.executions.values())
