"""Why a batch waits, as the HTTP API tells it; `latest.json` says the same (test_quota_pools.py)."""

from typing import Any, cast

import msgspec
import pytest

from fakes.world import World
from slacktide.access import AccessKey
from slacktide.api import openai, together
from slacktide.api.batches import BatchService
from slacktide.api.calls import Call
from slacktide.api.routing import Api
from slacktide.batch import Batch, Job, ObjectRef, StatusChange, Waiting
from slacktide.records import batch_item
from slacktide.statuses import BatchStatus, JobState
from slacktide.waits import OTHER_BATCHES, Wait, find_wait

BATCH = Batch(
    "batch_" + "a" * 26, "me", BatchStatus.IN_PROGRESS, ObjectRef("b", "k", "1", 1), 0, 86_400,
    [StatusChange(BatchStatus.VALIDATING, 0)], round=1,
)  # fmt: skip
QUEUED = msgspec.structs.replace(BATCH, status=BatchStatus.QUEUED, waiting=Waiting(60, 3))
ROOM = Wait("no room", 2, 30, 2)


def job(number: int, **fields: Any) -> Job:
    return Job(BATCH.batch_id, f"r1-j{number}", 1, "together", "m", "m", "e", "g", 1, 2, 2, 0, **fields)


JOBS = [
    job(1, state=JobState.RUNNING),
    job(2, state=JobState.WAITING, reason="behind", waiting=Waiting(90)),
    job(3, state=JobState.WAITING, reason="no room", waiting=Waiting(30, 2)),
    job(4, state=JobState.RUNNING, reason="it waited before", waiting=Waiting(10, 1)),
]


@pytest.mark.parametrize(
    ("batch", "jobs", "wait"),
    [(BATCH, JOBS, ROOM), (BATCH, JOBS[:1], None), (BATCH, [], None), (QUEUED, [], Wait(OTHER_BATCHES, 0, 60, 3))],
)
def test_it_is_told_in_both_dialects(world: World, batch: Batch, jobs: list[Job], wait: Wait | None) -> None:
    assert find_wait(batch, jobs) == wait
    world.table.put_item(Item=batch_item(batch))
    for one in jobs:
        world.records.put_job(one)
    nothing = cast("Any", None)
    batches = BatchService(world.bucket, world.records, nothing, nothing, nothing, nothing, world.settings, world.clock)
    api = Api(nothing, nothing, batches, nothing, nothing, nothing)
    call = Call(AccessKey("k", "n", "me", "", 0), "", {}, {}, b"")
    told = msgspec.to_builtins(openai.retrieve_batch(api, call, batch.batch_id).value)
    assert told["waiting"] == msgspec.to_builtins(wait)
    also = msgspec.to_builtins(together.retrieve_batch(api, call, batch.batch_id).value)
    since = wait and f"1970-01-01T00:{wait.since // 60:02}:{wait.since % 60:02}Z"
    assert also.get("waiting") == (wait and msgspec.to_builtins(wait) | {"since": since})
