"""The API, validate or sweep is killed before and after each of its external calls: still one batch, and it ends."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fakes.backend import Request, fail, succeed
from fakes.points import Point, find_points, try_points
from fakes.wire import Killed, Wire
from fakes.world import BUCKET, SWEEP_SECONDS, Outcome, World, jsonl, request
from slacktide.batch import Batch, ObjectRef, StatusChange
from slacktide.creation import Attempt
from slacktide.files import File, FileState
from slacktide.ids import new_batch_id, new_file_id
from slacktide.keys import upload, upload_part
from slacktide.retrying import INPUT_NAME
from slacktide.statuses import BatchStatus

FILE = jsonl(request("a"), request("b"), b"nonsense", request("c"))
FUNCTIONS = ("api:", "validate:", "sweep:")  # the others are those of every batch (test_crash_points.py)
TURNS = 50


def answer(told: Request, round_number: int) -> list[bytes]:
    """Of the first batch line 2 is refused; of the one that runs it again it is line 1, and good."""
    is_refused = told["custom_id"].endswith(".2")
    return (fail(400) if is_refused else succeed)(told, round_number)


def draft(world: World, source: ObjectRef, file_id: str) -> Batch:
    now = world.clock()
    history = [StatusChange(BatchStatus.VALIDATING, now)]
    return Batch(
        new_batch_id(), "owner", BatchStatus.VALIDATING, source, now, now + 86_400, history, file_id=file_id, is_sent=False
    )


def create_of_file(world: World) -> Callable[[], Batch]:
    """A batch of an uploaded file."""
    file_id = new_file_id()
    put = world.s3.put_object(Bucket=BUCKET, Key=upload_part(file_id, 1), Body=FILE)
    source = ObjectRef(BUCKET, upload_part(file_id, 1), put["VersionId"], len(FILE))
    world.files.put(File(file_id, "owner", "a.jsonl", "batch", world.clock(), FileState.READY, len(FILE), source))
    return lambda: draft(world, source, file_id)


def create_again(world: World) -> Callable[[], Batch]:
    """A batch of the failed lines of one that has ended."""
    world.backend.answer = answer
    original = world.process(FILE).batch
    world.queue.bodies.clear()
    file_id = new_file_id()
    empty = ObjectRef(BUCKET, upload(file_id, INPUT_NAME), "", 0)

    def make() -> Batch:
        batch = draft(world, empty, file_id)
        return type(batch)(**{name: getattr(batch, name) for name in batch.__struct_fields__} | {"retry_of": original.batch_id})

    return make


@dataclass(frozen=True)
class Scenario:
    """What is created, the custom_ids of its output and of its error file, and whether the client sends a failed call again."""

    prepare: Callable[[World], Callable[[], Batch]]
    output: list[str | None]
    errors: list[str | None]
    is_retried: bool = True

    def play(self, kill: tuple[int, str] | None = None) -> tuple[World, Batch | None]:
        world = World()
        make = self.prepare(world)
        known = {batch.batch_id for batch in world.batches()}
        world.wire.calls.clear()
        world.wire.kill = kill
        self.call(world, make)
        handled: set[int] = set()
        for _ in range(TURNS):
            for number, body in enumerate(world.queue.bodies):
                if number not in handled and "create" in (message := json.loads(body)):
                    handled.add(number)
                    assert world.deliver(message), "the queue gave the message up"
            world.run_until(world.clock() + SWEEP_SECONDS)
            world.sweep()
            if not list(world.records.open_batches()):
                break
        else:
            raise AssertionError("the batch does not come to an end")
        created = [batch for batch in world.batches() if batch.batch_id not in known]
        assert len(created) <= 1, "two batches"
        return world, created[0] if created else None

    def call(self, world: World, make: Callable[[], Batch]) -> None:
        for count in range(3 if self.is_retried else 1):
            try:
                with world.wire.invocation("api"):
                    world.creator.create(make, "owner", "call", Attempt(retry_count=count))
            except Killed:
                world.clock.advance(1)
            else:
                return


SCENARIOS = {
    "a file": Scenario(create_of_file, ["a", "b", "c"], [None]),
    "a file, and the client is gone": Scenario(create_of_file, ["a", "b", "c"], [None], is_retried=False),
    "failed lines": Scenario(create_again, ["b"], []),
    "failed lines, and the client is gone": Scenario(create_again, ["b"], [], is_retried=False),
}


def check(scenario: Scenario, world: World, batch: Batch) -> None:
    outcome = Outcome.of(world, batch.batch_id)
    assert batch.status == outcome.manifest["status"] == "completed"
    assert [line["custom_id"] for line in outcome.output] == scenario.output
    assert [line["custom_id"] for line in outcome.errors] == scenario.errors
    assert set(world.backend.ledger.values()) == {1}, "a line was run twice"
    details = world.bus.details(batch.batch_id)
    assert [detail["data"]["status"] for detail in details] == ["validating", "queued", "in_progress", "finalizing", "completed"]
    assert all(execution.status != "RUNNING" for execution in world.states.executions.values())


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_killed_function_changes_nothing(name: str) -> None:
    scenario = SCENARIOS[name]
    whole, batch = scenario.play()
    assert batch is not None
    check(scenario, whole, batch)
    calls = whole.wire.calls
    points = find_points(calls, lambda call: call.startswith(FUNCTIONS))
    assert {calls[number].partition(":")[0] for number, _ in points} >= {"api", "validate"}

    def run(point: Point) -> Wire:
        world, batch = scenario.play(point)
        # Who does not call again may have no batch, as long as nobody was told of one: the transaction was not made.
        if batch is None:
            assert not scenario.is_retried
            assert point[0] <= first_write(whole)
        else:
            check(scenario, world, batch)
        return world.wire

    try_points(calls, points, run)


def first_write(world: World) -> int:
    return world.wire.calls.index("api:FakeTable.transact_write_items")
