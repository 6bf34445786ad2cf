"""Cancelling: before, during and after everything; one terminal status, and what is done is kept."""

import pytest

from fakes.world import World, jsonl, request
from slacktide.statuses import BatchStatus

FILE = jsonl(*(request(f"r{number}") for number in range(1, 4)))


def cancel_by_marker(world: World) -> None:
    assert world.deliver(world.drop(b"", "a.jsonl.cancel"))


def test_before_anything_runs(world: World) -> None:
    assert world.deliver(world.drop(FILE))
    cancel_by_marker(world)
    world.run()
    outcome = world.outcome()
    assert outcome.batch.status is BatchStatus.CANCELLED
    assert set(outcome.codes.values()) == {"batch_cancelled"}
    assert world.backend.creations == 0
    statuses = [detail["data"]["status"] for detail in world.bus.details()]
    assert statuses == ["validating", "queued", "cancelling", "finalizing", "cancelled"]


@pytest.mark.parametrize("steps", range(0, 40, 1))
def test_at_any_time(world: World, steps: int) -> None:
    assert world.deliver(world.drop(FILE))
    for _ in range(steps):
        world.states.step()
    cancel_by_marker(world)
    cancel_by_marker(world)
    world.run()
    outcome = world.outcome()
    lines = sorted(line["line"] for line in outcome.output + outcome.errors)
    assert lines == [1, 2, 3]
    assert outcome.batch.status in {"cancelled", "completed"}
    assert set(outcome.codes.values()) <= {"batch_cancelled"}
    if outcome.batch.status == "completed":
        assert not outcome.errors
    assert sum(change.status.is_final for change in outcome.batch.history) == 1


def test_after_the_end(world: World) -> None:
    before = world.process(FILE).batch
    cancel_by_marker(world)
    world.run()
    assert world.outcome().batch == before
    assert not world.canceller.cancel(before.batch_id)


def test_only_batches_older_than_the_marker(world: World) -> None:
    marker = world.drop(b"", "a.jsonl.cancel")
    world.clock.advance(5)
    assert world.deliver(world.drop(FILE))
    assert world.deliver(marker)
    world.run()
    assert world.outcome().batch.status is BatchStatus.COMPLETED


def test_only_batches_of_that_key(world: World) -> None:
    for path in ("a.jsonl", "b.jsonl"):
        assert world.deliver(world.drop(FILE, path))
    cancel_by_marker(world)
    world.run()
    assert {batch.input.key: str(batch.status) for batch in world.batches()} == {
        "input/a.jsonl": "cancelled",
        "input/b.jsonl": "completed",
    }
