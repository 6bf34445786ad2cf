"""Accounts of what is limited, and reservations against them: both change in one transaction, so no limit is ever exceeded.

An account is an item with two numbers: `used`, with all that is reserved in it, and `reserved` alone. A reservation is an item
(batch id, `hold#` + job id) with all its charges; it exists as long as they are in their accounts. `gsi2` (`reserved`, until)
finds those that were left behind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from slacktide.batch import Job
from slacktide.items import from_item, query, to_item
from slacktide.prices import Rate, micro_dollars
from slacktide.statuses import JobState
from slacktide.tickets import Ticket
from slacktide.transactions import Write, add, commit, delete, put

RESERVED = "reserved"  # gsi2
BATCH_SLOT = "batch"  # in place of a job's id: what a batch as a whole has reserved


class Kind(StrEnum):
    """What an account counts."""

    ENQUEUED_TOKENS = "enqueued_tokens"  # of one model at one backend, at any time
    CONCURRENT_JOBS = "concurrent_jobs"  # of one backend, at any time
    CONCURRENT_BATCHES = "concurrent_batches"  # of one owner, at any time
    DAY_TOKENS = "day_tokens"  # of one owner on one day
    BATCH_BUDGET = "batch_budget"  # millionths of a dollar
    MONTH_BUDGET = "month_budget"  # of one owner in one month, millionths of a dollar

    @property
    def is_money(self) -> bool:
        return self in {Kind.BATCH_BUDGET, Kind.MONTH_BUDGET}


LASTING = frozenset({Kind.DAY_TOKENS, Kind.BATCH_BUDGET, Kind.MONTH_BUDGET})  # what was used stays used


class Charge(msgspec.Struct, frozen=True):
    """What a reservation takes from the account (`pk`, `sk`), which may hold `limit` at most."""

    kind: Kind
    pk: str
    sk: str
    amount: int
    limit: int

    @property
    def key(self) -> dict[str, str]:
        return {"pk": self.pk, "sk": self.sk}


def pool_charge(backend: str, model: str, amount: int, limit: int) -> Charge:
    """Tokens that are enqueued for a model at a backend."""
    return Charge(Kind.ENQUEUED_TOKENS, f"pool#{backend}", f"tokens#{model}", amount, limit)


def jobs_charge(backend: str, limit: int) -> Charge:
    """One job at a backend."""
    return Charge(Kind.CONCURRENT_JOBS, f"pool#{backend}", "jobs", 1, limit)


def batches_charge(owner: str, limit: int) -> Charge:
    """One batch of an owner that runs."""
    return Charge(Kind.CONCURRENT_BATCHES, f"owner#{owner}", "batches", 1, limit)


def day_charge(owner: str, now: int, amount: int, limit: int) -> Charge:
    """Tokens of an owner on a day of UTC."""
    return Charge(Kind.DAY_TOKENS, f"owner#{owner}", f"day#{datetime.fromtimestamp(now, UTC):%Y-%m-%d}", amount, limit)


def month_charge(owner: str, now: int, amount: int, limit: int) -> Charge:
    """Millionths of a dollar of an owner in a month of UTC."""
    return Charge(Kind.MONTH_BUDGET, f"owner#{owner}", f"month#{datetime.fromtimestamp(now, UTC):%Y-%m}", amount, limit)


def budget_charge(batch_id: str, amount: int, limit: int) -> Charge:
    """Millionths of a dollar of a batch."""
    return Charge(Kind.BATCH_BUDGET, batch_id, "budget", amount, limit)


class Account(msgspec.Struct, frozen=True):
    """What is taken from a limit: `used` in all, `reserved` of it by what has not settled."""

    used: int = 0
    reserved: int = 0

    def has_room(self, charge: Charge) -> bool:
        return self.used + charge.amount <= charge.limit

    def may_have_room(self, charge: Charge) -> bool:
        """Whether there would be room if all that is reserved settled at nothing."""
        return self.used - self.reserved + charge.amount <= charge.limit


class Reservation(msgspec.Struct, frozen=True):
    """What one job, or one batch as a whole, has reserved.

    It belongs to that one alone. `until` is the end of its lease, in Unix seconds: whatever became of a job that is closed, it is
    given back then at the latest.
    """

    batch_id: str
    job_id: str
    charges: list[Charge]
    until: int
    owner: str | None = None  # of a batch's slot, which is found by its owner

    @property
    def is_slot(self) -> bool:
        """Whether it is what a whole batch has reserved."""
        return self.job_id == BATCH_SLOT

    @property
    def key(self) -> dict[str, str]:
        if self.is_slot:
            return {"pk": f"owner#{self.owner}", "sk": f"hold#{self.batch_id}"}
        return hold_key(self.batch_id, self.job_id)


def hold_key(batch_id: str, job_id: str) -> dict[str, str]:
    """The key of what a job has reserved."""
    return {"pk": batch_id, "sk": f"hold#{job_id}"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Accounts and reservations in the table."""

    table: Any

    def account(self, charge: Charge) -> Account:
        """An account as it is now."""
        item = self.table.get_item(Key=charge.key, ConsistentRead=True).get("Item")
        return from_item(item, Account) if item else Account()

    def find(self, batch_id: str, job_id: str) -> Reservation | None:
        """What a job has reserved; None when it has nothing."""
        return self.read(hold_key(batch_id, job_id))

    def slots(self, owner: str) -> list[Reservation]:
        """The slots of an owner's batches."""
        condition = Key("pk").eq(f"owner#{owner}") & Key("sk").begins_with("hold#")
        return [from_item(item, Reservation) for item in query(self.table, None, condition)]

    def read(self, key: dict[str, str]) -> Reservation | None:
        """The reservation of a key; None where there is none."""
        item = self.table.get_item(Key=key, ConsistentRead=True).get("Item")
        return from_item(item, Reservation) if item else None

    def reserve(self, reservation: Reservation, ticket: Ticket) -> bool:
        """Take all charges, or none where one has no room; the job's ticket is used up by it.

        Whoever repeats it after it went well is told no: the ticket is gone, and the reservation is there.
        """
        item = reservation.key | to_item(reservation) | {"gsi2pk": RESERVED, "gsi2sk": f"{reservation.until:012d}"}
        writes = [delete(ticket.key, Attr("pk").exists()), put(item, Attr("pk").not_exists())]
        writes += [_take(charge) for charge in reservation.charges]
        return not commit(self.table, writes)

    def settle(self, reservation: Reservation, actual: Sequence[int]) -> None:
        """Give a reservation back, all but what was `actual`ly used of each charge. To repeat it does nothing."""
        writes = [delete(reservation.key, Attr("pk").exists())]
        for charge, used in zip(reservation.charges, actual, strict=True):
            writes.append(add(charge.key, {"used": used - charge.amount, "reserved": -charge.amount}))
        commit(self.table, writes)

    def left_behind(self) -> Iterator[Reservation]:
        """All reservations there are; whether one is left behind its job tells."""
        for item in query(self.table, "gsi2", Key("gsi2pk").eq(RESERVED)):
            yield from_item(item, Reservation)


def _take(charge: Charge) -> Write:
    room: ConditionBase = Attr("used").lte(charge.limit - charge.amount)
    if charge.amount <= charge.limit:
        room = Attr("used").not_exists() | room
    return add(charge.key, {"used": charge.amount, "reserved": charge.amount}, room)


def is_due(reservation: Reservation, job: Job | None, now: int) -> bool:
    """Whether a reservation is to be given back: nothing of its job runs any more, or its lease is over."""
    if job is None:
        return True
    is_stopped = job.state is JobState.SETTLED or not job.submission or job.cancel_confirmed
    return job.state.is_closed and (is_stopped or now >= reservation.until)


def actual_use(reservation: Reservation, job: Job | None) -> list[int]:
    """What a closed job has really used of each of its charges: of what is counted at any time nothing is left.

    A job that was given up may have run, and nobody knows how far: it is taken for all that it reserved. So is one that the
    backend had twice, and one that has no record any more.
    """
    if job is None or (job.state is JobState.ABANDONED and job.submission):
        return [charge.amount if charge.kind in LASTING else 0 for charge in reservation.charges]
    used = {Kind.DAY_TOKENS: _tokens(job), Kind.BATCH_BUDGET: _cost(job), Kind.MONTH_BUDGET: _cost(job)}
    known = {kind: amount for kind, amount in used.items() if amount is not None}
    return [known.get(charge.kind, charge.amount) if charge.kind in LASTING else 0 for charge in reservation.charges]


def _tokens(job: Job) -> int | None:
    """The tokens that a settled job has used; None is not known."""
    return job.prompt_tokens + job.completion_tokens if _is_metered(job) else None


def _cost(job: Job) -> int | None:
    """Millionths of a dollar that a settled job has cost; None is not known."""
    if not job.submission:
        return 0
    rate = job.rate or Rate()
    if rate.hours is None:
        price = rate.tokens and rate.tokens.batch_price
        if price is None or not _is_metered(job):
            return None
        return micro_dollars(price.cost(job.prompt_tokens, job.completion_tokens))
    begun = job.submitted_at or job.ended_at or 0
    cost = rate.hours.cost((job.ended_at or begun) - begun)
    return None if cost is None else micro_dollars(cost)


def _is_metered(job: Job) -> bool:
    """Whether the tokens of all that was done are known: of every answer, and the backend had the job once."""
    return not (job.unmetered or job.was_repeated)
