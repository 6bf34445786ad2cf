"""How many batches of one owner run at once: further ones stay queued, and begin in the order of priority and age."""

from collections.abc import Callable
from dataclasses import dataclass

from slacktide.accounts import BATCH_SLOT, Ledger, Reservation, batches_charge
from slacktide.batch import Batch
from slacktide.errors import NotFoundError
from slacktide.limits import OwnerLimits
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus
from slacktide.tickets import Queues, Ticket, batch_ticket

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Slots:
    """Lets batches begin."""

    ledger: Ledger
    queues: Queues
    records: Records
    limits_of: Callable[[str], OwnerLimits]
    settings: Settings

    def enter(self, batch: Batch, now: int) -> int | None:
        """Take a slot for a batch: None when it has one, or needs none; else its place in the queue, from 1."""
        limit = self.limits_of(batch.owner).concurrent_batches
        slot = Reservation(batch.batch_id, BATCH_SLOT, [], batch.deadline + DAY, owner=batch.owner)
        if limit is None or self.ledger.read(slot.key) is not None:
            return None
        ticket = batch_ticket(batch, now + 2 * self.settings.wait_longest + self.settings.lease)
        self.queues.take(ticket)
        ahead = self._alive(self.queues.ahead(ticket, now))
        if ahead:
            return len(ahead) + 1
        charge = batches_charge(batch.owner, limit)
        if not self.ledger.account(charge).has_room(charge):
            self._release_ended(batch.owner, now)
        slot = Reservation(batch.batch_id, BATCH_SLOT, [charge], slot.until, owner=batch.owner)
        if self.ledger.reserve(slot, ticket) or self.ledger.read(slot.key) is not None:
            return None
        return 1

    def leave(self, batch: Batch) -> None:
        """Give up the ticket of a batch that will not begin."""
        self.queues.leave(batch_ticket(batch, 0))

    def settle(self, slot: Reservation, now: int) -> bool:
        """Give the slot of a batch back that has ended; False when it has not."""
        batch = self._find(slot.batch_id)
        if batch is not None and not batch.status.is_final and now < slot.until:
            return False
        self.ledger.settle(slot, [0] * len(slot.charges))
        return True

    def _release_ended(self, owner: str, now: int) -> None:
        for slot in self.ledger.slots(owner):
            self.settle(slot, now)

    def _alive(self, tickets: list[Ticket]) -> list[Ticket]:
        """The tickets from the first one on whose batch still waits; those before are removed."""
        for place, ticket in enumerate(tickets):
            batch = self._find(ticket.batch_id)
            if batch is not None and batch.status is BatchStatus.QUEUED:
                return tickets[place:]
            self.queues.leave(ticket)
        return []

    def _find(self, batch_id: str) -> Batch | None:
        try:
            return self.records.get_batch(batch_id)
        except NotFoundError:
            return None
