"""Sweep: however an execution died, its batch goes on to its end; what was not announced is announced."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from boto3.dynamodb.conditions import Attr

from slacktide.accounts import Reservation
from slacktide.backends.protocol import Backend
from slacktide.batch import Batch, Failure, Job
from slacktide.bucket import Bucket
from slacktide.codes import Code
from slacktide.creation import Creator
from slacktide.errors import ConflictError
from slacktide.executions import ALIVE, Executions
from slacktide.files import File, Files
from slacktide.keys import upload
from slacktide.notifications import Announcer, NotAnnouncedError
from slacktide.quotas import Quotas
from slacktide.reconciliation import Reconciler
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.slots import Slots
from slacktide.tickets import Ticket
from slacktide.timetable import reserve_begins

SEND_PATIENCE = 60  # seconds; who created the batch sends its message at once, if he lives
MOST_REMOVED = 100  # of a kind, in one run
STOP_PATIENCE = 7 * 86_400  # seconds in which a job that was given up is asked to stop; a hosted one has a window of a day
USED_SECONDS = 3_600  # until a file is looked at again that had expired and was still needed


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks after every batch that has not ended; removes what has expired, and uploads that were not completed."""

    records: Records
    files: Files
    creator: Creator
    bucket: Bucket
    executions: Executions
    announcer: Announcer
    backends: Mapping[str, Backend]
    quotas: Quotas
    batch_slots: Slots
    settings: Settings
    now: Callable[[], int]

    def sweep(self, batch_id: str | None = None) -> dict[str, int]:
        """Restart what died, announce what was not, stop what was given up; answers the counts of what was done.

        Of one batch alone, if it is named: where many executions die at once, each is told of, and a look at all batches for each
        of them would use up what Step Functions answers to the whole account.
        """
        counts: Counter[str] = Counter(restarted=0, unannounced=0, stopped=0, sent=0, removed=0, released=0)
        failures: list[Exception] = []
        for look_after in self._all_work() if batch_id is None else [partial(self._look_after, batch_id)]:
            try:
                counts.update(look_after())
            except Exception as failure:  # one that cannot be helped must not keep the others from it
                failures.append(failure)
        if failures:
            raise ExceptionGroup("sweep could not look after all batches and jobs", failures)
        return dict(counts)

    def _all_work(self) -> Iterator[Callable[[], dict[str, int]]]:
        yield from [partial(self._look_after, batch_id) for batch_id in self.records.open_batches()]
        yield from [partial(self._remove, file) for file in islice(self.files.overdue(self.now()), MOST_REMOVED)]
        yield from [partial(self._expire, file) for file in islice(self.files.expired(self.now()), MOST_REMOVED)]
        yield from [partial(self._expire_results, one) for one in islice(self.records.expired_batches(self.now()), MOST_REMOVED)]
        yield from [partial(self._release, reservation) for reservation in self.quotas.ledger.left_behind()]
        yield from [partial(self._drop, ticket) for ticket in self.quotas.queues.lapsed(self.now())]
        # Last: an upstream that does not answer costs a minute for each job, and in the end this function.
        yield from [partial(self._stop, job) for job in self.records.abandoned_jobs()]

    def _look_after(self, batch_id: str) -> dict[str, int]:
        batch = self.records.get_batch(batch_id)
        if batch.is_unsent and self.now() >= batch.created_at + SEND_PATIENCE:
            self.creator.send(batch)
            return {"sent": 1}
        return {"restarted": int(self._revive(batch)), "unannounced": int(not self._announced(batch))}

    def _remove(self, file: File) -> dict[str, int]:
        """Remove a file: first what it holds, then that there was one."""
        self.bucket.delete_below(upload(file.file_id))
        self.files.forget(file)
        return {"removed": 1}

    def _expire(self, file: File) -> dict[str, int]:
        """Remove a file whose time is over, unless a batch still runs it: then later."""
        if file.source is not None and self.records.open_batch_of_input(file.source.key) is not None:
            self.files.put_off(file, self.now() + USED_SECONDS)
            return {}
        return self._remove(file)

    def _expire_results(self, batch_id: str) -> dict[str, int]:
        """Delete output and error file of a batch, whose time is over."""
        results = self.records.get_batch(batch_id).results
        for key in (results.output, results.errors):
            self.bucket.delete(key)
        self.records.note_expired(batch_id)
        return {"removed": 1}

    def _stop(self, job: Job) -> dict[str, int]:
        """End an abandoned job upstream; once that is confirmed, or was not for long, nothing is left to do about it."""
        now = self.now()
        is_confirmed = Reconciler(self.records, self.backends, self.settings).stop(job, now)
        if not is_confirmed and now < (job.settled_at or job.ended_at or job.created_at) + STOP_PATIENCE:
            return {}
        self.records.leave_alone(job, is_confirmed=is_confirmed)
        return {"stopped": int(is_confirmed)}

    def _release(self, reservation: Reservation) -> dict[str, int]:
        """Give back what a closed job, or an ended batch, has reserved, if nobody did."""
        if reservation.is_slot:
            return {"released": int(self.batch_slots.settle(reservation, self.now()))}
        return {"released": int(self.quotas.settle_left_behind(reservation, self.now()))}

    def _drop(self, ticket: Ticket) -> dict[str, int]:
        """Remove the ticket of a job that does not ask any more."""
        return {"released": int(self.quotas.queues.drop_lapsed(ticket, self.now()))}

    def _revive(self, batch: Batch) -> bool:
        """Start an execution for a batch that has none alive. False when there is nothing to do."""
        if batch.status.is_final:
            return False
        status = self.executions.batch_status(batch.batch_id, batch.attempt)
        if status in ALIVE:
            if batch.is_cancelling and self.now() < batch.begins_at:
                self.executions.stop_batch(
                    batch.batch_id, batch.attempt
                )  # it sleeps until then; its end is seen by the next sweep
            return False
        attempt = batch.attempt
        if status is None:
            if not batch.is_validated and not self._fail_stale(batch):
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
        """Fail a batch whose validator died so often that its message was given up.

        Where no validator has begun, the message of a created batch still waits in a long queue: it has all the time there is.
        """
        source = batch.input if batch.file_id is None else batch.batch_id
        if self.records.find_guard(source) is None:
            ends_at = reserve_begins(batch, self.settings)
        else:
            ends_at = batch.created_at + (self.settings.receive_limit + 1) * self.settings.input_visibility
        if self.now() < ends_at:
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
