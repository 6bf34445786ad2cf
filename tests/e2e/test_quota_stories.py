"""Quotas and money through the real template, machines and functions, against the fake Together: what has no room waits, what a
budget does not allow never gets there, and what is done is kept."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from api.caller import Caller
from e2e.conftest import POOL
from e2e.stack import Stack, eventually, jsonl, request
from e2e.test_command_line import CommandLine
from e2e.test_hosted_stories import Bench
from fake_together.server_process import Server
from slacktide.accounts import Account, Charge, Ledger, month_charge, pool_charge
from slacktide.keys import MODELS_KEY
from slacktide.statuses import JobState
from slacktide_fake_together import Settings

MODEL = "tests/priced"
TABLE = f"""
[[models]]
id = "{MODEL}"
family = "tests"
context = 100000
endpoints = ["/v1/chat/completions"]
backends.together = {{ id = "m", terms = [{{ as_of = 2026-01-01, batch = {{ input = 10, output = 100 }}, source = "a test" }}] }}
route = ["together"]
"""
SENT = ("upload_url", "put", "preprocess", "create")  # calls that a job makes
TAKEN = {"lines_per_second": 5, "answer": "word " * 90}  # 0.009 USD an answer
MOST = {"max_tokens": 100}  # 0.01 USD, and some 0.004 for the bound of a short prompt
DEFAULTS = {name: getattr(Settings(), name) for name in TAKEN}


def lines(count: int, prompt: str = "hello", **body: object) -> list[dict[str, object]]:
    return [request(f"r{number}", prompt, model=MODEL, **body) for number in range(1, count + 1)]


@dataclass
class Money(Bench):
    """The stack, what it takes for Together, and what that would have billed."""

    def drop_lines(self, name: str, content: Sequence[dict[str, object]], **options: str) -> str:
        """Drop a file; answers the id of its batch."""
        return self.stack.wait_for_batch(self.stack.drop(f"money/{name}", jsonl(content), **options))[0]

    def sent(self, *batch_ids: str) -> list[str]:
        """The ids of the upstream batches of batches, by now."""
        entries = self.upstream.steer("GET", "ledger")["batches"]
        return [entry["id"] for entry in entries if entry["custom_ids"] and entry["custom_ids"][0].startswith(batch_ids)]

    def cost(self, *batch_ids: str) -> Decimal:
        """What Together would have billed for batches, by the prices of the table."""
        entries = [entry for batch_id in batch_ids for entry in self.billed(batch_id)]
        return sum((Decimal(10 * entry.tokens_in + 100 * entry.tokens_out) / 1_000_000 for entry in entries), Decimal(0))

    def receipt_cost(self, batch_id: str) -> Decimal:
        receipt = self.stack.read_json(f"{self.stack.batch(batch_id).results.prefix}receipt.json")
        assert receipt is not None
        assert receipt["costs"]["complete"] is True
        return Decimal(receipt["costs"]["cost"])

    def account(self, charge: Charge) -> Account:
        return Ledger(self.stack.records.table).account(charge)


@pytest.fixture
def money(stack: Stack, upstream: Server) -> Iterator[Money]:
    """With a model of known prices, and a pool of tokens of its own."""
    stack.s3.put_object(Bucket=stack.bucket, Key=MODELS_KEY, Body=TABLE.encode())
    yield Money(stack, upstream, len(upstream.steer("GET", "ledger")["calls"]))
    upstream.steer("POST", "settings", DEFAULTS)
    stack.s3.delete_object(Bucket=stack.bucket, Key=MODELS_KEY)


@pytest.fixture
def operator(stack: Stack, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **stack.cloud.environment})


def test_a_batch_that_would_overrun_the_pool_says_why_it_waits_and_then_runs(money: Money, operator: CommandLine) -> None:
    pool = pool_charge("together", MODEL, 0, POOL)
    money.script(lines_per_second=0.001)
    long = lines(6, "x" * (POOL // 10))  # more than half of it
    first = money.drop_lines("first.jsonl", long)
    eventually(lambda: money.sent(first), what="a job upstream")
    second = money.drop_lines("second.jsonl", long)

    with Caller.new(money.stack, "drop") as caller:
        told = eventually(lambda: caller.batch(second)["waiting"], what="a word of why it waits")
        created = caller.batch(second)["created_at"]
    (job,) = money.jobs(second)
    reason = "It waits for room among the enqueued tokens of its model at together."
    assert told == {"reason": reason, "jobs": 1, "since": told["since"], "place": 1}
    assert created <= told["since"] <= time.time()
    assert (job.state, job.reason, job.waiting and job.waiting.place) == (JobState.WAITING, reason, 1)
    assert f"{reason} Its place in the queue: 1." in operator.call("get", second).out
    assert POOL // 2 < money.account(pool).used <= POOL
    assert money.sent(second) == []

    money.script(lines_per_second=100)
    for batch_id in (first, second):
        batch, results = money.finish(batch_id)
        assert (batch.status, results.codes) == ("completed", {})
    (before,), (after,) = money.jobs(first), money.jobs(second)
    assert after.submitted_at >= before.ended_at, "one after the other"
    assert money.account(pool) == Account(0, 0)


def test_a_budget_below_the_least_cost_makes_no_call(money: Money) -> None:
    batch_id = money.drop_lines("too-dear.jsonl", lines(4, **MOST), **{"max-cost-usd": "0.0001"})
    batch, results = money.finish(batch_id)

    assert (batch.status, results.manifest["error"]["code"]) == ("failed", "budget_exceeded")
    assert set(results.codes.values()) == {"batch_failed"}
    assert [call for name in SENT for call in money.calls(name)] == []
    assert money.sent(batch_id) == []
    assert money.receipt_cost(batch_id) == 0


def test_a_budget_for_a_part_keeps_what_is_done(money: Money) -> None:
    budget = Decimal("0.05")
    money.script(**TAKEN)
    batch_id = money.drop_lines("part.jsonl", lines(8, **MOST), **{"max-cost-usd": str(budget)})
    batch, results = money.finish(batch_id)

    assert batch.status == "completed"
    assert 3 <= len(results.output) < 8
    assert set(results.codes.values()) == {"budget_exceeded"}
    assert 0 < money.receipt_cost(batch_id) == money.cost(batch_id) <= budget


def test_ten_batches_at_once_never_exceed_the_months_budget(money: Money, operator: CommandLine) -> None:
    budget = Decimal("0.12")
    limit = ("keys", "limit", "team", "--json")
    operator.call(*limit, "--usd-per-month", str(budget))
    money.script(**TAKEN)
    month = month_charge("team", int(time.time()), 0, 0)
    with Caller.new(money.stack, "team") as caller:
        batch_ids = [caller.create(lines(2, f"hello {number}", **MOST)) for number in range(10)]

    def all_ended() -> bool:
        assert money.account(month).used <= budget * 1_000_000
        return all(money.stack.batch(batch_id).status.is_final for batch_id in batch_ids)

    eventually(all_ended, what="the end of all")
    ended = [money.finish(batch_id) for batch_id in batch_ids]
    cost = money.cost(*batch_ids)
    usage: dict[str, Any] = operator.call(*limit).document["usage"]
    assert {batch.status for batch, _ in ended} == {"completed"}
    assert {code for _, results in ended for code in results.codes.values()} == {"budget_exceeded"}
    assert budget / 2 < cost <= budget
    assert sum(map(money.receipt_cost, batch_ids)) == cost
    assert (Decimal(usage["usd"]), usage["usd_reserved"]) == (cost, "0")
