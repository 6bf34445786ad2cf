"""Quotas and budgets: whether a job may be submitted now, has to wait, or must not be submitted at all.

The rules are in docs/architecture.md, "Quotas and budgets".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from slacktide.accounts import (
    Charge,
    Kind,
    Ledger,
    Reservation,
    actual_use,
    budget_charge,
    day_charge,
    is_due,
    jobs_charge,
    month_charge,
    pool_charge,
)
from slacktide.batch import Batch, Job
from slacktide.codes import Code
from slacktide.errors import NotFoundError
from slacktide.instances import price_hours
from slacktide.limits import OwnerLimits
from slacktide.models import OWN_GPUS, Model
from slacktide.prices import Price, micro_dollars
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.tickets import Queues, Ticket, job_ticket
from slacktide.timetable import collecting_ends

DAY = 86_400
BUDGET_SHARE = 10  # a job may reserve a tenth of a budget, so that at least nine tenths of it can be spent


@dataclass(frozen=True, slots=True)
class Pool:
    """What a backend takes at any time; None is no limit."""

    tokens: int | None = None  # enqueued, of one model
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """The job may be submitted: what it needs is reserved for it."""


@dataclass(frozen=True, slots=True)
class Waits:
    """There is no room now. `place` is that in the queue, from 1; None: it does not stand in one."""

    reason: str
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """There never will be room. With a code the job's lines end with it; without, its route goes on."""

    reason: str
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one job may need, whatever else is reserved; None is no limit."""

    prompt: int | None = None
    tokens: int | None = None
    micro_dollars: int | None = None
    price: Price | None = None


WAITS = {
    Kind.ENQUEUED_TOKENS: "It waits for room among the enqueued tokens of its model at {backend}.",
    Kind.CONCURRENT_JOBS: "It waits for the end of another job at {backend}.",
    Kind.DAY_TOKENS: "Its owner's tokens of this day are used up or reserved.",
    Kind.BATCH_BUDGET: "It waits for other jobs of its batch to settle: together they have reserved its max-cost-usd.",
    Kind.MONTH_BUDGET: "It waits for other jobs of its owner to settle: together they have reserved the month's budget.",
}
NEVER = {
    Kind.ENQUEUED_TOKENS: "It may need {amount} enqueued tokens, more than the {limit} that its model may have at {backend}.",
    Kind.CONCURRENT_JOBS: "{backend} may have no job at all.",
    Kind.DAY_TOKENS: "It may need {amount} tokens, more than the {limit} that its owner may use on a day.",
    Kind.BATCH_BUDGET: "It may cost more than what is left of max-cost-usd.",
    Kind.MONTH_BUDGET: "It may cost more than what is left of its owner's budget of the month.",
}
# What ends the lines of a job for good; without a code, the next backend of its route may have room.
CODES = {
    Kind.ENQUEUED_TOKENS: None,
    Kind.CONCURRENT_JOBS: None,
    Kind.DAY_TOKENS: Code.BUDGET_EXCEEDED,
    Kind.BATCH_BUDGET: Code.BUDGET_EXCEEDED,
    Kind.MONTH_BUDGET: Code.BUDGET_EXCEEDED,
}
NO_PRICE = "It has a budget, and the price of its model at {backend} is not known."
TAKEN = "Another job was quicker to take the room that there was."
BEHIND = "It waits behind other jobs of its model at {backend}."


@dataclass(frozen=True, slots=True)
class Quotas:
    """Decides by the pools of the backends, by the limits of owners, and by the budgets of batches."""

    ledger: Ledger
    queues: Queues
    records: Records
    pools: Mapping[str, Pool]
    limits_of: Callable[[str], OwnerLimits]
    settings: Settings

    # What applies

    def has_budget(self, batch: Batch) -> bool:
        """Whether money counts for a batch."""
        return _has_budget(batch, self.limits_of(batch.owner))

    def is_price_known(self, model: Model, backend: str) -> bool:
        """Whether it can be said what a job of a model costs at a backend."""
        if backend == OWN_GPUS:
            instances = self.settings.transform_instance_type, self.settings.transform_instance_count
            return price_hours(*instances).usd_per_hour is not None
        return model.batch_price(backend) is not None

    def cap(self, batch: Batch, job: Job) -> Cap | None:
        """The most that a job may need; None where its tokens do not count at all."""
        limits = self.limits_of(batch.owner)
        price = _token_price(job)
        budgets = [usd for usd in (batch.options.max_cost_usd, limits.usd_per_month) if usd is not None]
        pool = self._pool(job)
        if pool.tokens is None and limits.tokens_per_day is None and (price is None or not budgets):
            return None
        share = min((micro_dollars(usd) // BUDGET_SHARE for usd in budgets), default=None)
        return Cap(pool.tokens, limits.tokens_per_day, share, price)

    # Room

    def ask(self, batch: Batch, job: Job, now: int) -> Granted | Waits | Refused:
        """Reserve what a job needs, if it is its turn. To ask again after it was granted is granted."""
        ticket = self._ticket(batch, job, now)
        if self._is_granted(job, ticket):
            return Granted()
        cost = self._most_cost(batch, job, now)
        limits = self.limits_of(batch.owner)  # once, since they can change: what needs no price is charged nothing
        if cost is None and _has_budget(batch, limits):
            return Refused(NO_PRICE.format(backend=job.backend), Code.BUDGET_EXCEEDED)
        charges = self._charges(batch, job, limits, cost or 0, now)
        reservation = Reservation(batch.batch_id, job.job_id, charges, until=batch.deadline + DAY)
        if not reservation.charges:
            return Granted()
        answer = self._look_at_limits(job, reservation)
        if answer is None:
            return self._queue_up(job, ticket, reservation, now)
        self.queues.leave(ticket)  # the others need not wait for what it waits for
        return answer

    def _queue_up(self, job: Job, ticket: Ticket, reservation: Reservation, now: int) -> Granted | Waits:
        """Take or renew the job's ticket; reserve if it is its turn."""
        self.queues.take(ticket)
        waits = self._stand(job, ticket, reservation, now)
        if waits is not None:
            return waits
        if self.ledger.reserve(reservation, ticket) or self._is_granted(job, ticket):
            return Granted()
        return Waits(TAKEN, 1)

    def _is_granted(self, job: Job, ticket: Ticket) -> bool:
        """Whether a job has its reservation; a ticket that another of its invocations took meanwhile holds up nobody then."""
        if self.ledger.find(job.batch_id, job.job_id) is None:
            return False
        self.queues.leave(ticket)
        return True

    def leave(self, batch: Batch, job: Job, now: int) -> None:
        """Give up the ticket of a job that will not be submitted."""
        self.queues.leave(self._ticket(batch, job, now))

    def settle(self, job: Job, now: int) -> None:
        """Give back what a job has reserved, all but what it really used, if nothing of it runs any more."""
        reservation = self.ledger.find(job.batch_id, job.job_id)
        if reservation is not None and is_due(reservation, job, now):
            self.ledger.settle(reservation, actual_use(reservation, job))

    def settle_left_behind(self, reservation: Reservation, now: int) -> bool:
        """Give a reservation back that nobody gave back when its job was closed; False when it is still needed."""
        job = self._find_job(reservation.batch_id, reservation.job_id)
        if not is_due(reservation, job, now):
            return False
        self.ledger.settle(reservation, actual_use(reservation, job))
        return True

    def _most_cost(self, batch: Batch, job: Job, now: int) -> int | None:
        """Millionths of a dollar that a job can cost; None where no price is known."""
        hours = job.rate and job.rate.hours
        if hours:  # it is stopped when the time to collect ends
            cost = hours.cost(max(0, collecting_ends(batch, self.settings) - now))
        else:
            price = _token_price(job)
            cost = price and price.cost(job.prompt_bound or 0, job.output_bound or 0)
        return None if cost is None else micro_dollars(cost)

    def _charges(self, batch: Batch, job: Job, limits: OwnerLimits, cost: int, now: int) -> list[Charge]:
        pool, budget = self._pool(job), batch.options.max_cost_usd
        prompt, output = job.prompt_bound or 0, job.output_bound or 0
        charges: list[Charge] = []
        if pool.tokens is not None:
            charges.append(pool_charge(job.backend, job.model, prompt, pool.tokens))
        if pool.jobs is not None:
            charges.append(jobs_charge(job.backend, pool.jobs))
        if limits.tokens_per_day is not None:
            charges.append(day_charge(batch.owner, now, prompt + output, limits.tokens_per_day))
        if budget is not None:
            charges.append(budget_charge(batch.batch_id, cost, micro_dollars(budget)))
        if limits.usd_per_month is not None:
            charges.append(month_charge(batch.owner, now, cost, micro_dollars(limits.usd_per_month)))
        return charges

    def _look_at_limits(self, job: Job, reservation: Reservation) -> Waits | Refused | None:
        """Whether the job needs more than there can ever be, or more of what no queue is for than there is now."""
        for charge in reservation.charges:
            in_pool = charge.kind in {Kind.ENQUEUED_TOKENS, Kind.CONCURRENT_JOBS}
            account = None if in_pool else self.ledger.account(charge)
            if charge.amount > charge.limit or (charge.kind.is_money and account and not account.may_have_room(charge)):
                told = NEVER[charge.kind].format(backend=job.backend, amount=charge.amount, limit=charge.limit)
                return Refused(told, CODES[charge.kind])
            if account and not account.has_room(charge):
                return Waits(WAITS[charge.kind].format(backend=job.backend))
        return None

    # The queue

    def _stand(self, job: Job, ticket: Ticket, reservation: Reservation, now: int) -> Waits | None:
        """Where a job stands in the queue of its backend; None when it is its turn, and there is room.

        The first of each model may go; where jobs are limited, those in front that could go have the first claim.
        """
        ahead = self.queues.ahead(ticket, now)
        own = self._alive([other for other in ahead if other.model == job.model])
        if own:
            return Waits(BEHIND.format(backend=job.backend), len(own) + 1)
        for charge in reservation.charges:
            if charge.kind is Kind.ENQUEUED_TOKENS:
                is_free = self.ledger.account(charge).has_room(charge)
            elif charge.kind is Kind.CONCURRENT_JOBS:
                claims = self._claims(ahead, reservation)
                is_free = self.ledger.account(charge).used + claims + 1 <= charge.limit
            else:
                continue
            if not is_free:
                return Waits(WAITS[charge.kind].format(backend=job.backend), 1)
        return None

    def _alive(self, tickets: list[Ticket]) -> list[Ticket]:
        """The tickets from the first one on whose job still wants it; those before are removed."""
        for place, ticket in enumerate(tickets):
            if self._is_wanted(ticket):
                return tickets[place:]
            self.queues.leave(ticket)
        return []

    def _is_wanted(self, ticket: Ticket) -> bool:
        job = self._find_job(ticket.batch_id, ticket.job_id)
        return job is not None and not (job.state.is_closed or job.submission or job.file_id or job.ended_at)

    def _find_job(self, batch_id: str, job_id: str) -> Job | None:
        try:
            return self.records.get_job(batch_id, job_id)
        except NotFoundError:
            return None

    def _claims(self, ahead: list[Ticket], reservation: Reservation) -> int:
        """How many other models have a job in front whose tokens would have room."""
        models = dict.fromkeys(ticket.model for ticket in ahead)
        alive = [self._alive([ticket for ticket in ahead if ticket.model == model]) for model in models]
        first = [tickets[0] for tickets in alive if tickets]
        backend_tokens = next((charge for charge in reservation.charges if charge.kind is Kind.ENQUEUED_TOKENS), None)
        if backend_tokens is None:
            return len(first)
        backend, limit = backend_tokens.pk.partition("#")[2], backend_tokens.limit
        charges = [pool_charge(backend, ticket.model, ticket.amount, limit) for ticket in first]
        return sum(self.ledger.account(charge).has_room(charge) for charge in charges)

    def _ticket(self, batch: Batch, job: Job, now: int) -> Ticket:
        # Longer than two waits and the life of an invocation: a job whose execution lives never loses its place.
        lease = 2 * self.settings.wait_longest + self.settings.lease
        return job_ticket(batch, job, job.prompt_bound or 0, now + lease)

    def _pool(self, job: Job) -> Pool:
        return self.pools.get(job.backend, Pool())


def _has_budget(batch: Batch, limits: OwnerLimits) -> bool:
    return batch.options.max_cost_usd is not None or limits.usd_per_month is not None


def _token_price(job: Job) -> Price | None:
    """What the tokens of a job cost, as it was known when the job was planned; None where that is not known, or not by tokens."""
    return None if job.rate is None or job.rate.hours or job.rate.tokens is None else job.rate.tokens.batch_price
