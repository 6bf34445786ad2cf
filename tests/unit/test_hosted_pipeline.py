"""The real machines over the real hosted client over the fake Together: a batch ends whole, and no line is paid for twice."""

from typing import Any

import pytest

from fakes.hosted_world import MODEL, connect, line_of
from fakes.world import World, jsonl, request
from slacktide_fake_together.ledger import find_paid_twice

FULL = {"kind": "status", "call": "create", "status": 429, "retry_after": 30, "times": None}
NO_ROOM = {"kind": "end", "status": "FAILED", "files": False, "message": "Enqueued token limit reached.", "times": None}
FILE = jsonl(*(request(f"r{number}", model=MODEL) for number in range(1, 21)))


@pytest.mark.parametrize(
    ("faults", "jobs"),
    [
        ([], [("together", 20)]),
        ([{"kind": "timeout", "call": "create", "accepted": True}], [("together", 20)]),
        ([{"kind": "status", "call": "create", "status": 500, "accepted": False}], [("together", 20)]),
        ([{"kind": "status", "call": "create", "status": 429, "retry_after": 30, "times": 2}], [("together", 20)]),
        ([{"kind": "status", "call": "get_batch", "status": 404}], [("together", 20)]),
        ([{"kind": "cut", "call": "content", "at": 0.45}], [("together", 20)]),
        ([{"kind": "end", "status": "EXPIRED", "at": 0.5}], [("together", 10), ("together", 10)]),
        ([{"kind": "lines", "what": "malformed", "count": 2}], [("together", 18), ("together", 2)]),
        ([{"kind": "status", "call": "create", "status": 402}], [("together", 0), ("together", 20)]),
        ([{"kind": "status", "call": "*", "status": 503, "times": None}], [("together", 0), ("sagemaker", 20)]),
        # An account that has less room than TogetherEnqueuedTokens: for hours, then for ever.
        ([FULL | {"seconds": 20_000}], [("together", 20)]),
        ([FULL], [("together", 0), ("sagemaker", 20)]),
        ([NO_ROOM | {"times": 5}], [("together", 20)]),
        ([NO_ROOM], [("together", 0), ("sagemaker", 20)]),
        (
            [{"kind": "status", "call": "content", "status": 404, "times": None}],
            [("together", 0), ("together", 0), ("sagemaker", 20)],
        ),
    ],
)
def test_a_batch_ends_whole_whatever_the_upstream_does(faults: list[dict[str, Any]], jobs: list[tuple[str, int]]) -> None:
    world = World(has_hosted=True)
    fake = connect(world, requests=10_000, lines_per_second=0.01)
    fake.script(faults)
    outcome = world.process(FILE)
    (batch,) = world.batches()
    assert batch.status == "completed"
    assert outcome.codes == {}
    assert [(job.backend, job.completed) for job in world.records.jobs(batch.batch_id)] == jobs
    is_lost = any(
        fault.get("call") == "content" and fault.get("times", 1) is None for fault in faults
    )  # paid, then not given out
    assert is_lost or find_paid_twice(fake.ledger.batches, line_of) == {}
