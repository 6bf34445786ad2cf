"""A function is killed before and after each of its external calls, with a hosted backend first: no line is paid twice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from fakes.backend import Request, drop, fail, succeed
from fakes.points import Point, choose_points, find_points, try_points
from fakes.wire import Wire
from fakes.world import Outcome, World, force_ids, force_small_steps, jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.limits import OwnerLimits
from slacktide.quotas import Pool

MOST_POINTS = 60  # of one scenario but the first; of more, a sample. A run takes some 40 ms; all were tried when this was written
WHOLE, FUNCTIONS = (
    "plain",
    ("submit:", "poll:", "collect:", "assemble:"),
)  # its calls of these functions are all tried
DECISIVE = (".upload", ".submit", ".find", ".cancel", ".transact_write_items")
MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # its route: together, together, sagemaker
FILE = jsonl(*(request(f"r{number}", model=MODEL) for number in range(1, 7)), b"nonsense")


def answer(told: Request, round_number: int) -> list[bytes]:
    """Line 2 is lost in the first round, line 5 always refused, line 6 fails at the hosted backend."""
    line = int(told["custom_id"].rpartition(".")[2])
    kinds = {2: drop if round_number == 1 else succeed, 5: fail(400), 6: fail(503)}
    return kinds.get(line, succeed)(told, round_number)


def lose(world: World) -> None:
    world.hosted.creates.extend(["lost", "dropped", "full", "lost"])


def arrive_late(world: World) -> None:
    world.hosted.creates.append("late:400")
    world.hosted.turns = 6


def stick(world: World) -> None:
    world.hosted.turns, world.hosted.done_when_stopped, world.hosted.cancels_needed = 10**6, 3, 2


def limit(world: World) -> None:
    """Every limit there is, so small that jobs are cut, and wait for each other."""
    world.pools |= {"together": Pool(tokens=1_000, jobs=1), "sagemaker": Pool(jobs=1)}
    world.limits = OwnerLimits(concurrent_batches=1, tokens_per_day=10**6, usd_per_month=Decimal(60))


def limit_and_lose(world: World) -> None:
    limit(world)
    lose(world)


def forget(world: World) -> None:
    world.hosted.polls.extend(["silent", "missing", "ok"])


@dataclass(frozen=True)
class Scenario:
    """A world and what happens in it."""

    prepare: Callable[[World], None] = lambda _: None
    hurry: bool = False
    window: str = "24h"
    options: dict[str, str] = field(default_factory=dict)

    def play(self, monkeypatch: pytest.MonkeyPatch, kill: tuple[int, str] | None = None) -> tuple[World, Outcome]:
        with monkeypatch.context() as patch:
            force_ids(patch)
            if self.hurry:
                force_small_steps(patch)
            world = World(hurry=self.hurry, has_hosted=True)
            world.hosted.answer = answer
            world.hosted.limits = Limits(object_lines=2, object_bytes=10**6, job_requests=4)
            self.prepare(world)
            world.wire.kill = kill
            assert world.deliver(world.drop(FILE, completion_window=self.window, **self.options)), "the queue gave the message up"
            world.run()
            world.clock.advance(
                2 * world.settings.wait_longest + world.settings.lease
            )  # until the last lease of a ticket is over
            for _ in range(2):  # one may be killed
                world.sweep()
            return world, world.outcome()


SCENARIOS = {
    "plain": Scenario(),
    "small steps": Scenario(hurry=True),
    "lost and full": Scenario(lose),
    "late": Scenario(arrive_late),
    "stuck": Scenario(stick, window="1h"),
    "missing": Scenario(forget),
    "limits": Scenario(limit, options={"max_cost_usd": "55", "priority": "high"}),
    "limits in small steps": Scenario(limit_and_lose, hurry=True, options={"max_cost_usd": "55"}),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_killed_function_pays_nothing_twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = SCENARIOS[name]
    whole, expected = scenario.play(monkeypatch)
    check(whole, expected)
    calls = whole.wire.calls
    points = find_points(calls)
    # Those around what makes and stops jobs, and what reserves for them, are always tried.
    always = find_points(calls, lambda call: call.endswith(DECISIVE))
    if name == WHOLE:
        always = find_points(calls, lambda call: call.startswith(FUNCTIONS))
        assert len(always) > MOST_POINTS

    def run(point: Point) -> Wire:
        world, outcome = scenario.play(monkeypatch, point)
        check(world, outcome)
        return world.wire

    try_points(calls, choose_points(points, MOST_POINTS, always), run)


def check(world: World, outcome: Outcome) -> None:
    """What is true of every run."""
    assert sorted(entry["line"] for entry in outcome.output + outcome.errors) == [1, 2, 3, 4, 5, 6, 7]
    assert outcome.codes == {5: "backend_rejected", 7: "invalid_json_line"}
    assert outcome.batch.status == outcome.manifest["status"] == "completed"
    assert set(world.hosted.billed.values()) <= {1}, world.hosted.billed
    assert set(world.backend.ledger.values()) <= {1}, world.backend.ledger
    delivered = {f"{entry['id'].split('.', 1)[1]}" for entry in outcome.output}
    assert not [line for line in paid_again(world) if line in delivered], "an answer was paid for again"
    assert world.hosted.live == [], "nothing goes on running"
    assert all(job.cancels == 0 or job.state != "completed" for job in world.hosted.jobs.values())
    assert all(execution.status != "RUNNING" for execution in world.states.executions.values())
    check_accounts(world)


def check_accounts(world: World) -> None:
    """Nothing stays reserved, and no ticket is left."""
    assert [key for key in world.table.items if key[1].startswith("hold#") or key[0].startswith("queue#")] == []
    accounts = [item for item in world.table.items.values() if "reserved" in item]
    assert all(account["reserved"] == 0 for account in accounts)
    assert all(account["used"] == 0 for account in accounts if account["pk"].startswith("pool#"))


def paid_again(world: World) -> list[str]:
    """The answers, by round and line, of lines that a later round has asked for again."""
    asked = [told["custom_id"].partition(".")[2] for told in world.backend.seen] + list(world.hosted.billed)
    newest = {line.partition(".")[2]: 0 for line in asked}
    for line in asked:
        round_number, _, number = line.partition(".")
        newest[number] = max(newest[number], int(round_number))
    return [line for line in asked if int(line.partition(".")[0]) < newest[line.partition(".")[2]]]
