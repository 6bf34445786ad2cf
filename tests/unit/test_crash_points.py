"""A function is killed before and after each of its external calls: the batch ends as if nothing had happened."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fakes.backend import Request, drop, fail, succeed
from fakes.points import Point, choose_points, find_points, try_points
from fakes.wire import Wire
from fakes.world import Outcome, World, force_ids, force_small_steps, jsonl, request

MOST_POINTS = 140  # of one scenario; of more, a sample. A run takes some 25 ms; all points were tried when this was written


def answer(told: Request, round_number: int) -> list[bytes]:
    """Line 2 is lost in the first round, line 5 always refused, line 6 always fails."""
    line = int(told["custom_id"].rpartition(".")[2])
    kinds = {2: drop if round_number == 1 else succeed, 5: fail(400), 6: fail(503)}
    return kinds.get(line, succeed)(told, round_number)


FILE = jsonl(request("a"), request("b"), b"nonsense", request("a"), request("c"), request("d"), request("e", model="x"))
CODES = {3: "invalid_json_line", 4: "duplicate_custom_id", 5: "backend_rejected", 6: "backend_error", 7: "model_not_found"}


@dataclass(frozen=True)
class Scenario:
    """A world and what happens in it."""

    hurry: bool = False
    script: tuple[str, ...] = ()
    live: Callable[[World], None] = World.run

    def play(self, monkeypatch: pytest.MonkeyPatch, kill: tuple[int, str] | None = None) -> tuple[World, Outcome]:
        with monkeypatch.context() as patch:
            force_ids(patch)
            if self.hurry:
                force_small_steps(patch)
            world = World(hurry=self.hurry)
            world.backend.answer = answer
            world.backend.script.extend(self.script)
            world.wire.kill = kill
            event = world.drop(FILE)
            assert world.deliver(event), "the queue gave the message up"
            self.live(world)
            assert world.deliver(event), "the event once more"
            world.run()
            return world, world.outcome()


def stop_and_sweep(world: World) -> None:
    """The execution of the job, then that of the batch, is stopped on its way."""
    while not world.backend.creations:
        world.states.step()
    for machine in ("job", "batch"):
        for execution in world.states.running(machine):
            world.states.stop(execution.name)
    world.run()


def stop_last(world: World) -> None:
    """The execution of the batch is stopped when the manifest is there, before the batch has ended."""
    while not any(key.endswith("manifest.json") for key in world.s3.keys("output/")):
        world.states.step()
    for execution in world.states.running():
        world.states.stop(execution.name)
    world.run()


SCENARIOS = {
    "plain": Scenario(),
    "small steps": Scenario(hurry=True),
    "full, then displaced": Scenario(script=("full", "displaced")),
    "stopped": Scenario(live=stop_and_sweep),
    "stopped at the end": Scenario(live=stop_last),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_killed_function_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = SCENARIOS[name]
    whole, expected = scenario.play(monkeypatch)
    check(whole, expected)

    def run(point: Point) -> Wire:
        world, outcome = scenario.play(monkeypatch, point)
        check(world, outcome)
        compare(outcome, expected)
        return world.wire

    calls = whole.wire.calls
    try_points(calls, choose_points(find_points(calls), MOST_POINTS), run)


def check(world: World, outcome: Outcome) -> None:
    """What is true of every run."""
    lines = sorted([entry["line"] for entry in outcome.output] + [entry["line"] for entry in outcome.errors])
    assert lines == [1, 2, 3, 4, 5, 6, 7], lines
    assert outcome.codes == CODES
    assert outcome.batch.status == outcome.manifest["status"] == outcome.latest["status"] == "completed"
    for part, text in zip(("output", "errors"), outcome.raw, strict=True):
        assert outcome.manifest[part]["sha256"] == hashlib.sha256(text).hexdigest()
        assert (outcome.manifest[part]["bytes"], outcome.manifest[part]["lines"]) == (len(text), text.count(b"\n"))
    assert set(world.backend.ledger.values()) == {1}, world.backend.ledger
    assert {(letter["line"], letter["code"]) for letter in world.queue.messages} == set(CODES.items())
    statuses = [detail["data"]["status"] for detail in world.bus.details()]
    assert statuses == ["validating", "queued", "in_progress", "finalizing", "completed"]
    assert all(execution.status != "RUNNING" for execution in world.states.executions.values())


def anonymous(outcome: Outcome) -> list[bytes]:
    """Both files without the batch's id: a claim that was not written leaves no id behind."""
    return [text.replace(outcome.batch.batch_id.encode(), b"ID") for text in outcome.raw]


def compare(outcome: Outcome, expected: Outcome) -> None:
    """What a killed function must not change."""
    assert anonymous(outcome) == anonymous(expected)
    assert outcome.manifest["counts"] == expected.manifest["counts"]
    assert outcome.receipt["usage"] == expected.receipt["usage"]
    assert [job["missing"] for job in outcome.receipt["jobs"]] == [job["missing"] for job in expected.receipt["jobs"]]
