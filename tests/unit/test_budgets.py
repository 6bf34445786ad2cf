"""Budgets of batches and of owners: what may cost too much is not submitted, and what was used is paid for."""

from decimal import Decimal

import pytest

from fakes.priced import BOUND_COST, COST, DAY, MODEL, PRICED, codes, drop, expensive, hosted, jobs, lines, run_until, untold
from fakes.watch import Watch
from fakes.world import World, jsonl, request
from slacktide.limits import OwnerLimits
from slacktide.models import parse_models, shipped_models


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
