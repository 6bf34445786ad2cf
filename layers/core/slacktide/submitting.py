"""Submit: a job's input is written, brought to its backend, and the job is created there, once."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr

from slacktide.backends.protocol import Backend, Full, Rejected, Submitted, Unknown, Unseen, Uploaded
from slacktide.backends.spool import Spool
from slacktide.batch import Batch, Job, Waiting
from slacktide.bucket import Bucket
from slacktide.clock import Clock
from slacktide.codes import Code
from slacktide.errors import ConflictError, ModelTableError
from slacktide.job_input import WRITTEN, Draft, JobInput
from slacktide.model_tables import ModelTables
from slacktide.models import Model
from slacktide.quotas import Granted, Quotas, Refused, Waits
from slacktide.reconciliation import Reconciler, work_of
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import JobState
from slacktide.steps import Submission
from slacktide.timetable import is_over, next_wait


@dataclass(frozen=True, slots=True)
class Submitter:
    """Creates jobs upstream. What is about to happen is recorded before it can, so a step that died anywhere can be run again."""

    bucket: Bucket
    records: Records
    backends: Mapping[str, Backend]
    tables: ModelTables
    quotas: Quotas
    settings: Settings

    def submit(self, batch: Batch, job: Job, *, clock: Clock, cursor: str | None, wait_seconds: int) -> Submission:
        """Carry the submission on by one piece. `cursor` is the next line to write."""
        if job.state.is_closed or job.state is JobState.ENDED:
            return Submission(done=True, outcome="rejected", wait_seconds=0)
        if job.upstream_id is not None:
            return self._submitted(wait_seconds)
        if job.asked_at is not None:
            return self._settle(batch, job, clock, wait_seconds)
        return self._advance(batch, job, clock, cursor, wait_seconds)

    def _advance(self, batch: Batch, job: Job, clock: Clock, cursor: str | None, wait_seconds: int) -> Submission:
        """Input, file, job: the next of them that there is not yet."""
        now = clock.now()
        if is_over(batch, job, self.settings, now):
            return self._reject(job, batch, job.reason or "The time was over before the job was submitted.", now)
        if not self.backends[job.backend].proves_by_listing:
            prepared = self._prepare(batch, job, clock, cursor, wait_seconds)
            return prepared if isinstance(prepared, Submission) else self._create_by_name(batch, prepared, clock, wait_seconds)
        if job.file_id is None:
            return self._bring(batch, job, clock, cursor, wait_seconds)
        if job.is_watched:  # one that nobody found in its time may have come up since
            return self._settle(batch, job, clock, wait_seconds)
        return self._create(batch, self._ask(job, clock.now()), clock, wait_seconds)

    # The input, and room for it

    def _bring(self, batch: Batch, job: Job, clock: Clock, cursor: str | None, wait_seconds: int) -> Submission:
        """Prepare the input of a hosted job, and bring it to the backend."""
        with Spool.temporary() as content:
            draft = Draft(content)
            prepared = self._prepare(batch, job, clock, cursor, wait_seconds, draft=draft)
            if isinstance(prepared, Submission):
                return prepared
            if prepared.is_watched:  # one that nobody found in its time may have come up since
                return self._settle(batch, prepared, clock, wait_seconds)
            return self._upload(batch, prepared, clock, wait_seconds, draft)

    def _prepare(
        self, batch: Batch, job: Job, clock: Clock, cursor: str | None, wait_seconds: int, *, draft: Draft | None = None
    ) -> Submission | Job:
        """Write the job's input, then reserve what it needs; answers the job as it is then, when it may be submitted.

        With a draft, lines that have to be counted are written there; without one, all lines are, into the bucket.
        """
        cap = None if job.submission else self.quotas.cap(batch, job)  # what may exist upstream is not cut
        # Once its bounds are recorded an input is never written again: a limit may have changed since, and so where it is cut.
        if job.prompt_bound is None and (cap is not None or (draft is None and cursor != WRITTEN)):
            cursor = self._input(job, draft).write(batch, job, self._model(batch, job), cap, clock=clock, cursor=cursor)
            if draft is None or cursor != WRITTEN:
                return Submission(done=False, outcome="submitted", wait_seconds=wait_seconds, cursor=cursor)
            job = self.records.get_job(job.batch_id, job.job_id)
        return job if job.submission else self._reserve(batch, job, clock.now(), wait_seconds)

    def _reserve(self, batch: Batch, job: Job, now: int, wait_seconds: int) -> Submission | Job:
        match self.quotas.ask(batch, job, now):
            case Granted():
                return job
            case Waits(reason, place):
                job = self.records.update_job(job, **_waiting(job, reason, now, place))
                return self._wait_for_room(batch, job, now, wait_seconds, None)
            case Refused(reason, code):
                return self._reject(job, batch, reason, now, code)

    def _input(self, job: Job, draft: Draft | None) -> JobInput:
        limits = self.backends[job.backend].limits
        return JobInput(self.bucket, self.records, limits.object_lines, limits.object_bytes, draft)

    def _model(self, batch: Batch, job: Job) -> Model:
        """The model of a job. Raises ModelTableError where the batch's table has it no more."""
        model = self.tables.routes(batch.models_version).models.find(job.model)
        if model is None:
            raise ModelTableError(f"the model table of {batch.batch_id} does not have the model of {job.job_id}")
        return model

    def _upload(self, batch: Batch, job: Job, clock: Clock, wait_seconds: int, draft: Draft) -> Submission:
        """Bring the input to the backend and record its id there, by which the job will be found. The next invocation creates."""
        if not draft.holds(job):
            draft.clear()
            for requests in self._input(job, draft).read(batch, job, job.first):
                draft.add(requests)
        match self.backends[job.backend].upload(work_of(job), draft.content):
            case Uploaded(file_id):
                with suppress(ConflictError):  # another invocation was quicker: its upload counts
                    self.records.update_job(job, when=Attr("asks").eq(job.asks), asks=job.asks + 1, file_id=file_id)
                return Submission(done=False, outcome="submitted", wait_seconds=wait_seconds, cursor=WRITTEN)
            case Full(reason, after):
                self.records.update_job(job, **_waiting(job, reason, clock.now()))
                return self._wait_for_room(batch, job, clock.now(), wait_seconds, after)
            case Rejected(reason):
                return self._reject(job, batch, reason, clock.now())

    # Creation where only a list of jobs can prove anything

    def _ask(self, job: Job, now: int, *, again: bool = False) -> Job:
        """Record that the job is about to be created: of several invocations one alone may then ask for it."""
        return self.records.update_job(
            job,
            when=Attr("asks").eq(job.asks),
            asks=job.asks + 1,
            asked_at=now,
            state=JobState.SUBMITTING,
            submission=job.submission + 1 if again else max(1, job.submission),
            is_watched=job.is_watched or again,
        )

    def _create(self, batch: Batch, job: Job, clock: Clock, wait_seconds: int) -> Submission:
        match self.backends[job.backend].submit(work_of(job)):
            case Submitted(upstream_id):
                self._note_created(job, upstream_id, clock.now())
                return self._submitted(wait_seconds)
            case Unknown(reason):
                self.records.update_job(job, reason=reason, unseen_at=None)
                return self._unsettled(batch, job, clock.now(), wait_seconds)
            case Full(reason, after):
                job = self._note_refused(job, reason, clock.now())
                return self._wait_for_room(batch, job, clock.now(), wait_seconds, after)
            case Unseen(reason, after):
                job = self._note_unseen(job, reason, clock.now())
                return self._wait_for_room(batch, job, clock.now(), wait_seconds, after)
            case Rejected(reason):
                job = self._note_refused(job, reason, clock.now())
                return self._reject(job, batch, reason, clock.now())

    def _note_created(self, job: Job, upstream_id: str, now: int) -> None:
        """Record the upstream job; if another was recorded meanwhile, or the job was given up, this one is stopped."""
        while job.upstream_id != upstream_id:
            if job.state.is_closed or job.upstream_id is not None:
                self.backends[job.backend].cancel(work_of(job, upstream_id))
                if not job.state.is_closed:
                    self.records.update_job(job, is_watched=True)
                return
            try:
                self.records.update_job(
                    job,
                    when=Attr("asks").eq(job.asks),
                    asks=job.asks + 1,
                    state=JobState.RUNNING,
                    upstream_id=upstream_id,
                    submitted_at=now,
                    unseen_at=None,
                    reason=None,
                    waiting=None,
                )
            except ConflictError:
                job = self.records.get_job(job.batch_id, job.job_id)
            else:
                return

    def _note_refused(self, job: Job, reason: str, now: int, **changes: object) -> Job:
        """Record that it is known that nothing was created."""
        fields = {"asks": job.asks + 1, "asked_at": None, "unseen_at": None} | _waiting(job, reason, now)
        return self.records.update_job(job, when=Attr("asks").eq(job.asks), **fields | changes)

    def _note_unseen(self, job: Job, reason: str, now: int) -> Job:
        """Record that the backend does not have the input; after a settle window of that and nothing else it is uploaded again.

        Not where an earlier creation of it has an unknown outcome: that one is known by the file alone.
        """
        since = now if job.unseen_at is None else job.unseen_at
        if job.is_watched or since + self.settings.settle_window > now:
            return self._note_refused(job, reason, now, unseen_at=since)
        return self._note_refused(job, reason, now, file_id=None, submission=job.submission + 1)

    def _settle(self, batch: Batch, job: Job, clock: Clock, wait_seconds: int) -> Submission:
        """Find out what became of a creation whose outcome is unknown; only then, and after the settle window, ask again."""
        now = clock.now()
        reconciler = self._reconciler
        is_settled = reconciler.is_settled(job.asked_at, now)  # before the look: it must lie behind the window
        found = reconciler.find(job)
        if found:
            reconciler.adopt(job, found, now)
            return self._submitted(wait_seconds)
        if found is None or not is_settled:
            return self._unsettled(batch, job, now, wait_seconds)
        now = clock.now()  # the look may have taken minutes, and the window of the next request counts from that request on
        if is_over(batch, job, self.settings, now):
            reason = "The time was over before it was created."
            return self._reject(self._note_refused(job, reason, now), batch, reason, now)
        return self._create(batch, self._ask(job, now, again=job.asked_at is not None), clock, wait_seconds)

    # Creation by a name that is the idempotency key

    def _create_by_name(self, batch: Batch, job: Job, clock: Clock, wait_seconds: int) -> Submission:
        # A number for the submission is recorded before the job can exist: its name is the idempotency key upstream.
        job = self.records.update_job(job, state=JobState.SUBMITTING, submission=job.submission or 1)
        match self.backends[job.backend].submit(work_of(job)):
            case Submitted(upstream_id):
                self._note_submitted(job, upstream_id, clock.now())
                return self._submitted(wait_seconds)
            case Full(reason, after) | Unseen(reason, after):
                self.records.update_job(job, **_waiting(job, reason, clock.now()))
                return self._wait_for_room(batch, job, clock.now(), wait_seconds, after)
            case Unknown(reason):  # to ask again under the same name is free
                self.records.update_job(job, **_waiting(job, reason, clock.now()))
                return self._unsettled(batch, job, clock.now(), wait_seconds)
            case Rejected(reason):
                return self._reject(job, batch, reason, clock.now())

    def _note_submitted(self, job: Job, upstream_id: str, now: int) -> None:
        try:
            self.records.update_job(
                job, state=JobState.RUNNING, upstream_id=upstream_id, submitted_at=now, reason=None, waiting=None
            )
        except ConflictError:  # given up while it was created: sweep may have looked for it in vain
            self.backends[job.backend].cancel(work_of(job))
            raise

    # Outcomes

    @property
    def _reconciler(self) -> Reconciler:
        return Reconciler(self.records, self.backends, self.settings)

    def _submitted(self, wait_seconds: int) -> Submission:
        """Waits go on growing over submissions: a job that is displaced again and again must not use up the history."""
        return Submission(done=True, outcome="submitted", wait_seconds=max(self.settings.wait_first, wait_seconds))

    def _wait_for_room(self, batch: Batch, job: Job, now: int, wait_seconds: int, after: int | None) -> Submission:
        wait = next_wait(batch, job, self.settings, now, wait_seconds, at_least=after or 0)
        return Submission(done=True, outcome="quota_full", wait_seconds=wait, cursor=WRITTEN)

    def _unsettled(self, batch: Batch, job: Job, now: int, wait_seconds: int) -> Submission:
        wait = next_wait(batch, job, self.settings, now, wait_seconds)
        return Submission(done=True, outcome="unsettled", wait_seconds=wait, cursor=WRITTEN)

    def _reject(self, job: Job, batch: Batch, reason: str, now: int, code: Code | None = None) -> Submission:
        """End a job that was not created; with a code, so do its lines.

        One whose creation has an unknown outcome is looked for, and stopped, first.
        """
        if job.submission and not self._reconciler.stop(job, now):
            return self._unsettled(batch, job, now, 0)
        self.records.update_job(job, state=JobState.ENDED, ended_at=now, reason=reason, refusal=code, waiting=None)
        self.quotas.leave(batch, job, now)
        return Submission(done=True, outcome="rejected", wait_seconds=0)


def _waiting(job: Job, reason: str, now: int, place: int | None = None) -> dict[str, Any]:
    """What a job's record says while it waits for room."""
    since = job.waiting.since if job.waiting else now
    return {"state": JobState.WAITING, "reason": reason, "waiting": Waiting(since, place)}
