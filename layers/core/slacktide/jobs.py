"""The steps of one job: submit it to its backend, poll it, collect what came back."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from slacktide.backends.protocol import Backend, Results
from slacktide.batch import Batch, Job
from slacktide.bucket import Bucket
from slacktide.clock import Clock
from slacktide.collection import Collection
from slacktide.errors import BackendError, ConflictError
from slacktide.log import count, logger
from slacktide.model_tables import ModelTables
from slacktide.polling import Poller
from slacktide.quotas import Quotas
from slacktide.reconciliation import work_of
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import JobState
from slacktide.steps import Gathering, Poll, Submission
from slacktide.submitting import Submitter
from slacktide.timetable import next_wait
from slacktide.undone import lines_of_job


@dataclass(frozen=True, slots=True)
class Jobs:
    """Runs the steps of jobs. Each step can be run again after it died anywhere."""

    bucket: Bucket
    records: Records
    backends: Mapping[str, Backend]
    tables: ModelTables
    quotas: Quotas
    settings: Settings

    def submit(self, batch_id: str, job_id: str, *, clock: Clock, cursor: str | None, wait_seconds: int) -> Submission:
        """Write the job's input, then create it upstream, once. `cursor` is the next line to write."""
        submitter = Submitter(self.bucket, self.records, self.backends, self.tables, self.quotas, self.settings)
        return submitter.submit(*self._read(batch_id, job_id), clock=clock, cursor=cursor, wait_seconds=wait_seconds)

    def poll(self, batch_id: str, job_id: str, *, now: int, wait_seconds: int) -> Poll:
        """Look how the job is doing; ask it to stop when its batch is cancelled or its time is over."""
        poller = Poller(self.records, self.backends, self.settings)
        return poller.poll(*self._read(batch_id, job_id), now=now, wait_seconds=wait_seconds)

    # Collect

    def collect(self, batch_id: str, job_id: str, *, clock: Clock, cursor: str | None, wait_seconds: int) -> Gathering:
        """Fetch, check and sort what the job finished; then settle it, which frees its undone lines."""
        batch, job = self._read(batch_id, job_id)
        if job.state.is_closed:
            self.quotas.settle(job, clock.now())  # a former invocation may have died before it did
            return Gathering(done=True)
        lines = lines_of_job(self.bucket, batch, job)
        collection = Collection(self.bucket, job, lines)
        try:
            with self._results(job, clock) as results:
                if results is None:
                    return Gathering(done=False, cursor=cursor)
                after = collection.run(results, after=int(cursor or 0), is_late=lambda: clock.is_late)
        except BackendError:
            wait = next_wait(batch, job, self.settings, clock.now(), wait_seconds)
            return Gathering(done=False, wait_seconds=wait, cursor=cursor)
        if after is not None:
            return Gathering(done=False, cursor=str(after))
        summary, settled = collection.finish()
        # Lines that nobody may run any more need no further round.
        self.bucket.write(job.keys.settled, bytes(lines if job.refusal else settled), "application/octet-stream")
        self.bucket.write_json(job.keys.summary, summary)
        if summary.foreign:  # a backend that mixes up jobs: the receipt counts them, but somebody should look
            logger.warning("lines of no request", count=summary.foreign, backend=job.backend)
            count("ForeignLines", self.settings.stack, summary.foreign)
        try:
            job = self.records.update_job(
                job,
                state=JobState.SETTLED,
                settled_at=clock.now(),
                completed=summary.completed,
                failed=job.total - summary.completed,
                prompt_tokens=summary.prompt_tokens,
                completion_tokens=summary.completion_tokens,
                unmetered=summary.unmetered,
            )
        except ConflictError:
            return Gathering(done=True)  # it was given up in between; its results stay unused
        self.quotas.settle(job, clock.now())
        return Gathering(done=True)

    def _results(self, job: Job, clock: Clock) -> AbstractContextManager[Iterator[Results] | None]:
        """What the job has finished, where it may have. Without upstream id too: a job whose creation had an unknown outcome was
        stopped, and may have finished some.
        """
        if not job.submission or job.is_lost:
            return nullcontext(iter(()))
        return self.backends[job.backend].results(work_of(job), lambda: clock.is_late)

    def _read(self, batch_id: str, job_id: str) -> tuple[Batch, Job]:
        return self.records.get_batch(batch_id), self.records.get_job(batch_id, job_id)
