"""Sweep: however an execution died, its batch goes on."""

import pytest

from fakes.wire import Killed
from fakes.world import NOTHING, World, jsonl, request
from slacktide.tickets import job_ticket

FILE = jsonl(request("a"), request("b"))


def run_to(world: World, state: str) -> str:
    """Go on until the batch's execution is in a state; answers the name of the execution."""
    assert world.deliver(world.drop(FILE))
    execution = next(iter(world.states.executions.values()))
    while state not in execution.history:
        world.states.step()
    return execution.name


@pytest.mark.parametrize("state", ["Plan round", "Start jobs", "Wait", "Follow round", "Assemble", "Dead-letter", "Announce"])
def test_a_batch_whose_execution_was_stopped_goes_on(world: World, state: str) -> None:
    name = run_to(world, state)
    world.states.stop(name)
    assert (world.sweep() or {})["restarted"] == 1
    assert world.sweep() == NOTHING, "once"
    world.run()
    outcome = world.outcome()
    assert outcome.batch.status == "completed"
    assert len(outcome.output) == 2
    assert world.backend.creations == 1
    assert [execution.name for execution in world.states.executions.values() if execution.machine == "batch"] == [
        name,
        f"{name}-a2",
    ]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED", "SUCCEEDED"])
@pytest.mark.parametrize("machine", ["batch", "job"])
def test_however_an_execution_died_its_batch_goes_on(world: World, machine: str, status: str) -> None:
    """A history that is full, a payload that is too big (which no Catch sees), a machine's own time-out, somebody's hand."""
    run_to(world, "Wait")
    while not world.backend.creations:
        world.states.step()
    for execution in world.states.running(machine):
        execution.status = status
    world.run()
    outcome = world.outcome()
    assert (outcome.batch.status, len(outcome.output), world.backend.creations) == ("completed", 2, 1)


def test_a_batch_that_was_recorded_but_not_started(world: World) -> None:
    run_to(world, "Plan round")
    world.states.executions.clear()
    world.run()
    assert world.outcome().batch.status == "completed"
    assert world.batches()[0].attempt == 1


def test_a_batch_in_validation_is_left_to_its_validator(world: World) -> None:
    run_to(world, "Plan round")
    world.states.executions.clear()
    world.records.update_batch(world.batches()[0].batch_id, total=0)
    assert world.sweep() == NOTHING
    world.clock.advance(world.settings.input_visibility * (world.settings.receive_limit + 1))
    assert (world.sweep() or {})["restarted"] == 1
    assert world.batches()[0].refused


def test_a_created_batch_whose_message_waits_in_a_long_queue_is_left_to_it(world: World) -> None:
    """Ten thousand batches created at once take hours until the last one's validator begins."""
    run_to(world, "Plan round")
    world.states.executions.clear()
    (batch,) = world.batches()
    world.records.update_batch(batch.batch_id, total=0, file_id="file-" + "a" * 26)
    world.clock.advance(world.settings.input_visibility * (world.settings.receive_limit + 1))
    assert world.sweep() == NOTHING
    world.clock.advance_to(batch.deadline - world.settings.assembly_reserve)
    assert (world.sweep() or {})["restarted"] == 1
    assert world.batches()[0].refused, "it ends by its deadline"


def test_one_batch_that_cannot_be_helped_does_not_keep_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.states.stop(run_to(world, "Wait"))
    world.clock.advance(1)
    world.states.stop(run_to(world, "Wait"))
    poisoned = next(world.records.open_batches())
    read = world.records.get_batch

    def refuse(_: object, batch_id: str) -> object:
        if batch_id == poisoned:
            raise RuntimeError("cannot be read")
        return read(batch_id)

    monkeypatch.setattr("slacktide.records.Records.get_batch", refuse)
    with pytest.raises(ExceptionGroup, match="could not look after all"):
        world.sweeper.sweep()
    assert [execution.machine for execution in world.states.running("batch")] == ["batch"]


def test_an_end_that_was_not_told_is_told(world: World) -> None:
    name = run_to(world, "Announce")
    world.bus.refusals = 100
    while world.states.step():
        pass
    assert next(execution for execution in world.states.executions.values() if execution.name == name).status == "FAILED"
    assert world.outcome().latest["status"] == "completed", "who follows the file is not left waiting"
    world.bus.refusals = 0
    world.sweep()
    assert world.bus.details()[-1]["data"]["status"] == "completed"
    assert list(world.records.open_batches()) == []


def test_a_look_at_one_batch_asks_for_no_other(world: World) -> None:
    """A thousand executions that die at once, each heard of, must not make a million questions."""
    names = [run_to(world, "Wait")]
    for path in ("b.jsonl", "c.jsonl"):
        assert world.deliver(world.drop(FILE, path))
    names += [execution.name for execution in world.states.running("batch") if execution.name not in names]
    for name in names:
        world.states.stop(name)
    before = len(world.wire.calls)
    assert world.sweeper.sweep(names[1])["restarted"] == 1
    assert [execution.name for execution in world.states.running("batch")] == [f"{names[1]}-a2"]
    assert not [call for call in world.wire.calls[before:] if call.endswith("query")]
    assert (world.sweep() or {})["restarted"] == 2


def test_an_upstream_that_hangs_keeps_sweep_from_nothing_else(world: World) -> None:
    """It dies at its time-out while it stops a job that was given up: all that is ours was done before."""
    world.states.stop(run_to(world, "Wait"))
    (batch,) = world.batches()
    while not world.backend.creations:
        world.states.step()
    job = world.records.get_job(batch.batch_id, "r1-j1")
    world.records.abandon_job(job, world.clock(), batch.deadline, "late")
    world.quotas.queues.take(job_ticket(batch, job, 0, world.clock()))

    def hang(_: object) -> bool:
        raise Killed

    world.backend.cancel = hang  # type: ignore[method-assign]
    world.clock.advance(1)
    with pytest.raises(Killed):
        world.sweeper.sweep()
    assert [execution.machine for execution in world.states.running("batch")] == ["batch"]
    assert list(world.quotas.queues.lapsed(world.clock())) == []
