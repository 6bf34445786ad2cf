"""What a batch tells: events in order, each at least once; latest.json, of the newest batch."""

import json
from typing import Any

import boto3
import pytest

from fakes.world import World, jsonl, request
from slacktide.errors import ConflictError, NotFoundError
from slacktide.notifications import DETAIL_TYPES, Announcer, NotAnnouncedError, rfc3339
from slacktide.statuses import BatchStatus

FILE = jsonl(request("a"), b"x")
LATEST = "output/a.jsonl/latest.json"


def accepted(world: World) -> str:
    assert world.deliver(world.drop(FILE, tag="t"))
    return world.batches()[-1].batch_id


def latest(world: World) -> dict[str, Any]:
    return json.loads(world.s3.data(LATEST))


def test_every_status_has_a_name_for_the_bus() -> None:
    assert set(DETAIL_TYPES) == set(BatchStatus)
    assert DETAIL_TYPES[BatchStatus.IN_PROGRESS] == "Batch In Progress"


def test_events_tell_every_change_in_order(world: World) -> None:
    outcome = world.process(FILE, tag="t")
    entries = world.bus.entries
    assert [entry["DetailType"] for entry in entries] == [
        "Batch Validating",
        "Batch Queued",
        "Batch In Progress",
        "Batch Finalizing",
        "Batch Completed",
    ]
    assert {(entry["Source"], entry["EventBusName"]) for entry in entries} == {("slacktide", "bus")}
    details = [json.loads(entry["Detail"]) for entry in entries]
    assert [detail["data"]["sequence"] for detail in details] == [1, 2, 3, 4, 5]
    assert [detail["metadata"]["event_id"] for detail in details] == [f"{outcome.batch.batch_id}.{n}" for n in range(1, 6)]
    assert {detail["data"]["tag"] for detail in details} == {"t"}
    assert [detail["data"]["output"] for detail in details[:4]] == [None] * 4, "no file before the manifest"
    assert details[4]["data"]["output"]["manifest_key"] == outcome.batch.results.manifest
    assert details[4]["data"]["counts"] == {"total": 2, "completed": 1, "failed": 1}


def test_an_event_that_was_not_taken_is_sent_again(world: World) -> None:
    batch_id = accepted(world)
    world.canceller.records.change_status(batch_id, BatchStatus.CANCELLING, world.clock())
    world.bus.refusals = 1
    with pytest.raises(NotAnnouncedError):
        world.announcer.announce(world.records.get_batch(batch_id))
    assert world.records.get_batch(batch_id).announced == 2
    world.announcer.announce(world.records.get_batch(batch_id))
    assert world.bus.details()[-1]["data"]["status"] == "cancelling"
    world.announcer.announce(world.records.get_batch(batch_id))
    assert len(world.bus.entries) == 3, "what was sent is not sent again"


def test_sweep_sends_what_was_not_sent(world: World) -> None:
    batch_id = accepted(world)
    world.records.change_status(batch_id, BatchStatus.CANCELLING, world.clock())
    world.bus.refusals = 1
    assert (world.sweep() or {})["unannounced"] == 1
    world.sweep()
    assert world.bus.details()[-1]["data"]["status"] == "cancelling"


def test_no_end_before_the_manifest(world: World) -> None:
    with pytest.raises(NotFoundError, match="no manifest"):
        world.announcer.conclude(accepted(world))


def test_the_end_is_told_once_and_stays(world: World) -> None:
    batch = world.process(FILE).batch
    assert world.announcer.conclude(batch.batch_id) == batch
    assert len(world.bus.entries) == 5


def test_latest_moves_with_the_batch(world: World) -> None:
    accepted(world)
    seen: list[str] = []
    while world.states.step():
        document = latest(world)
        if document["status"] not in seen[-1:]:
            seen.append(document["status"])
    assert seen == ["queued", "in_progress", "finalizing", "completed"]
    (job,) = latest(world)["progress"]["jobs"]
    assert (job["completed"], job["total"], job["state"]) == (1, 1, "settled")


def test_the_newest_batch_has_the_word(world: World) -> None:
    old = accepted(world)
    world.clock.advance(10)
    assert world.deliver(world.drop(FILE))
    new = next(batch.batch_id for batch in world.batches() if batch.batch_id != old)
    world.announcer.publish(world.records.get_batch(old), [])
    assert latest(world)["batch_id"] == new


def test_an_end_is_not_overwritten_by_what_came_before(world: World) -> None:
    batch_id = accepted(world)
    before = world.records.get_batch(batch_id)
    world.run()
    world.announcer.publish(before, [])
    assert latest(world)["status"] == "completed"


def test_writers_do_not_overwrite_each_other_unseen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = world.records.get_batch(accepted(world))
    read = world.s3.get_object

    def read_then_lose(**arguments: Any) -> Any:
        answer = read(**arguments)
        world.bucket.write(LATEST, b"{}")
        return answer

    monkeypatch.setattr(world.s3, "get_object", read_then_lose)
    with pytest.raises(ConflictError):
        world.announcer.publish(batch, [])


def test_progress_is_written_at_most_once_in_its_interval(world: World) -> None:
    batch = world.records.get_batch(accepted(world))
    count = len(world.s3.objects[LATEST])
    for seconds, writes in ((59, 0), (1, 1), (59, 1), (1, 2)):
        world.clock.advance(seconds)
        world.announcer.publish_if_due(batch, [], 60)
        assert len(world.s3.objects[LATEST]) == count + writes


def test_times_are_utc() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"


def test_moto_takes_the_event(world: World, bus: str) -> None:
    batch_id = accepted(world)
    world.records.change_status(batch_id, BatchStatus.CANCELLING, world.clock())
    Announcer(boto3.client("events"), bus, world.bucket, world.records, world.clock).announce(world.records.get_batch(batch_id))
    assert world.records.get_batch(batch_id).announced == 3
