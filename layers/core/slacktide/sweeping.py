"""Sweep: however an execution died, its batch goes on to its end; what was not announced is announced."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from boto3.dynamodb.conditions import Attr

from slacktide.backends.protocol import Backend
from slacktide.batch import Batch, Failure
from slacktide.codes import Code
from slacktide.errors import ConflictError
from slacktide.executions import Executions
from slacktide.jobs import cancel_upstream
from slacktide.notifications import Announcer, NotAnnouncedError
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks after every batch that has not ended."""

    records: Records
    executions: Executions
    announcer: Announcer
    backends: Mapping[str, Backend]
    settings: Settings
    now: Callable[[], int]

    def sweep(self) -> dict[str, int]:
        """Restart what died, announce what was not, stop what was given up; answers the counts of what was done."""
        counts = {"restarted": 0, "unannounced": 0, "stopped": 0}
        for batch_id in list(self.records.open_batches()):
            batch = self.records.get_batch(batch_id)
            counts["restarted"] += self._revive(batch)
            counts["unannounced"] += not self._announced(batch)
        for job in list(self.records.abandoned_jobs()):
            if cancel_upstream(self.backends, job):
                self.records.confirm_cancelled(job)
                counts["stopped"] += 1
        return counts

    def _revive(self, batch: Batch) -> bool:
        """Start an execution for a batch that has none alive. False when there is nothing to do."""
        if batch.status.is_final:
            return False
        status = self.executions.batch_status(batch.batch_id, batch.attempt)
        if status in {"RUNNING", "PENDING_REDRIVE"}:
            return False
        attempt = batch.attempt
        if status is None:
            if batch.status is BatchStatus.VALIDATING and not batch.refused and not self._fail_stale(batch):
                return False  # its validator is at work, or its message comes again
        else:
            attempt += 1
            try:
                self.records.update_batch(batch.batch_id, when=Attr("attempt").eq(batch.attempt), attempt=attempt)
            except ConflictError:
                return False  # another sweep does it
        self.executions.start_batch(batch.batch_id, attempt)
        return True

    def _fail_stale(self, batch: Batch) -> bool:
        """Fail a batch whose validator died so often that its message was given up."""
        patience = self.settings.receive_limit * (self.settings.lease + 60)
        if self.now() < batch.created_at + patience:
            return False
        failure = Failure(Code.INTERNAL_ERROR, "The file could not be validated; see the log of the function validate.")
        self.records.update_batch(batch.batch_id, refused=True, failure=failure)
        return True

    def _announced(self, batch: Batch) -> bool:
        """Send what was not sent; a bus that does not take it now will be asked by the next sweep."""
        try:
            self.announcer.announce(batch)
        except NotAnnouncedError:
            return False
        return True
