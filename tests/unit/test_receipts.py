"""Receipts: what a batch cost, to the last digit, and null where that is not known."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fakes.backend import drop, fail, result, succeed
from fakes.hosted_bench import KEY, FakeSecrets
from fakes.world import World, jsonl, request
from slacktide.backends.api_keys import ApiKey
from slacktide.backends.dialects import TOGETHER
from slacktide.backends.hosted import HostedBatches
from slacktide.backends.upstream import Upstream
from slacktide.batch import Job, Notice, Summary
from slacktide.models import shipped_models
from slacktide.prices import Hours, Price, Rate, Terms
from slacktide.receipts import (
    ABANDONED,
    NO_HOURLY_PRICE,
    NO_PRICE,
    NO_RATE,
    NO_SECONDS,
    NO_USAGE,
    REPEATED,
    build_costs,
    cost_of,
    written,
)
from slacktide.statuses import JobNotice, JobState
from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.transport import FakeTransport

HALF = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # half of $1.04 in batches, whatever the tokens
FULL = "Qwen/QwQ-32B"  # $1.20, no discount
BIG = "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8"  # $0.27 in, $0.85 out


def hosted_world(**settings: Any) -> tuple[World, FakeTogether]:
    """The machines over the real hosted client over the fake Together."""
    world = World(has_hosted=True)
    fake = FakeTogether(Settings(keys=(KEY,), **settings), clock=world.clock, seed=3)
    key = ApiKey(FakeSecrets, "arn:secret")
    upstream = Upstream("together", "https://api.together.ai/v1", key, FakeTransport(fake, sleep=lambda _: None), lambda _: None)
    world.backends["together"] = HostedBatches(TOGETHER, upstream, world.bucket, 10_000, world.clock)
    return world, fake


def billed(fake: FakeTogether, world: World) -> Decimal:
    """What the ledger says, by today's price of each batch's model."""
    (batch,) = world.batches()
    models = {job.upstream_id: job.model for job in world.records.jobs(batch.batch_id) if job.upstream_id}
    total = Decimal(0)
    for entry in fake.ledger.batches:
        price = shipped_models().models[models[entry.id]].batch_price("together")
        assert price is not None
        total += price.cost(entry.tokens_in, entry.tokens_out)
    return total


class TestMixedRun:
    """Hosted jobs of three models, failed lines, a round more, and own GPUs for what is left: it adds up with the ledger."""

    @pytest.fixture
    def run(self) -> tuple[World, FakeTogether, dict[str, Any]]:
        world, fake = hosted_world()
        fake.script(
            [
                {"kind": "lines", "what": "error", "share": 0.3, "times": None},
                {"kind": "lines", "what": "status", "status": 400, "count": 1, "times": 2},
                {"kind": "end", "status": "EXPIRED", "at": 0.5, "times": 2},
            ]
        )
        models = [(HALF, 20), (FULL, 13), (BIG, 17)]
        lines = [request(f"{model}-{number}", model=model, messages=[{"role": "user", "content": "so many words " * number}])
                 for model, count in models for number in range(1, count + 1)]  # fmt: skip
        outcome = world.process(jsonl(*lines, b"no JSON"))
        return world, fake, outcome.receipt

    def test_hosted_costs_are_those_of_the_ledger(self, run: tuple[World, FakeTogether, dict[str, Any]]) -> None:
        world, fake, receipt = run
        entries = [entry for entry in receipt["costs"]["entries"] if entry["backend"] == "together"]
        assert len({entry["round"] for entry in entries}) == 2
        assert {entry["model"] for entry in entries} == {HALF, FULL, BIG}
        assert sum(Decimal(entry["cost"]) for entry in entries) == billed(fake, world) > 0
        assert sum(entry["prompt_tokens"] for entry in entries) == sum(entry.tokens_in for entry in fake.ledger.batches)
        assert sum(entry["completion_tokens"] for entry in entries) == sum(entry.tokens_out for entry in fake.ledger.batches)
        assert sum(entry["completed"] for entry in entries) == sum(len(entry.billed) for entry in fake.ledger.batches)

    def test_the_totals_are_the_sums_of_the_entries(self, run: tuple[World, FakeTogether, dict[str, Any]]) -> None:
        costs = run[2]["costs"]
        assert any(entry["backend"] == "sagemaker" for entry in costs["entries"])
        assert (costs["complete"], costs["compared"], costs["currency"]) == (True, True, "USD")
        for total in ("cost", "real_time_cost", "saved"):
            assert Decimal(costs[total]) == sum(Decimal(entry[total]) for entry in costs["entries"])
        assert Decimal(costs["saved"]) == Decimal(costs["real_time_cost"]) - Decimal(costs["cost"])

    def test_each_entry_has_its_prices_with_their_day(self, run: tuple[World, FakeTogether, dict[str, Any]]) -> None:
        by_model = {entry["model"]: entry for entry in run[2]["costs"]["entries"] if entry["backend"] == "together"}
        assert by_model[HALF]["price"] | {"source": ""} == {
            "as_of": "2026-11-25", "source": "", "currency": "USD", "input": "0.52", "output": "0.52",
            "instance": None, "instances": None, "usd_per_hour": None,
        }  # fmt: skip
        assert by_model[HALF]["real_time_price"]["input"] == "1.04"
        assert Decimal(by_model[HALF]["saved"]) == Decimal(by_model[HALF]["cost"]) > 0
        assert Decimal(by_model[FULL]["saved"]) == 0

    def test_own_gpus_cost_the_hours_of_their_instances(self, run: tuple[World, FakeTogether, dict[str, Any]]) -> None:
        world, _, receipt = run
        (batch,) = world.batches()
        jobs = {(job.model, job.round): job for job in world.records.jobs(batch.batch_id) if job.backend == "sagemaker"}
        for entry in (entry for entry in receipt["costs"]["entries"] if entry["backend"] == "sagemaker"):
            job = jobs[entry["model"], entry["round"]]
            assert job.ended_at
            assert job.submitted_at
            seconds = job.ended_at - job.submitted_at
            assert entry["seconds"] == seconds
            assert (entry["price"]["instance"], entry["price"]["usd_per_hour"]) == ("ml.g6.xlarge", "1.127")
            assert 0 <= Decimal(entry["cost"]) - Decimal("1.127") * seconds / 3_600 < Decimal("0.000001")
            assert entry["real_time_price"]["input"] in {"1.04", "1.2", "0.27"}


def test_requests_that_failed_cost_nothing() -> None:
    world, fake = hosted_world()
    fake.script([{"kind": "lines", "what": "error"}])
    receipt = world.process(jsonl(*(request(f"r{number}", model=HALF) for number in range(4))), max_rounds="1").receipt
    (entry,) = receipt["costs"]["entries"]
    assert (entry["requests"], entry["completed"], entry["cost"], entry["saved"]) == (4, 0, "0", "0")
    assert (receipt["costs"]["cost"], receipt["costs"]["complete"]) == ("0", True)


def test_a_refused_file_cost_nothing(world: World) -> None:
    receipt = world.process(b"").receipt
    assert receipt["costs"] == {
        "cost": "0", "real_time_cost": "0", "saved": "0", "complete": True, "compared": True, "entries": [], "currency": "USD",
    }  # fmt: skip


def test_a_price_that_is_not_known_is_null_and_the_total_says_so() -> None:
    world = World(has_hosted=True)
    world.hosted.answer = succeed
    row = f'[[models]]\nid = "{HALF}"\nbackends.together = {{ id = "{HALF}" }}\nroute = ["together"]\n'
    world.bucket.write("config/models.toml", row.encode())
    receipt = world.process(jsonl(request("a", model=HALF), request("b", model=FULL))).receipt
    entries = {entry["model"]: entry for entry in receipt["costs"]["entries"]}
    assert (entries[HALF]["cost"], entries[HALF]["price"], entries[HALF]["note"]) == (None, None, NO_PRICE)
    assert entries[FULL]["cost"] == receipt["costs"]["cost"] != "0"
    assert (receipt["costs"]["complete"], receipt["costs"]["compared"]) == (False, False)


def test_a_later_table_does_not_change_what_was_planned() -> None:
    world = World(has_hosted=True)
    world.hosted.answer = succeed
    world.deliver(world.drop(jsonl(request("a", model=HALF))))
    world.run_until(world.clock() + 20)
    (batch,) = world.batches()
    (job,) = world.records.jobs(batch.batch_id)
    assert job.rate == Rate(
        tokens=shipped_models().models[HALF].terms("together"), compared=shipped_models().models[HALF].terms("together")
    )


def test_answers_without_usage_are_not_taken_for_free() -> None:
    world = World(has_hosted=True)
    world.hosted.answer = lambda request, _: [result(request["custom_id"], 200, {"choices": []})]
    (entry,) = world.process(jsonl(request("a", model=HALF))).receipt["costs"]["entries"]
    assert (entry["completed"], entry["cost"], entry["real_time_cost"], entry["note"]) == (1, None, None, NO_USAGE)


@pytest.mark.parametrize("answer", [fail(400), fail(500), drop])
def test_own_gpus_cost_their_time_whatever_came_of_it(world: World, answer: Any) -> None:
    world.backend.answer = answer
    entry = world.process(jsonl(request("a"))).receipt["costs"]["entries"][0]
    assert entry["completed"] == 0
    assert entry["real_time_cost"] == "0"
    assert Decimal(entry["cost"]) > 0
    assert Decimal(entry["saved"]) < 0


TERMS = Terms(date(2026, 1, 1), "s", real_time=Price(Decimal(2), Decimal(4)), batch_discount=Decimal("0.5"))
HOURS = Hours("ml.x.xlarge", 3, Decimal("1.5"), TERMS.as_of, "s")
TWICE = [Notice(JobNotice.REPEATED, 0)]
DONE = Summary([], completed=2, prompt_tokens=10, completion_tokens=5)


def job(**fields: Any) -> Job:
    job = Job("batch_x", "r1-j1", 1, "together", "m", "m", "e", "g1", 1, 2, 2, 0, state=JobState.SETTLED, submission=1)
    return msgspec.structs.replace(job, **{"submitted_at": 100, "ended_at": 3_700, **fields})


@pytest.mark.parametrize(
    ("fields", "summary", "cost", "real_time", "note"),
    [
        ({"rate": Rate(tokens=TERMS, compared=TERMS)}, DONE, "0.00002", "0.00004", None),
        ({"rate": Rate(tokens=TERMS)}, DONE, "0.00002", None, None),
        ({"rate": Rate(compared=TERMS)}, DONE, None, "0.00004", NO_PRICE),
        ({"rate": Rate()}, Summary([]), "0", "0", None),
        ({"rate": None}, DONE, None, None, NO_RATE),
        ({"rate": Rate(hours=HOURS, compared=TERMS)}, DONE, "4.5", "0.00004", None),
        ({"rate": Rate(hours=HOURS), "submitted_at": None}, Summary([]), "0", "0", None),
        ({"rate": Rate(hours=HOURS), "ended_at": None}, DONE, None, None, NO_SECONDS),
        ({"rate": Rate(hours=msgspec.structs.replace(HOURS, usd_per_hour=None))}, DONE, None, None, NO_HOURLY_PRICE),
        ({"rate": Rate(tokens=TERMS), "state": JobState.ABANDONED}, None, None, None, ABANDONED),
        ({"rate": Rate(tokens=TERMS), "state": JobState.ABANDONED, "submission": 0}, None, "0", "0", None),
        ({"rate": Rate(tokens=TERMS)}, msgspec.structs.replace(DONE, unmetered=1), None, None, NO_USAGE),
        ({"rate": Rate(tokens=TERMS, compared=TERMS), "notices": TWICE}, DONE, "0.00002", "0.00004", REPEATED),
    ],
)
def test_the_cost_of_a_job(
    fields: dict[str, Any], summary: Summary | None, cost: str | None, real_time: str | None, note: str | None
) -> None:
    told = cost_of(job(**fields), summary)
    assert (told.cost, told.real_time, told.note) == (cost and Decimal(cost), real_time and Decimal(real_time), note)


def test_an_abandoned_job_is_shown() -> None:
    costs = build_costs([job(), job(job_id="r1-j2", state=JobState.ABANDONED)], {"r1-j1": DONE})
    (entry,) = costs.entries
    assert (entry.jobs, entry.abandoned, entry.requests) == (2, 1, 4)
    assert (entry.completed, entry.prompt_tokens, entry.cost) == (None, None, None)
    assert (costs.complete, costs.cost) == (False, "0")


def test_a_receipt_with_a_job_that_the_backend_had_twice_is_not_complete() -> None:
    rate = Rate(tokens=TERMS, compared=TERMS)
    once, twice = job(rate=rate), job(job_id="r1-j2", rate=rate, notices=TWICE)
    costs = build_costs([once, twice], {"r1-j1": DONE, "r1-j2": DONE})
    (entry,) = costs.entries
    assert (entry.repeated, entry.cost, entry.note) == (1, "0.00004", REPEATED)
    assert (costs.cost, costs.complete, costs.compared) == ("0.00004", False, False)
    assert build_costs([once], {"r1-j1": DONE}).complete


@pytest.mark.parametrize(
    ("amount", "text"), [("0", "0"), ("1E-7", "0.0000001"), ("1.50", "1.5"), ("1E+3", "1000"), ("100", "100"), ("0.000", "0")]
)
def test_amounts_are_written_as_people_write_them(amount: str, text: str) -> None:
    assert written(Decimal(amount)) == text


class TestBudget:
    """Held against the ledger of the fake Together: what a budget does not allow never gets there."""

    FILE = jsonl(*(request(f"r{number}", model=FULL, max_tokens=100) for number in range(20)))

    def test_a_batch_that_must_cost_more_makes_no_call(self) -> None:
        world, fake = hosted_world()
        outcome = world.process(self.FILE, max_cost_usd="0.00001", route="together")
        assert outcome.manifest["error"]["code"] == "budget_exceeded"
        assert (list(fake.ledger.calls), fake.ledger.batches) == ([], [])

    def test_what_is_run_stays_below_the_budget(self) -> None:
        world, fake = hosted_world(answer="word " * 90)
        outcome = world.process(self.FILE, max_cost_usd="0.0015", route="together")
        assert 0 < len(outcome.output) < 20
        assert {*outcome.codes.values()} == {"budget_exceeded"}
        assert 0 < billed(fake, world) <= Decimal("0.0015")
        assert len(outcome.output) == sum(len(entry.billed) for entry in fake.ledger.batches)
