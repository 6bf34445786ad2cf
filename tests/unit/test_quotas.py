"""Quotas and budgets: nothing is submitted before there is room for it, and no limit is ever exceeded."""

import dataclasses
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fakes.watch import Watch
from fakes.wire import Killed
from fakes.world import NOTHING, World, jsonl, request
from slacktide.accounts import Kind, Ledger, Reservation
from slacktide.backends.protocol import Limits
from slacktide.batch import Batch, Job, ObjectRef, Options, StatusChange
from slacktide.ids import new_batch_id
from slacktide.limits import LimitRecords, OwnerLimits
from slacktide.models import parse_models, shipped_models
from slacktide.quotas import Granted, Pool
from slacktide.records import batch_item
from slacktide.statuses import BatchStatus, JobState

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
OTHER = "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8"
BOUND = 360  # tokens that the prompt of a request below is bounded by: its body has 104 bytes
LINE = 370  # a few more
BOUND_COST = 13_790  # millionths of a dollar of one with max_tokens: 379 * 10 + 100 * 100
PRICED = f"""
[[models]]
id = "{MODEL}"
family = "llama"
context = 1000
endpoints = ["/v1/chat/completions"]
backends.together = {{ id = "m", terms = [{{ as_of = 2026-01-01, batch = {{ input = 10, output = 100 }}, source = "a test" }}] }}
backends.sagemaker = {{ id = "m" }}
route = ["together", "together", "sagemaker"]
"""
COST = 13_700  # of its answer, if it is `expensive`
DAY = 86_400


def lines(count: int, model: str = MODEL, prompt: str = "hello", **body: Any) -> bytes:
    return jsonl(*(request(f"r{number}", prompt, model=model, **body) for number in range(count)))


def hosted(pool: Pool | None = None, limits: OwnerLimits | None = None) -> World:
    """A world with a hosted backend first, and a model of simple prices."""
    models = parse_models(PRICED, shipped_models())
    world = World(has_hosted=True, models=models, limits=limits or OwnerLimits())
    world.pools.clear()
    world.pools |= {"together": pool} if pool else {}
    world.hosted.limits = Limits(object_lines=100, object_bytes=10**6)
    return world


def drop(world: World, content: bytes, path: str, **metadata: str) -> None:
    assert world.deliver(world.drop(content, path, **metadata))


def jobs(world: World) -> list[Job]:
    return [job for batch in world.batches() for job in world.records.jobs(batch.batch_id)]


def latest(world: World, path: str) -> dict[str, Any]:
    return json.loads(world.s3.data(f"output/{path}/latest.json"))


def codes(world: World) -> list[str]:
    """The codes of all lines of all error files."""
    found = [world.bucket.read(batch.results.errors) for batch in world.batches()]
    return [json.loads(line)["error"]["code"] for text in found for line in text.splitlines()]


def run_until(world: World, is_reached: Callable[[], bool]) -> None:
    while not is_reached():
        assert world.states.step(), "it never comes to that"


class Blind(Ledger):
    """Does not see at its first look what another has reserved."""

    has_looked = False

    def find(self, batch_id: str, job_id: str) -> Reservation | None:
        found = super().find(batch_id, job_id) if self.has_looked else None
        object.__setattr__(self, "has_looked", True)
        return found


class TestPools:
    def test_a_batch_that_would_overrun_the_pool_waits_and_then_runs(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})
        world.hosted.turns = 6
        drop(world, lines(4), "one.jsonl")
        drop(world, lines(4), "two.jsonl")
        run_until(world, lambda: latest(world, "two.jsonl")["waiting"] is not None)
        told = latest(world, "two.jsonl")
        assert world.hosted.creations == 1
        assert (
            told["waiting"]
            == {"reason": told["progress"]["jobs"][0]["reason"], "jobs": 1} | told["progress"]["jobs"][0]["waiting"]
        )
        assert "enqueued tokens" in told["waiting"]["reason"]
        assert told["waiting"]["place"] == 1
        assert told["waiting"]["since"] < told["updated_at"]
        world.run()
        assert [batch.status for batch in world.batches()] == ["completed", "completed"]
        assert codes(world) == []
        assert world.hosted.creations == 2
        assert watch.nothing_is_reserved
        assert latest(world, "two.jsonl")["waiting"] is None

    def test_those_behind_the_first_wait_even_if_they_would_fit(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        world.hosted.turns = 40
        drop(world, lines(4), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(3), "big.jsonl")
        world.clock.advance(1)
        drop(world, lines(1), "small.jsonl")
        run_until(world, lambda: all(latest(world, path)["waiting"] for path in ("big.jsonl", "small.jsonl")))
        assert (latest(world, "big.jsonl")["waiting"]["place"], latest(world, "small.jsonl")["waiting"]["place"]) == (1, 2)
        drop(world, lines(1, OTHER), "other.jsonl")
        run_until(world, lambda: world.hosted.creations == 2)
        assert latest(world, "small.jsonl")["waiting"], "another model does not wait behind them"
        world.run()
        assert [len(world.hosted.files[job.file_id]) for job in world.hosted.jobs.values()] == [4, 1, 3, 1], (
            "1 of the other model"
        )

    def test_priority_goes_first_and_waiting_makes_up_for_it(self) -> None:
        world = hosted(Pool(jobs=1))
        watch = Watch(world, {"jobs": 1})
        world.hosted.turns = 120
        drop(world, lines(1), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(1), "low.jsonl", priority="low")
        drop(world, lines(1), "normal.jsonl")
        world.run_until(world.clock() + 3 * 3_600)
        drop(world, lines(1), "high.jsonl", priority="high")
        world.run_until(world.clock() + 2 * 3_600)
        assert world.hosted.creations == 1
        drop(world, lines(1), "late.jsonl", completion_window="2d")
        world.hosted.turns = 2
        world.run()
        order = sorted(
            (job.submitted_at or 0, batch.input.key) for batch in world.batches() for job in world.records.jobs(batch.batch_id)
        )
        names = [key.removeprefix("input/").removesuffix(".jsonl") for _, key in order]
        assert names == ["running", "high", "normal", "low", "late"], "late came 5 hours after low, which is behind by 4"
        assert watch.most == {"pool#together jobs": 1}
        assert watch.nothing_is_reserved

    def test_other_models_in_front_have_the_first_claim_on_a_free_job(self) -> None:
        world = hosted(Pool(tokens=10 * LINE, jobs=1))
        world.hosted.turns = 30
        drop(world, lines(1), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(1, OTHER), "first.jsonl")
        run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
        world.clock.advance(5)
        drop(world, lines(1), "second.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        (job,) = [job for job in jobs(world) if job.state is JobState.RUNNING]
        world.records.update_job(job, state=JobState.SETTLED)
        world.quotas.settle(world.records.get_job(job.batch_id, job.job_id), world.clock())
        first, second = jobs(world)[1:]
        waits = world.quotas.ask(world.records.get_batch(second.batch_id), second, world.clock())
        assert "end of another job" in waits.reason
        assert world.quotas.ask(world.records.get_batch(first.batch_id), first, world.clock()).__class__.__name__ == "Granted"

    def test_a_dead_ticket_is_passed_over_when_its_lease_is_over(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        world.hosted.turns = 10**6
        drop(world, lines(4), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(4), "dead.jsonl")
        run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
        dead, batch = jobs(world)[1], world.batches()[1]
        drop(world, lines(1), "behind.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        behind = jobs(world)[2]
        world.quotas.settle(msgspec.structs.replace(jobs(world)[0], state=JobState.SETTLED), world.clock())

        def ask(job: Job, now: int) -> Any:
            return world.quotas.ask(world.records.get_batch(job.batch_id), job, now)

        assert ask(behind, world.clock()).place == 2
        lease = 2 * world.settings.wait_longest + world.settings.lease
        assert [ticket.job_id for ticket in world.quotas.queues.lapsed(world.clock() + lease)] == ["r1-j1", "r1-j1"]
        assert (
            world.quotas.queues.ahead(
                world.quotas._ticket(world.records.get_batch(behind.batch_id), behind, 0), world.clock() + lease
            )
            == []
        )
        assert ask(dead, world.clock()).__class__.__name__ == "Granted", "it comes back to its place"
        assert batch.batch_id == dead.batch_id

    def test_the_ticket_of_a_job_that_was_given_up_is_removed_by_the_next(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        world.hosted.turns = 10**6
        drop(world, lines(4), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(4), "dead.jsonl")
        run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
        drop(world, lines(1), "behind.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        world.records.abandon_job(jobs(world)[1], world.clock(), world.clock(), "a test")
        behind = jobs(world)[2]
        assert world.quotas.ask(world.records.get_batch(behind.batch_id), behind, world.clock()).__class__.__name__ == "Granted"

    def test_the_ticket_of_another_models_job_that_was_given_up_has_no_claim(self) -> None:
        world = hosted(Pool(jobs=1))
        world.hosted.turns = 10**6
        drop(world, lines(1), "running.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        drop(world, lines(1, OTHER), "dead.jsonl")
        run_until(world, lambda: len(jobs(world)) == 2 and jobs(world)[1].state is JobState.WAITING)
        drop(world, lines(1), "behind.jsonl")
        run_until(world, lambda: len(jobs(world)) == 3 and jobs(world)[2].state is JobState.WAITING)
        running, dead, behind = jobs(world)
        world.records.abandon_job(dead, world.clock(), world.clock(), "a test")
        world.quotas.settle(msgspec.structs.replace(running, state=JobState.SETTLED), world.clock())
        answer = world.quotas.ask(world.records.get_batch(behind.batch_id), behind, world.clock())
        assert isinstance(answer, Granted)

    @pytest.mark.parametrize("ledger", [Ledger, Blind])
    def test_who_comes_second_for_the_same_job_leaves_no_ticket(self, ledger: type[Ledger]) -> None:
        world = hosted(Pool(tokens=10 * LINE))
        watch = Watch(world, {"tokens": 4 * LINE})
        drop(world, lines(4), "a.jsonl")
        run_until(world, lambda: watch.most != {})
        (batch,), (job,) = world.batches(), jobs(world)
        world.quotas.queues.take(world.quotas._ticket(batch, job, world.clock()))
        second = dataclasses.replace(world.quotas, ledger=ledger(world.table))
        assert isinstance(second.ask(batch, job, world.clock()), Granted)
        assert [key for key in world.table.items if key[0].startswith("queue#")] == []


class TestSizes:
    def test_a_job_is_cut_where_its_tokens_are_more_than_the_pool(self) -> None:
        world = hosted(Pool(tokens=4 * LINE))
        Watch(world, {"tokens": 4 * LINE})
        outcome = world.process(lines(23))
        assert outcome.batch.status == "completed"
        assert len(outcome.output) == 23
        assert set(world.hosted.billed.values()) == {1}
        made = jobs(world)
        assert sum(job.total for job in made) == 23
        assert max(job.prompt_bound or 0 for job in made) <= 4 * LINE
        assert {job.total for job in made} <= {3, 4}, "even"
        assert {job.round for job in made} == {1}, "no step of the route is used up"

    @pytest.mark.parametrize("late", [False, True])
    def test_a_cut_goes_on_where_writing_stopped(self, late: bool) -> None:
        world = hosted(Pool(tokens=4 * LINE))
        world.hurry = late
        world.hosted.limits = Limits(object_lines=2, object_bytes=10**6)
        outcome = world.process(lines(11))
        assert [job.total for job in jobs(world)] == [4, 3, 4]
        assert [job.prompt_bound for job in jobs(world)] == [4 * BOUND, 3 * BOUND, 4 * BOUND]
        assert len(outcome.output) == 11

    def test_nothing_is_cut_where_an_earlier_try_has_written_on(self) -> None:
        world = hosted(Pool(tokens=3 * LINE))
        drop(world, lines(6), "a.jsonl")
        world.planner.plan(world.batches()[0].batch_id)
        (job,) = jobs(world)
        world.bucket.write(job.keys.input_object(1, 6), b"{}\n")
        world.run()
        assert [(job.job_id, job.total, job.backend) for job in jobs(world)] == [
            ("r1-j1", 6, "together"),
            ("r2-j1", 3, "together"),
            ("r2-j2", 3, "together"),
        ]
        assert set(world.hosted.billed.values()) == {1}

    def test_a_line_that_is_bigger_than_the_pool_goes_to_the_next_backend(self) -> None:
        world = hosted(Pool(tokens=LINE))
        outcome = world.process(jsonl(request("big", "x" * 2_000, model=MODEL), request("small", model=MODEL)))
        assert outcome.batch.status == "completed"
        assert [(job.job_id, job.backend, job.completed) for job in jobs(world)] == [
            ("r1-j1", "together", 0),
            ("r1-j2", "together", 1),
            ("r2-j1", "together", 0),
            ("r3-j1", "sagemaker", 1),
        ]
        assert "more than the 370 that its model may have at together" in (jobs(world)[0].reason or "")

    def test_a_cursor_of_a_former_version_begins_anew(self) -> None:
        for cursor in ("3", "written"):
            world = hosted(Pool(tokens=20 * LINE))
            world.hosted.limits = Limits(object_lines=2, object_bytes=10**6)
            drop(world, lines(6), "a.jsonl")
            batch_id = world.batches()[0].batch_id
            world.planner.plan(batch_id)
            answer = world.jobs.submit(batch_id, "r1-j1", clock=world.invocation_clock, cursor=cursor, wait_seconds=0)
            assert answer.cursor == "written"
            assert jobs(world)[0].prompt_bound == 6 * BOUND


class TestBudgets:
    def test_a_batch_that_must_cost_too_much_is_refused_before_anything_is_spent(self) -> None:
        world = hosted()
        outcome = world.process(lines(20), max_cost_usd="0.002199", route="together")
        assert outcome.batch.status == "failed"
        assert outcome.manifest["error"]["code"] == "budget_exceeded"
        assert "at least 0.0022" in outcome.manifest["error"]["message"]
        assert {*outcome.codes.values()} == {"batch_failed"}
        assert not world.hosted.calls

    @pytest.mark.parametrize(("budget", "status"), [("0.003999", "failed"), ("0.004", "completed")])
    def test_the_least_that_long_prompts_cost_is_known(self, budget: str, status: str) -> None:
        """410 letters are 10 tokens at the least, and each answer is one: 20 * (10 * 10 + 100) millionths of a dollar."""
        world = hosted()
        outcome = world.process(lines(20, prompt="x" * 410), max_cost_usd=budget, route="together")
        assert outcome.batch.status == status
        if status == "failed":
            told = "at least 0.004, for as many tokens as there must be: 200 of their prompts and 20 of their answers."
            assert told in outcome.manifest["error"]["message"]

    def test_what_is_not_looked_at_counts_as_one_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("slacktide.budgets.MOST_READ", 1_100)  # two requests
        outcome = hosted().process(lines(20, prompt="x" * 410), max_cost_usd="0.000001", route="together")
        assert "38 of their prompts" in outcome.manifest["error"]["message"]

    def test_lines_that_will_not_run_cost_nothing(self) -> None:
        repeated = jsonl(*(request("same", "x" * 410, model=MODEL) for _ in range(20)))
        outcome = hosted().process(repeated, max_cost_usd="0.0002", route="together")
        assert outcome.batch.failure is None, "one of them runs: 0.0002 USD"
        assert {*outcome.codes.values()} == {"duplicate_custom_id", "budget_exceeded"}

    def test_what_may_cost_too_much_is_not_submitted(self) -> None:
        world = hosted()
        outcome = world.process(lines(20, max_tokens=100), max_cost_usd="0.0136", route="together,together")
        assert outcome.batch.status == "completed"
        assert {*outcome.codes.values()} == {"budget_exceeded"}
        assert len(outcome.codes) == 20
        assert not world.hosted.calls
        assert len(jobs(world)) == 20, "no other round: no other backend is to have them"
        assert {job.refusal for job in jobs(world)} == {"budget_exceeded"}

    def test_a_small_budget_does_not_make_a_job_of_every_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("slacktide.job_input.MOST_JOBS", 3)
        monkeypatch.setattr("slacktide.job_input.MOST_PIECES", 3)
        world = hosted()
        outcome = world.process(lines(50, max_tokens=100), max_cost_usd="0.0136", route="together")
        assert {*outcome.codes.values()} == {"budget_exceeded"}
        assert sorted(job.total for job in jobs(world)) == [1, 16, 16, 17]
        assert not world.hosted.calls

    def test_what_is_done_is_kept_and_the_rest_waits_until_nothing_can_be_given_back(self) -> None:
        world = hosted()
        watch = Watch(world, {"budget": 100_000})
        world.hosted.answer = expensive
        outcome = world.process(lines(40, max_tokens=100), max_cost_usd="0.1", route="together")
        assert outcome.batch.status == "completed"
        assert {*outcome.codes.values()} == {"budget_exceeded"}
        spent = int(next(iter(watch.accounts().values()))["used"])
        assert spent == len(outcome.output) * COST
        assert len(outcome.output) == 7, "7 * 0.0137 USD; an eighth would be more than 0.1"
        assert watch.nothing_is_reserved
        assert all(job.total == 1 for job in jobs(world)), "a tenth of the budget is less than one line"

    def test_a_bound_that_is_not_used_comes_back(self) -> None:
        world = hosted()
        watch = Watch(world, {"budget": 300_000})
        outcome = world.process(lines(60, max_tokens=100), max_cost_usd="0.3", route="together")
        assert len(outcome.output) == 60, "60 * 0.0137 USD would be 0.82; 3 tokens and 2 are 0.00023"
        assert int(next(iter(watch.accounts().values()))["used"]) == 60 * 230
        assert max(watch.most.values()) > 150_000
        assert watch.nothing_is_reserved

    def test_ten_batches_at_once_never_exceed_the_budget_of_the_month(self) -> None:
        world = hosted(limits=OwnerLimits(usd_per_month=Decimal("0.2")))
        watch = Watch(world, {"month": 200_000})
        world.hosted.answer = expensive
        for number in range(10):
            drop(world, lines(5, max_tokens=100), f"{number}.jsonl", route="together")
        world.run()
        billed = sum(world.hosted.billed.values())
        assert billed == 14, "14 * 0.0137 = 0.1918"
        assert codes(world) == ["budget_exceeded"] * 36
        (month,) = watch.accounts().values()
        assert int(month["used"]) == 14 * COST
        assert watch.nothing_is_reserved
        assert {batch.status for batch in world.batches()} == {"completed"}

    def test_a_new_month_has_a_budget_of_its_own(self) -> None:
        world = hosted(limits=OwnerLimits(usd_per_month=Decimal("0.02")))
        watch = Watch(world, {"month": 20_000})
        world.hosted.answer = expensive
        drop(world, lines(1, max_tokens=100), "a.jsonl", route="together")
        world.run()
        drop(world, lines(1, max_tokens=100), "b.jsonl", route="together")
        world.run()
        assert codes(world) == ["budget_exceeded"]
        world.clock.advance(31 * DAY)
        drop(world, lines(1, max_tokens=100), "c.jsonl", route="together")
        world.run()
        assert codes(world) == ["budget_exceeded"]
        assert sorted(watch.most.values()) == [BOUND_COST, BOUND_COST]

    def test_an_unknown_price_refuses_a_budget(self) -> None:
        world = World(
            has_hosted=True, models=parse_models(PRICED.replace("batch = { input = 10, output = 100 }, ", ""), shipped_models())
        )
        outcome = world.process(lines(1), max_cost_usd="5")
        assert outcome.manifest["error"]["code"] == "invalid_option"
        assert f"the price of {MODEL} at together is not known" in outcome.manifest["error"]["message"]
        assert not world.hosted.calls

    def test_an_unknown_price_refuses_a_monthly_budget_too(self) -> None:
        models = parse_models(PRICED.replace("batch = { input = 10, output = 100 }, ", ""), shipped_models())
        world = World(has_hosted=True, models=models, limits=OwnerLimits(usd_per_month=Decimal(5)))
        outcome = world.process(lines(1))
        assert outcome.manifest["error"]["code"] == "budget_exceeded"
        assert "monthly budget" in outcome.manifest["error"]["message"]

    def test_own_gpus_reserve_their_hours_and_pay_those_that_they_took(self) -> None:
        world = hosted()
        watch = Watch(world, {"budget": 30_000_000})
        drop(world, lines(3), "a.jsonl", max_cost_usd="30", route="sagemaker")
        run_until(world, lambda: bool(watch.most))
        (most,) = watch.most.values()
        rate = jobs(world)[0].rate
        assert rate
        assert rate.hours
        hourly = rate.hours.usd_per_hour or 0
        assert most == pytest.approx(float(hourly) * 1_000_000 * (DAY - 450) / 3_600, rel=1e-3), "until half of the reserve"
        world.run()
        job = jobs(world)[0]
        seconds = (job.ended_at or 0) - (job.submitted_at or 0)
        assert seconds > 0
        assert int(next(iter(watch.accounts().values()))["used"]) == pytest.approx(
            float(hourly) * 1_000_000 * seconds / 3_600, abs=1
        )
        assert watch.nothing_is_reserved

    def test_usage_that_is_not_told_is_taken_for_all_that_was_reserved(self) -> None:
        world = hosted()
        watch = Watch(world, {"budget": 1_000_000})
        world.hosted.answer = untold
        world.process(lines(1, max_tokens=100), max_cost_usd="1", route="together")
        (budget,) = watch.accounts().values()
        assert int(budget["used"]) == max(watch.most.values()) > 13_000

    def test_a_job_that_the_backend_had_twice_is_taken_for_all_that_was_reserved(self) -> None:
        world = hosted()
        watch = Watch(world, {"budget": 1_000_000})
        world.hosted.turns = 10
        world.hosted.creates.append(f"late:{world.settings.settle_window + 60}")
        outcome = world.process(lines(2, max_tokens=100), max_cost_usd="1", route="together")
        assert world.hosted.creations == 2
        (budget,) = watch.accounts().values()
        assert int(budget["used"]) == max(watch.most.values()) > 2 * 10_000
        assert outcome.receipt["costs"]["complete"] is False


def expensive(told: dict[str, Any], _: int) -> list[bytes]:
    """An answer that takes all that its request is bounded by: 370 tokens and 100."""
    body = {"choices": [], "usage": {"prompt_tokens": 370, "completion_tokens": 100}}
    return [json.dumps({"custom_id": told["custom_id"], "response": {"status_code": 200, "body": body}}).encode()]


def untold(told: dict[str, Any], _: int) -> list[bytes]:
    return [json.dumps({"custom_id": told["custom_id"], "response": {"status_code": 200, "body": {"choices": []}}}).encode()]


class TestOwners:
    def test_further_batches_wait_in_their_order(self) -> None:
        world = hosted(limits=OwnerLimits(concurrent_batches=2))
        watch = Watch(world, {"batches": 2})
        world.hosted.turns = 10
        for name in "abcd":
            drop(world, lines(1), f"{name}.jsonl", priority="high" if name == "d" else "normal")
        run_until(world, lambda: latest(world, "c.jsonl")["waiting"] is not None)
        told = latest(world, "c.jsonl")
        assert told["status"] == "queued"
        assert told["waiting"] == {
            "reason": "It waits for the end of other batches of its owner.",
            "jobs": 0,
            "since": told["waiting"]["since"],
            "place": told["waiting"]["place"],
        }
        world.run()
        begun = sorted((batch.reached(BatchStatus.IN_PROGRESS) or 0, batch.input.key) for batch in world.batches())
        assert [key for _, key in begun] == ["input/a.jsonl", "input/b.jsonl", "input/d.jsonl", "input/c.jsonl"]
        assert {batch.status for batch in world.batches()} == {"completed"}
        assert watch.most == {"owner#drop batches": 2}
        world.sweep()
        assert watch.nothing_is_reserved

    def test_a_batch_that_waits_ends_in_time(self) -> None:
        world = hosted(limits=OwnerLimits(concurrent_batches=1))
        world.hosted.turns, world.hosted.cancels_needed = 10**6, 1
        drop(world, lines(1), "a.jsonl", completion_window="2d")
        drop(world, lines(1), "b.jsonl", completion_window="1h")
        world.run()
        other = next(batch for batch in world.batches() if batch.input.key == "input/b.jsonl")
        assert other.status == "expired"
        assert (other.reached(BatchStatus.EXPIRED) or 0) <= other.deadline

    def test_a_batch_that_waits_can_be_cancelled(self) -> None:
        world = hosted(limits=OwnerLimits(concurrent_batches=1))
        world.hosted.turns = 100
        drop(world, lines(1), "a.jsonl")
        drop(world, lines(1), "b.jsonl")
        run_until(world, lambda: latest(world, "b.jsonl")["waiting"] is not None)
        other = next(batch for batch in world.batches() if batch.input.key == "input/b.jsonl")
        world.canceller.cancel(other.batch_id)
        run_until(world, lambda: world.records.get_batch(other.batch_id).status.is_final)
        assert world.records.get_batch(other.batch_id).status == "cancelled"
        world.run()

    def test_tokens_of_a_day_wait_for_the_next(self) -> None:
        world = hosted(limits=OwnerLimits(tokens_per_day=500))
        watch = Watch(world, {"day": 500})
        world.hosted.answer = expensive
        drop(world, lines(1, max_tokens=100), "a.jsonl", completion_window="2d")
        drop(world, lines(1, max_tokens=100), "b.jsonl", completion_window="2d")
        world.run()
        assert codes(world) == []
        assert [*watch.most.values()] == [479, 479], "of two days"
        submitted = sorted(job.submitted_at or 0 for job in jobs(world))
        assert submitted[1] // DAY == submitted[0] // DAY + 1


class TestOwnersOfKeys:
    """Batches of an API key's owner, by the limits in the table."""

    def test_a_budget_that_is_used_up_ends_further_lines_of_its_owner_alone(self) -> None:
        world = keyed(usd_per_month=Decimal("0.0691"))  # 5 * 0.0137 and the rest of one bound
        watch = Watch(world, {"month": 69_100})
        world.hosted.answer = expensive
        create(world, lines(8, max_tokens=100), "research", route=["together"])
        create(world, lines(8, max_tokens=100), "other", route=["together"])
        world.run()
        spared, other = sorted(world.batches(), key=lambda batch: batch.owner, reverse=True)
        assert (spared.status, other.status) == ("completed", "completed")
        assert codes(world) == ["budget_exceeded"] * 3
        assert len(world.bucket.read(other.results.output).splitlines()) == 8
        assert {key: int(account["used"]) for key, account in watch.accounts().items()} == {
            f"owner#research month#{world.clock.utc():%Y-%m}": 5 * COST
        }
        assert watch.nothing_is_reserved

    def test_what_is_certain_to_cost_too_much_is_refused_at_once(self) -> None:
        world = keyed(usd_per_month=Decimal("0.0001"))
        create(world, lines(2, max_tokens=100), "research", route=["together"])
        world.run()
        (batch,) = world.batches()
        assert (batch.status, batch.failure and batch.failure.code) == ("failed", "budget_exceeded")
        assert codes(world) == ["batch_failed"] * 2
        assert not world.hosted.calls

    def test_further_batches_wait(self) -> None:
        world = keyed(concurrent_batches=1)
        watch = Watch(world, {"batches": 1})
        world.hosted.turns = 10
        first, second, other = (create(world, lines(1), owner) for owner in ("research", "research", "other"))
        run_until(world, lambda: world.hosted.creations == 2)
        assert [world.records.get_batch(batch_id).status for batch_id in (first, second, other)] == [
            "in_progress", "queued", "in_progress",
        ]  # fmt: skip
        world.run()
        assert {batch.status for batch in world.batches()} == {"completed"}
        assert watch.most == {"owner#research batches": 1}
        world.sweep()
        assert watch.nothing_is_reserved

    def test_tokens_of_a_day_wait_for_the_next(self) -> None:
        world = keyed(tokens_per_day=500)
        world.hosted.answer = expensive
        for _ in range(2):
            create(world, lines(1, max_tokens=100), "research", window=2 * DAY)
        world.run()
        first, second = sorted(job.submitted_at or 0 for job in jobs(world))
        assert second // DAY == first // DAY + 1
        assert codes(world) == []

    def test_a_limit_that_is_removed_lets_go_who_waits(self) -> None:
        world = keyed(concurrent_batches=1)
        watch = Watch(world, {"batches": 1})
        world.hosted.turns = 200
        create(world, lines(1), "research")
        second = create(world, lines(1), "research")
        run_until(world, lambda: world.hosted.creations == 1)
        world.run_until(world.clock() + 3_600)
        assert world.records.get_batch(second).status == "queued"
        LimitRecords(world.table).put("research", {"concurrent_batches": None})
        run_until(world, lambda: world.hosted.creations == 2)
        world.run()
        world.sweep()
        assert watch.nothing_is_reserved

    def test_a_budget_that_is_set_while_it_is_asked_for_counts_from_the_next_time_on(self) -> None:
        """A job without a price is never charged nothing: budget and charges are of one look."""
        unpriced = parse_models(PRICED.replace("batch = { input = 10, output = 100 }, ", ""), shipped_models())
        world = World(has_hosted=True, models=unpriced, limits=None)
        create(world, lines(1), "research")
        world.planner.plan(world.batches()[0].batch_id)
        (batch,), (job,) = world.batches(), jobs(world)
        looks = [OwnerLimits(), OwnerLimits(usd_per_month=Decimal(5))]
        quotas = dataclasses.replace(world.quotas, limits_of=lambda _: looks.pop(0) if len(looks) > 1 else looks[0])
        assert isinstance(quotas.ask(batch, job, world.clock()), Granted)
        assert Watch(world, {}).accounts().keys() == {f"pool#together tokens#{MODEL}"}


def keyed(**limits: Any) -> World:
    """A world whose owner `research` has limits in the table."""
    world = hosted()
    world.limits = None
    LimitRecords(world.table).put("research", limits)
    return world


def create(world: World, content: bytes, owner: str, *, window: int = DAY, **options: Any) -> str:
    """A batch of an uploaded file, as the HTTP API records one, validated; answers its id."""
    batch_id, now = new_batch_id(), world.clock()
    key = f"uploads/{batch_id}/000001"
    put = world.s3.put_object(Bucket=world.bucket.name, Key=key, Body=content)
    batch = Batch(
        batch_id=batch_id,
        owner=owner,
        status=BatchStatus.VALIDATING,
        input=ObjectRef(world.bucket.name, key, put["VersionId"], len(content)),
        created_at=now,
        deadline=now + window,
        history=[StatusChange(BatchStatus.VALIDATING, now)],
        options=Options(**options),
    )
    world.table.put_item(Item=batch_item(batch))
    world.intake.accept_created(batch_id, invocation=batch_id)
    return batch_id


class TestLeftBehind:
    def abandoned(self) -> tuple[World, Watch, Batch]:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})
        world.hosted.turns, world.hosted.cancels_needed = 10**6, 10**6
        drop(world, lines(4), "a.jsonl", max_cost_usd="50", completion_window="1h", route="together")
        while world.states.step():
            pass
        (batch,) = world.batches()
        assert jobs(world)[0].state is JobState.ABANDONED
        return world, watch, batch

    def test_an_abandoned_job_keeps_its_room_until_its_end_is_confirmed(self) -> None:
        world, watch, batch = self.abandoned()
        pool = next(key for key in watch.accounts() if "tokens" in key)
        world.sweep()
        assert watch.accounts()[pool]["used"] > 0, "it may still run"
        world.hosted.cancels_needed = 0
        world.sweep()
        world.sweep()
        assert jobs(world)[0].cancel_confirmed
        world.sweep()
        assert watch.nothing_is_reserved
        assert watch.accounts()[pool]["used"] == 0
        assert watch.accounts()[f"{batch.batch_id} budget"]["used"] == watch.most[f"{batch.batch_id} budget"], "nobody knows"

    def test_no_reservation_outlives_its_lease(self) -> None:
        world, watch, batch = self.abandoned()
        world.clock.advance_to(batch.deadline + DAY - 1)
        world.sweep()
        assert not watch.nothing_is_reserved
        world.clock.advance(1)
        world.sweep()
        assert watch.nothing_is_reserved

    def test_sweep_gives_back_what_the_death_of_collect_left(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})

        object.__setattr__(world.quotas, "ledger", Dying(world.table))
        world.process(lines(4))
        assert jobs(world)[0].state is JobState.SETTLED
        assert not watch.nothing_is_reserved
        object.__setattr__(world.quotas, "ledger", Ledger(world.table))
        assert world.sweep() == NOTHING | {"released": 1}
        assert watch.nothing_is_reserved

    def test_a_reservation_is_given_back_once(self) -> None:
        world = hosted(Pool(tokens=5 * LINE))
        watch = Watch(world, {"tokens": 5 * LINE})
        drop(world, lines(4), "a.jsonl")
        run_until(world, lambda: world.hosted.creations == 1)
        (job,) = jobs(world)
        reservation = world.quotas.ledger.find(job.batch_id, job.job_id)
        assert reservation
        assert [charge.kind for charge in reservation.charges] == [Kind.ENQUEUED_TOKENS]
        for _ in range(2):
            world.quotas.ledger.settle(reservation, [0])
        assert watch.nothing_is_reserved
        assert [int(account["used"]) for account in watch.accounts().values()] == [0]


class Dying(Ledger):
    """Whoever wants to settle dies."""

    def settle(self, *_: Any) -> None:
        raise Killed
