"""Follow round: progress is the sum of the jobs; the deadline ends every round."""

from fakes.world import World, jsonl, request
from slacktide.statuses import JobState

FILE = jsonl(*(request(f"r{number}") for number in range(1, 5)))


def started(world: World) -> str:
    world.backend.turns = 10**6
    assert world.deliver(world.drop(FILE))
    while not world.records.jobs(world.batches()[0].batch_id) or not world.records.jobs(world.batches()[0].batch_id)[0].progress:
        world.states.step()
    return world.batches()[0].batch_id


def test_progress_is_summed_up(world: World) -> None:
    batch_id = started(world)
    world.clock.advance(world.settings.progress_interval)
    answer = world.follower.follow(batch_id, 40)
    assert (answer.settled, answer.wait_seconds) == (False, 60)
    assert world.records.get_batch(batch_id).completed == 2
    assert world.latest()["counts"] == {"total": 4, "completed": 2, "failed": 0}


def test_a_dead_execution_settles_the_round(world: World) -> None:
    batch_id = started(world)
    (execution,) = world.states.running("job")
    world.states.stop(execution.name)
    assert world.follower.follow(batch_id, 0).settled


def test_the_deadline_settles_the_round(world: World) -> None:
    batch_id = started(world)
    world.clock.advance_to(world.records.get_batch(batch_id).deadline)
    assert world.follower.follow(batch_id, 0).settled
    assert world.records.jobs(batch_id)[0].state is JobState.ABANDONED


def test_a_wait_ends_when_the_last_results_are_given_up_in_time_to_assemble(world: World) -> None:
    batch_id = started(world)
    last = world.records.get_batch(batch_id).deadline - world.settings.assembly_reserve // 2
    world.clock.advance_to(last - 7)
    assert world.follower.follow(batch_id, 300).wait_seconds == 7
    assert [job.state for job in world.records.jobs(batch_id)] != [JobState.ABANDONED]
    world.clock.advance_to(last)
    assert world.follower.follow(batch_id, 7).settled
    assert [job.state for job in world.records.jobs(batch_id)] == [JobState.ABANDONED]


def test_a_batch_without_jobs_is_settled(world: World) -> None:
    assert world.deliver(world.drop(FILE))
    assert world.follower.follow(world.batches()[0].batch_id, 0).settled
