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


def test_a_marker_means_a_file_that_was_there_and_not_yet_recorded(world: World) -> None:
    """Dropped, then marked in the same second; the events are handled later, the file's first."""
    dropped = world.drop(FILE)
    marker = world.drop(b"", "a.jsonl.cancel")
    world.clock.advance(30)
    assert world.deliver(dropped)
    assert world.deliver(marker)
    world.run()
    assert world.outcome().batch.status is BatchStatus.CANCELLED


def test_a_marker_that_is_handled_before_its_file_counts(world: World) -> None:
    dropped = world.drop(FILE)
    world.clock.advance(3)
    marker = world.drop(b"", "a.jsonl.cancel")
    assert world.deliver(marker)
    assert world.deliver(dropped)
    world.run()
    outcome = world.outcome()
    assert outcome.batch.status is BatchStatus.CANCELLED
    assert sorted(outcome.codes) == [1, 2, 3]
    assert world.backend.creations == 0
    statuses = [detail["data"]["status"] for detail in world.bus.details()]
    assert statuses == ["validating", "cancelling", "finalizing", "cancelled"]


def test_an_old_marker_does_not_touch_a_new_file(world: World) -> None:
    world.drop(b"", "a.jsonl.cancel")
    world.clock.advance(1)
    assert world.process(FILE).batch.status is BatchStatus.COMPLETED


def test_a_key_that_is_too_long_for_a_marker_has_none(world: World) -> None:
    path = "x" * (1_024 - len("input/.jsonl")) + ".jsonl"
    assert world.process(FILE, path).batch.status is BatchStatus.COMPLETED
    assert all(len(key) <= 1_024 for key in world.s3.asked)


def test_a_marker_of_an_unknown_batch_does_nothing(world: World) -> None:
    assert world.deliver(world.drop(b"", f"batch_{'b' * 26}.jsonl.cancel"))
    assert world.process(FILE).batch.status is BatchStatus.COMPLETED


def test_a_batch_of_another_owner_is_not_cancelled_from_the_drop_zone(world: World) -> None:
    assert world.deliver(world.drop(FILE))
    batch_id = world.batches()[0].batch_id
    world.records.update_batch(batch_id, owner="key-7")
    assert world.deliver(world.drop(b"", f"{batch_id}.jsonl.cancel"))
    world.run()
    assert world.outcome().batch.status is BatchStatus.COMPLETED
