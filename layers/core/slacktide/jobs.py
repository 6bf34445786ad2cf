"""The steps of one job: submit it to its backend, poll it, collect what came back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from boto3.dynamodb.conditions import Attr

from slacktide.backends.protocol import Backend, Displaced, Ended, Full, Rejected, Running, Submitted, Work
from slacktide.batch import Batch, Job, LineIndex
from slacktide.bucket import Bucket
from slacktide.collection import Collection
from slacktide.errors import ConflictError
from slacktide.ids import RequestId, upstream_name
from slacktide.planning import group_lines, lines_of_job
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import JobState
from slacktide.steps import Loop, Poll, Submission, grow


@dataclass(frozen=True, slots=True)
class Clock:
    """Unix seconds now, and the end of this invocation's working time."""

    now: Callable[[], int]
    ends_at: float

    @property
    def is_late(self) -> bool:
        """Whether this invocation should answer and go on in another."""
        return self.now() >= self.ends_at


@dataclass(frozen=True, slots=True)
class Jobs:
    """Runs the steps of jobs. Each step can be run again after it died anywhere."""

    bucket: Bucket
    records: Records
    backends: Mapping[str, Backend]
    settings: Settings

    # Submit

    def submit(self, batch_id: str, job_id: str, *, clock: Clock, cursor: str | None, wait_seconds: int) -> Submission:
        """Write the job's input, then create it upstream, once. `cursor` is the next line to write."""
        batch, job = self._read(batch_id, job_id)
        if job.state.is_closed or job.state is JobState.ENDED:
            return Submission(done=True, outcome="rejected", wait_seconds=0)
        if job.upstream_id is not None:
            return self._submitted(wait_seconds)
        if self._is_over(batch, clock.now()):
            reason = job.reason or "The batch was ended before the job was submitted."
            return self._reject(job, batch, reason, clock.now())
        if cursor != "written":
            cursor = self._write_input(batch, job, clock, int(cursor or job.first))
            return Submission(done=False, outcome="submitted", wait_seconds=wait_seconds, cursor=cursor)
        return self._create(batch, job, clock, wait_seconds)

    def _write_input(self, batch: Batch, job: Job, clock: Clock, start: int) -> str:
        """Write the lines from `start` on as objects of bounded size; answers the cursor."""
        limits = self.backends[job.backend].limits
        lines = lines_of_job(self.bucket, batch, job)
        index = self.bucket.read_json(batch.keys.index, LineIndex)
        pending: list[bytes] = []
        numbers: list[int] = []
        size = 0
        for line, body in group_lines(self.bucket, batch, index, job, start):
            if line not in lines:
                continue
            text = _request_line(RequestId(batch.batch_id, job.round, line), job.endpoint, body)
            if pending and (len(pending) >= limits.object_lines or size + len(text) > limits.object_bytes):
                self.bucket.write(job.keys.input_object(numbers[0], numbers[-1]), b"".join(pending))
                pending, numbers, size = [], [], 0
                if clock.is_late:
                    return str(line)
            pending.append(text)
            numbers.append(line)
            size += len(text)
        if pending:
            self.bucket.write(job.keys.input_object(numbers[0], numbers[-1]), b"".join(pending))
        return "written"

    def _create(self, batch: Batch, job: Job, clock: Clock, wait_seconds: int) -> Submission:
        # A number for the submission is recorded before the job can exist: its name is the idempotency key upstream.
        job = self.records.update_job(job, state=JobState.SUBMITTING, submission=job.submission or 1)
        outcome = self.backends[job.backend].submit(_work(job))
        match outcome:
            case Submitted(upstream_id):
                self._note_submitted(job, upstream_id, clock.now())
                return self._submitted(wait_seconds)
            case Full(reason):
                self.records.update_job(job, state=JobState.WAITING, reason=reason)
                wait = self._next_wait(batch, clock.now(), wait_seconds)
                return Submission(done=True, outcome="quota_full", wait_seconds=wait, cursor="written")
            case Rejected(reason):
                return self._reject(job, batch, reason, clock.now())

    def _submitted(self, wait_seconds: int) -> Submission:
        """Waits go on growing over submissions: a job that is displaced again and again must not use up the history."""
        return Submission(done=True, outcome="submitted", wait_seconds=max(self.settings.wait_first, wait_seconds))

    def _note_submitted(self, job: Job, upstream_id: str, now: int) -> None:
        try:
            self.records.update_job(job, state=JobState.RUNNING, upstream_id=upstream_id, submitted_at=now, reason=None)
        except ConflictError:  # given up while it was created: sweep may have looked for it in vain
            self.backends[job.backend].cancel(_work(job))
            raise

    def _reject(self, job: Job, batch: Batch, reason: str, now: int) -> Submission:
        """End a job that was not created. One whose creation has an unknown outcome is looked for, and stopped, first."""
        if job.submission and not self.backends[job.backend].cancel(_work(job)):
            wait = self._next_wait(batch, now, 0)
            return Submission(done=True, outcome="quota_full", wait_seconds=wait, cursor="written")
        self.records.update_job(job, state=JobState.ENDED, ended_at=now, reason=reason)
        return Submission(done=True, outcome="rejected", wait_seconds=0)

    # Poll

    def poll(self, batch_id: str, job_id: str, *, now: int, wait_seconds: int) -> Poll:
        """Look how the job is doing; ask it to stop when its batch is cancelled or its time is over."""
        batch, job = self._read(batch_id, job_id)
        if job.state.is_closed or job.state is JobState.ENDED:
            return Poll(done=True, resubmit=False, wait_seconds=0, progress=job.progress)
        if job.upstream_id is None:  # displaced, by a poll that died before it could say so
            return Poll(done=False, resubmit=True, wait_seconds=self._next_wait(batch, now, wait_seconds), progress=0)
        backend = self.backends[job.backend]
        match backend.poll(_work(job)):
            case Running(share):
                done = int(share * job.total)
                if self._is_over(batch, now) and not job.cancel_requested:
                    backend.cancel(_work(job))
                    job = self.records.update_job(job, cancel_requested=True)
                if done != job.progress:
                    job = self.records.update_job(job, progress=max(done, job.progress))
                wait = self._next_wait(batch, now, wait_seconds)
                return Poll(done=False, resubmit=False, wait_seconds=wait, progress=job.progress)
            case Displaced(reason) if not self._is_over(batch, now):
                self._make_room_for_another(job, reason)
                wait = self._next_wait(batch, now, wait_seconds)
                return Poll(done=False, resubmit=True, wait_seconds=wait, progress=0)
            case Displaced(reason) | Ended(reason):
                self.records.update_job(job, state=JobState.ENDED, ended_at=now, reason=reason)
                return Poll(done=True, resubmit=False, wait_seconds=0, progress=job.progress)

    def _make_room_for_another(self, job: Job, reason: str) -> None:
        """The job ended without having run: the next submission has a new number, so a new name."""
        self.records.update_job(
            job,
            when=Attr("submission").eq(job.submission),
            state=JobState.WAITING,
            submission=job.submission + 1,
            upstream_id=None,
            submitted_at=None,
            reason=reason,
        )

    # Collect

    def collect(self, batch_id: str, job_id: str, *, clock: Clock, cursor: str | None) -> Loop:
        """Fetch, check and sort what the job finished; then settle it, which frees its undone lines."""
        batch, job = self._read(batch_id, job_id)
        if job.state.is_closed:
            return Loop(done=True)
        lines = lines_of_job(self.bucket, batch, job)
        collection = Collection(self.bucket, job, lines)
        # Without upstream id too: a job whose creation had an unknown outcome was stopped, and may have finished some.
        objects = self.backends[job.backend].results(_work(job)) if job.submission else iter(())
        after = collection.run(objects, after=int(cursor or 0), is_late=lambda: clock.is_late)
        if after is not None:
            return Loop(done=False, cursor=str(after))
        summary, settled = collection.finish()
        self.bucket.write(job.keys.settled, bytes(settled), "application/octet-stream")
        self.bucket.write_json(job.keys.summary, summary)
        try:
            self.records.update_job(
                job,
                state=JobState.SETTLED,
                settled_at=clock.now(),
                completed=summary.completed,
                failed=job.total - summary.completed,
            )
        except ConflictError:
            return Loop(done=True)  # it was given up in between; its results stay unused
        return Loop(done=True)

    # What all steps share

    def _read(self, batch_id: str, job_id: str) -> tuple[Batch, Job]:
        return self.records.get_batch(batch_id), self.records.get_job(batch_id, job_id)

    def _is_over(self, batch: Batch, now: int) -> bool:
        return batch.is_cancelling or now >= batch.deadline - self.settings.assembly_reserve

    def _next_wait(self, batch: Batch, now: int, wait_seconds: int) -> int:
        return grow(
            wait_seconds,
            first=self.settings.wait_first,
            longest=self.settings.wait_longest,
            ends=[batch.deadline - self.settings.assembly_reserve, batch.deadline],
            now=now,
        )


def _work(job: Job) -> Work:
    return Work(
        name=upstream_name(job.batch_id, job.job_id, job.submission),
        model=job.upstream_model,
        endpoint=job.endpoint,
        input_prefix=job.keys.input,
        output_prefix=job.keys.raw(job.submission),
        upstream_id=job.upstream_id,
    )


def cancel_upstream(backends: Mapping[str, Backend], job: Job) -> bool:
    """Ask the upstream job of a job that was given up to stop; True when it has ended or never was."""
    return backends[job.backend].cancel(_work(job))


def _request_line(request: RequestId, endpoint: str, body: bytes) -> bytes:
    """A line of a job's input: the user's body as it is, under an id of ours."""
    head = msgspec.json.encode({"custom_id": str(request), "url": endpoint})
    return head[:-1] + b',"body":' + body + b"}\n"
