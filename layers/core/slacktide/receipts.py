"""The receipt of a batch: what it used, what that cost, and what it would have cost in real time.

Amounts are USD, exact, written as texts without an exponent. Only completed requests are paid for. What is not known is null with
a note, and the totals then say that they are not complete: never a zero that nobody counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from slacktide.batch import Batch, Job, Summary
from slacktide.notifications import counts_of, rfc3339
from slacktide.prices import Hours, Price, Rate, Terms
from slacktide.statuses import BatchStatus, JobState

VERSION = "1"
COUNTS = (
    "completed",
    "rejected",
    "transient",
    "missing",
    "foreign",
    "repeated",
    "prompt_tokens",
    "completion_tokens",
)
NO_RATE = "It was planned by a version that did not note prices."
NO_PRICE = "The model table has no price of it in batches."
NO_HOURLY_PRICE = "The price of the instance type is not known."
NO_SECONDS = "It is not known how long its instances ran."
NO_USAGE = "The backend did not tell the tokens of every answer."
ABANDONED = "It was abandoned: what it did, and what that cost, is not known."
REPEATED = "The backend had a second job of the same input: what that did before it was stopped is not in it."


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job cost, and what the same tokens cost in real time; None with a note is not known.

    A note beside an amount says what is not in it.
    """

    cost: Decimal | None
    real_time: Decimal | None
    note: str | None = None

    @property
    def saved(self) -> Decimal | None:
        """Less than nothing where own GPUs cost more than tokens do."""
        return None if self.cost is None or self.real_time is None else self.real_time - self.cost


class UnitPrice(msgspec.Struct, frozen=True):
    """What a million tokens, or an hour of an instance, cost, and when that was known."""

    as_of: Annotated[str, Meta(description="the day on which it was known")]
    source: Annotated[str, Meta(description="where it was read")]
    currency: str = "USD"
    input: Annotated[str | None, Meta(description="for a million tokens of prompts; null for own GPUs")] = None
    output: Annotated[str | None, Meta(description="for a million tokens of answers; null for own GPUs")] = None
    instance: Annotated[str | None, Meta(description="the instance type of own GPUs")] = None
    instances: Annotated[int | None, Meta(description="how many of them")] = None
    usd_per_hour: Annotated[str | None, Meta(description="of one of them; null is not known")] = None


class Entry(msgspec.Struct, frozen=True):
    """All jobs of one model at one backend in one round. `note` says why an amount is null, or what is not in it."""

    model: str
    backend: str
    round: int
    jobs: int
    abandoned: Annotated[int, Meta(description="jobs that were given up, of which nothing is known")]
    requests: int
    completed: Annotated[int | None, Meta(description="requests that were answered; only they are paid for")]
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: Annotated[int | None, Meta(description="from creation to end, of all jobs")]
    price: UnitPrice | None
    real_time_price: Annotated[UnitPrice | None, Meta(description="what the same tokens cost in real time")]
    cost: Annotated[str | None, Meta(description="dollars")]
    real_time_cost: Annotated[str | None, Meta(description="dollars in real time")]
    saved: Annotated[str | None, Meta(description="the difference; below 0 where own GPUs cost more")]
    note: Annotated[str | None, Meta(description="why an amount is null, or what is not in it")]
    repeated: Annotated[int, Meta(description="jobs that the backend had twice; what the second ones cost is not known")] = 0


class Costs(msgspec.Struct, frozen=True):
    """The money of a batch. Totals are of what is known: all costs if `complete`, all savings if `compared`."""

    cost: Annotated[str, Meta(description="dollars, as far as they are known")]
    real_time_cost: Annotated[str, Meta(description="dollars that it would have cost in real time, as far as they are known")]
    saved: Annotated[str, Meta(description="the difference, of what both are known of; below 0 where own GPUs cost more")]
    complete: Annotated[bool, Meta(description="whether `cost` is all of it")]
    compared: Annotated[bool, Meta(description="whether `saved` is all of it")]
    entries: Annotated[list[Entry], Meta(description="by round, model and backend")]
    currency: str = "USD"


def build_receipt(batch: Batch, outcome: BatchStatus, jobs: list[Job], summaries: Mapping[str, Summary]) -> dict[str, object]:
    """The receipt; `summaries` are those of the settled jobs."""
    return {
        "version": VERSION,
        "batch_id": batch.batch_id,
        "status": outcome,
        "owner": batch.owner,
        "tag": batch.options.tag,
        "created_at": rfc3339(batch.created_at),
        "counts": counts_of(batch) | {"invalid": batch.invalid},
        "usage": {
            "prompt_tokens": sum(summary.prompt_tokens for summary in summaries.values()),
            "completion_tokens": sum(summary.completion_tokens for summary in summaries.values()),
        },
        "costs": build_costs(jobs, summaries),
        "jobs": [_describe_job(job, summaries.get(job.job_id)) for job in jobs],
    }


def build_costs(jobs: list[Job], summaries: Mapping[str, Summary]) -> Costs:
    """The money of all jobs, by model, backend and round."""
    groups: dict[tuple[int, str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.round, job.model, job.backend), []).append(job)
    costs = {job.job_id: cost_of(job, summaries.get(job.job_id)) for job in jobs}
    is_known = not any(job.was_repeated for job in jobs)
    return Costs(
        cost=written(_sum_known(cost.cost for cost in costs.values())),
        real_time_cost=written(_sum_known(cost.real_time for cost in costs.values())),
        saved=written(_sum_known(cost.saved for cost in costs.values())),
        complete=is_known and all(cost.cost is not None for cost in costs.values()),
        compared=is_known and all(cost.saved is not None for cost in costs.values()),
        entries=[_enter(group, [costs[job.job_id] for job in group], summaries) for _, group in sorted(groups.items())],
    )


def cost_of(job: Job, summary: Summary | None) -> Cost:
    """What a job cost, by the prices that were noted when it was planned. `summary`: what it did; None if it was not settled."""
    if job.submission == 0:  # nobody ever asked for it to be created
        return Cost(Decimal(0), Decimal(0))
    if job.state is JobState.ABANDONED or summary is None:
        return Cost(None, None, ABANDONED)
    if job.rate is None:
        return Cost(None, None, NO_RATE)
    real_time = _cost_tokens(job.rate.compared and job.rate.compared.real_time, summary)
    if job.rate.hours is not None:
        cost, note = _cost_hours(job.rate.hours, job)
        return Cost(cost, real_time, note)
    cost = _cost_tokens(job.rate.tokens and job.rate.tokens.batch_price, summary)
    if cost is None:
        return Cost(None, real_time, NO_USAGE if summary.unmetered else NO_PRICE)
    return Cost(cost, real_time, REPEATED if job.was_repeated else None)


def _cost_tokens(price: Price | None, summary: Summary) -> Decimal | None:
    """The cost of completed requests; nothing if there are none, whatever the price."""
    if summary.completed == 0:
        return Decimal(0)
    return None if price is None or summary.unmetered else price.cost(summary.prompt_tokens, summary.completion_tokens)


def _cost_hours(hours: Hours, job: Job) -> tuple[Decimal | None, str | None]:
    """The cost of a job's instances, or why it is not known. Nothing is paid for a job that was not accepted."""
    if job.submitted_at is None:
        return Decimal(0), None
    seconds = _seconds(job)
    cost = None if seconds is None else hours.cost(seconds)
    return cost, None if cost is not None else NO_SECONDS if seconds is None else NO_HOURLY_PRICE


def _seconds(job: Job) -> int | None:
    return job.ended_at - job.submitted_at if job.submitted_at and job.ended_at else None


def _enter(jobs: list[Job], costs: list[Cost], summaries: Mapping[str, Summary]) -> Entry:
    known = [summaries[job.job_id] for job in jobs if job.job_id in summaries]
    seconds = [_seconds(job) for job in jobs if job.submitted_at]
    rate = jobs[0].rate or Rate()  # of one round, so they were planned together
    is_whole = len(known) == len(jobs)
    return Entry(
        model=jobs[0].model,
        backend=jobs[0].backend,
        round=jobs[0].round,
        jobs=len(jobs),
        abandoned=sum(job.state is JobState.ABANDONED for job in jobs),
        requests=sum(job.total for job in jobs),
        completed=sum(summary.completed for summary in known) if is_whole else None,
        prompt_tokens=sum(summary.prompt_tokens for summary in known) if is_whole else None,
        completion_tokens=sum(summary.completion_tokens for summary in known) if is_whole else None,
        seconds=None if None in seconds else sum(told for told in seconds if told is not None),
        price=_hourly_price(rate.hours) if rate.hours else _token_price(rate.tokens, rate.tokens and rate.tokens.batch_price),
        real_time_price=_token_price(rate.compared, rate.compared and rate.compared.real_time),
        cost=_sum_all([cost.cost for cost in costs]),
        real_time_cost=_sum_all([cost.real_time for cost in costs]),
        saved=_sum_all([cost.saved for cost in costs]),
        note=next((cost.note for cost in costs if cost.note), None),
        repeated=sum(job.was_repeated for job in jobs),
    )


def _hourly_price(hours: Hours) -> UnitPrice:
    return UnitPrice(
        as_of=hours.as_of.isoformat(),
        source=hours.source,
        instance=hours.instance,
        instances=hours.instances,
        usd_per_hour=None if hours.usd_per_hour is None else written(hours.usd_per_hour),
    )


def _token_price(terms: Terms | None, price: Price | None) -> UnitPrice | None:
    if terms is None or price is None:
        return None
    return UnitPrice(terms.as_of.isoformat(), terms.source, terms.currency, written(price.input), written(price.output))


def _sum_known(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _sum_all(amounts: list[Decimal | None]) -> str | None:
    """Their sum; None where one of them is not known."""
    return None if None in amounts else written(_sum_known(amounts))


def written(amount: Decimal) -> str:
    """An amount as people write it: no exponent, no zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _describe_job(job: Job, summary: Summary | None) -> dict[str, Any]:
    counts = {} if summary is None else msgspec.to_builtins(summary)
    return {
        "job_id": job.job_id,
        "round": job.round,
        "backend": job.backend,
        "model": job.model,
        "endpoint": job.endpoint,
        "state": job.state,
        "submissions": job.submission,
        "seconds": _seconds(job),
        "requests": job.total,
        **{name: counts.get(name) for name in COUNTS},
        "reason": job.reason,
    }
