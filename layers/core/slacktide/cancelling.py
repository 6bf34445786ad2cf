"""Cancelling batches: what is done is kept, the rest ends as `batch_cancelled`."""

from collections.abc import Callable
from dataclasses import dataclass

from slacktide.batch import DROP_OWNER, Batch
from slacktide.errors import NotFoundError, TransitionError
from slacktide.ids import BATCH_ID
from slacktide.keys import PLAIN_SUFFIX
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

    def cancel_marked(self, key: str, until: int) -> list[str]:
        """Do what a marker asks for: it is beside the input `key`, or named as a batch; answers the ids of those cancelled."""
        name = key.rpartition("/")[2].removesuffix(PLAIN_SUFFIX)
        named = [name] if BATCH_ID.fullmatch(name) and self._is_dropped(name) else []
        return [batch_id for batch_id in named if self.cancel(batch_id)] + self.cancel_input(key, until)

    def cancel_input(self, key: str, until: int) -> list[str]:
        """Cancel every batch whose input was written at this key no later than `until`; answers their ids."""
        return [
            batch_id
            for batch_id in self.records.batches_of_input(key)
            if is_meant(self.records.get_batch(batch_id), until) and self.cancel(batch_id)
        ]

    def _is_dropped(self, batch_id: str) -> bool:
        """Whether there is such a batch, of those who may write into the drop zone: nobody else's can be cancelled from there."""
        try:
            return self.records.get_batch(batch_id).owner == DROP_OWNER
        except NotFoundError:
            return False


def is_meant(batch: Batch, marked_at: int) -> bool:
    """Whether a marker of this time means a batch: its input was there. S3 tells whole seconds; the same one counts."""
    return (batch.created_at if batch.dropped_at is None else batch.dropped_at) <= marked_at
