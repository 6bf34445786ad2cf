"""Cancelling batches: what is done is kept, the rest ends as `batch_cancelled`."""

from collections.abc import Callable
from dataclasses import dataclass

from slacktide.errors import TransitionError
from slacktide.notifications import Announcer
from slacktide.records import Records
from slacktide.statuses import BatchStatus

TOO_LATE = frozenset({BatchStatus.FINALIZING, BatchStatus.CANCELLING})


@dataclass(frozen=True, slots=True)
class Canceller:
    """Asks batches to end; their jobs notice at their next poll."""

    records: Records
    announcer: Announcer
    now: Callable[[], int]

    def cancel(self, batch_id: str) -> bool:
        """Ask one batch to end; False when it is ending or has ended already."""
        batch = self.records.get_batch(batch_id)
        if batch.status.is_final or batch.status in TOO_LATE:
            return False
        try:
            batch = self.records.change_status(batch_id, BatchStatus.CANCELLING, self.now())
        except TransitionError:
            return False  # it ended in between
        self.announcer.announce(batch)
        return batch.status is BatchStatus.CANCELLING

    def cancel_input(self, key: str, until: int) -> list[str]:
        """Cancel every batch of an input key that was made no later than `until`; answers their ids."""
        return [
            batch_id
            for batch_id in self.records.batches_of_input(key)
            if self.records.get_batch(batch_id).created_at <= until and self.cancel(batch_id)
        ]
