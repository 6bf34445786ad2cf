"""What exists upstream of a job, where its record does not tell: found by its input, adopted, or stopped.

For backends without an idempotency key (docs/architecture.md, "Exactly one upstream job").
"""

from collections.abc import Mapping
from dataclasses import dataclass

from boto3.dynamodb.conditions import Attr

from slacktide.backends.protocol import Backend, Found, Work
from slacktide.batch import Job, Notice
from slacktide.errors import BackendError
from slacktide.ids import upstream_name
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import JobNotice, JobState


def work_of(job: Job, upstream_id: str | None = None) -> Work:
    """A job as its backend sees it; `upstream_id` names another upstream job of the same input."""
    return Work(
        name=upstream_name(job.batch_id, job.job_id, job.submission),
        model=job.upstream_model,
        endpoint=job.endpoint,
        input_prefix=job.keys.input,
        output_prefix=job.keys.raw(job.submission),
        upstream_id=upstream_id or job.upstream_id,
        file_id=job.file_id,
        requests=job.total,
        first=job.first,
        last=job.last,
    )


def noted(job: Job, kind: JobNotice, now: int) -> list[Notice]:
    """The notices of a job with one more."""
    return [*job.notices, Notice(kind, now)]


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Finds, adopts and stops upstream jobs."""

    records: Records
    backends: Mapping[str, Backend]
    settings: Settings

    def find(self, job: Job) -> list[Found] | None:
        """The upstream jobs of a job's input, the oldest first; None when the backend cannot say now."""
        if job.file_id is None:
            return []
        try:
            found = self.backends[job.backend].find(work_of(job))
        except BackendError:
            return None
        return [one for one in found if one.upstream_id not in job.displaced]

    def is_settled(self, since: int | None, now: int) -> bool:
        """Whether the settle window is over: what still is not found then was not created, or does not exist any more."""
        return since is None or now >= since + self.settings.settle_window

    def adopt(self, job: Job, found: list[Found], now: int) -> Job:
        """Take the oldest upstream job as the one of this job, after the others were asked to stop."""
        oldest, *others = found
        self._stop(job, others)
        return self.records.update_job(
            job,
            when=Attr("asks").eq(job.asks),
            asks=job.asks + 1,
            state=JobState.RUNNING,
            upstream_id=oldest.upstream_id,
            submitted_at=job.submitted_at or job.asked_at or now,
            missed_at=None,
            is_watched=job.is_watched or bool(others),
            notices=noted(job, JobNotice.REPEATED, now) if others else job.notices,
            reason=_adopted(len(others)),
            waiting=None,
        )

    def stop_others(self, job: Job, now: int) -> tuple[Job, bool]:
        """Stop what runs upstream beside the recorded job; answers whether it is confirmed that nothing does."""
        found = self.find(job)
        if found is None:
            return job, False
        others = [other for other in found if other.upstream_id != job.upstream_id]
        if others and not job.was_repeated:  # one that has ended by itself may have done all of it
            job = self.records.update_job(job, notices=noted(job, JobNotice.REPEATED, now), reason=_REPEATED)
        return job, self._stop(job, others)

    def stop(self, job: Job, now: int) -> bool:
        """Ask everything of a job that was given up to stop; True when it is confirmed that all has ended, or never was."""
        backend = self.backends[job.backend]
        if not backend.proves_by_listing:
            return backend.cancel(work_of(job))
        is_known = job.upstream_id is not None
        has_ended = not is_known or job.is_lost or backend.cancel(work_of(job))
        if not job.is_watched and (is_known or job.asked_at is None):
            return has_ended
        found = self.find(job)
        if found is None:
            return False
        others = [other for other in found if other.upstream_id != job.upstream_id]
        return self._stop(job, others) and has_ended and (is_known or self.is_settled(job.asked_at, now))

    def _stop(self, job: Job, others: list[Found]) -> bool:
        """Ask upstream jobs to stop, all of them, even where one does not; True when all have ended."""
        backend = self.backends[job.backend]
        ended = [other.has_ended or backend.cancel(work_of(job, other.upstream_id)) for other in others]
        return all(ended)


_REPEATED = "The backend had a second job of the same input; it was asked to stop, unless it had ended."


def _adopted(others: int) -> str:
    if others:
        return f"The backend had {others + 1} jobs of this input: the oldest was kept, the others were asked to stop."
    return "The answer to its creation was lost; it was found at the backend."
