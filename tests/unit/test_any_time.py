"""A batch at a hosted backend is cancelled, or its time is over, at any step of its way: one end, and what is done is kept."""

from collections.abc import Callable

import pytest

from fakes.world import World, jsonl, request
from slacktide.statuses import JobState

FILE = jsonl(*(request(f"r{number}", model="meta-llama/Llama-3.3-70B-Instruct-Turbo") for number in range(1, 6)))
MOST_STEPS = 60  # of a batch that waits for long
CODES = {"cancelled": {"batch_cancelled"}, "expired": {"batch_expired"}}


def cancel(world: World) -> None:
    """Twice, by a marker."""
    for _ in range(2):
        assert world.deliver(world.drop(b"", "a.jsonl.cancel"))


def let_time_pass(world: World) -> None:
    """To the deadline, at which nobody has looked since."""
    world.clock.advance_to(world.batches()[0].deadline)


STORIES: dict[str, Callable[[World], None]] = {
    "plain": lambda _: None,
    "create lost": lambda world: world.hosted.creates.extend(["lost"]),
    "create never heard": lambda world: world.hosted.creates.extend(["dropped"]),
    "create that arrives late": lambda world: world.hosted.creates.extend(["late:200"]),
    "no room": lambda world: world.hosted.creates.extend(["full"] * 5),
    "displaced": lambda world: world.hosted.creates.extend(["displaced"]),
    "stuck": lambda world: setattr(world.hosted, "turns", 10**6),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize(("happen", "status"), [(cancel, "cancelled"), (let_time_pass, "expired")])
def test_at_any_step(happen: Callable[[World], None], status: str, story: str) -> None:
    ends: set[str] = set()
    is_over, steps = False, 0
    for steps in range(MOST_STEPS):
        world = World(has_hosted=True)
        world.hosted.turns, world.hosted.done_when_stopped, world.hosted.cancels_needed = 4, 2, 2
        STORIES[story](world)
        assert world.deliver(world.drop(FILE))
        for _ in range(steps):
            world.states.step()
        is_over = world.batches()[0].status.is_final
        if not is_over:
            happen(world)
        world.run()
        ends.add(check(world, status, steps))
        if is_over:
            break
    assert ends == {status, "completed"} if is_over else {status}
    assert steps > 20, "all steps there are"


def check(world: World, status: str, steps: int) -> str:
    outcome = world.outcome()
    lines = sorted(line["line"] for line in outcome.output + outcome.errors)
    assert lines == [1, 2, 3, 4, 5], steps
    assert set(outcome.codes.values()) <= CODES[status], steps
    assert outcome.batch.status == (status if outcome.errors else outcome.batch.status), steps
    assert sum(change.status.is_final for change in outcome.batch.history) == 1, steps
    assert world.hosted.live == [], steps
    assert set(world.hosted.billed.values()) <= {1}, steps
    states = {job.state for job in world.records.jobs(outcome.batch.batch_id)}
    assert outcome.batch.status != "cancelled" or states <= {JobState.SETTLED}, f"{steps}: stopped in time"
    if states <= {JobState.SETTLED}:
        delivered = {f"{line['id'].split('.', 1)[1]}" for line in outcome.output}
        assert set(world.hosted.billed) <= delivered, f"{steps}: paid for, and not delivered"
    return outcome.batch.status
