"""Queues: who waits for room takes a ticket, and only the first in the queue may take what he waits for.

A ticket is an item (`queue#` + what is waited for, its place in the order), so that a queue is read as it is now. It has a
lease: a ticket that nobody has renewed counts no more, and comes back to its old place when its job does. `gsi2` (`ticket`,
end of the lease) finds those that were left behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from slacktide.batch import Batch, Job
from slacktide.items import from_item, only_failed_condition, query, to_item

WAITING = "ticket"  # gsi2
AGEING = 14_400  # seconds of waiting that make up for one step of priority, so that nobody starves
PRIORITIES = {"high": -AGEING, "normal": 0, "low": AGEING}


class Ticket(msgspec.Struct, frozen=True):
    """A place in a queue. `amount` is what the job needs of its model's tokens. Times are Unix seconds."""

    queue: str
    order: str
    batch_id: str
    job_id: str
    model: str
    amount: int
    lease_until: int

    @property
    def key(self) -> dict[str, str]:
        return {"pk": self.queue, "sk": self.order}


def job_ticket(batch: Batch, job: Job, amount: int, lease_until: int) -> Ticket:
    """The ticket of a job: by priority, as if a high one had been made earlier, then by age; it is always the same place."""
    since = job.created_at + PRIORITIES[batch.options.priority]
    round_number, _, number = job.job_id.removeprefix("r").partition("-j")
    order = f"{since:012d}#{batch.batch_id}#{int(round_number):04d}#{int(number):06d}"
    return Ticket(f"queue#{job.backend}", order, batch.batch_id, job.job_id, job.model, amount, lease_until)


def batch_ticket(batch: Batch, lease_until: int) -> Ticket:
    """The ticket of a batch that waits for others of its owner: by the same rule."""
    order = f"{batch.begins_at + PRIORITIES[batch.options.priority]:012d}#{batch.batch_id}"
    return Ticket(f"queue#owner#{batch.owner}", order, batch.batch_id, "", "", 1, lease_until)


@dataclass(frozen=True, slots=True)
class Queues:
    """Tickets in the table."""

    table: Any

    def take(self, ticket: Ticket) -> None:
        """Take a ticket, or renew the lease of the one that there is."""
        index = {"gsi2pk": WAITING, "gsi2sk": f"{ticket.lease_until:012d}"}
        self.table.put_item(Item=ticket.key | to_item(ticket) | index)

    def leave(self, ticket: Ticket) -> None:
        """Give a ticket back."""
        self.table.delete_item(Key=ticket.key)

    def ahead(self, ticket: Ticket, now: int) -> list[Ticket]:
        """The tickets in front of one, the first first, without those whose leases are over."""
        condition = Key("pk").eq(ticket.queue) & Key("sk").lt(ticket.order)
        tickets = (from_item(item, Ticket) for item in query(self.table, None, condition))
        return [other for other in tickets if other.lease_until > now]

    def lapsed(self, now: int) -> Iterator[Ticket]:
        """The tickets whose leases are over."""
        for item in query(self.table, "gsi2", Key("gsi2pk").eq(WAITING) & Key("gsi2sk").lte(f"{now:012d}")):
            yield from_item(item, Ticket)

    def drop_lapsed(self, ticket: Ticket, now: int) -> bool:
        """Remove a ticket, unless its lease was renewed since."""
        try:
            self.table.delete_item(Key=ticket.key, ConditionExpression=Attr("lease_until").lte(now))
        except ClientError as error:
            only_failed_condition(error)
            return False
        return True
