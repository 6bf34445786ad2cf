"""Poll: how a job is doing at its backend; when its time is over it is stopped, and its end waited for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr

from slacktide.backends.protocol import Backend, Displaced, Ended, Missing, Running
from slacktide.batch import Batch, Job, Waiting
from slacktide.reconciliation import Reconciler, noted, work_of
from slacktide.records import Records, left_to_sweep
from slacktide.settings import Settings
from slacktide.statuses import JobNotice, JobState
from slacktide.steps import Poll
from slacktide.timetable import is_last_round, is_over, next_wait

LOST = "The backend does not know the job any more."


@dataclass(frozen=True, slots=True)
class Poller:
    """Looks at jobs upstream. Each look writes at most what it saw, so it can be repeated."""

    records: Records
    backends: Mapping[str, Backend]
    settings: Settings

    def poll(self, batch: Batch, job: Job, *, now: int, wait_seconds: int) -> Poll:
        """Look how the job is doing, and what follows from it."""
        if job.state.is_closed or job.state is JobState.ENDED:
            return Poll(done=True, resubmit=False, wait_seconds=0, progress=job.progress)
        if job.upstream_id is None:  # displaced, by a poll that died before it could say so
            return self._again(batch, job, now, wait_seconds)
        match self.backends[job.backend].poll(work_of(job)):
            case Running(share):
                return self._go_on(batch, job, share, now, wait_seconds)
            case Missing():
                return self._miss(batch, job, now, wait_seconds)
            case Displaced(reason) if not is_over(batch, job, self.settings, now):
                return self._again(batch, self._make_room_for_another(job, reason, now), now, wait_seconds)
            case Displaced(reason) | Ended(reason):
                return self._end(batch, job, now, wait_seconds, reason=reason)

    def _go_on(self, batch: Batch, job: Job, share: float | None, now: int, wait_seconds: int) -> Poll:
        """Note the progress."""
        changes: dict[str, Any] = {}
        done = int((share or 0) * job.total)
        if done > job.progress:
            changes |= {"progress": min(done, job.total), "progressed_at": now}
        elif self._is_stuck(job, now):
            changes |= {"notices": noted(job, JobNotice.STUCK, now)}
        if job.missed_at is not None:
            changes |= {"missed_at": None}
        if changes:
            job = self.records.update_job(job, **changes)
        asked = self._ask_to_stop(batch, job, now)
        if asked is not job:
            job, wait_seconds = asked, 0  # its end is near
        if job.is_watched:
            job, _ = self._reconciler.stop_others(job, now)
        wait = next_wait(batch, job, self.settings, now, wait_seconds)
        return Poll(done=False, resubmit=False, wait_seconds=wait, progress=job.progress)

    def _ask_to_stop(self, batch: Batch, job: Job, now: int) -> Job:
        """Ask a job whose time is over to stop, at every look: a request may be lost."""
        if not is_over(batch, job, self.settings, now):
            return job
        self.backends[job.backend].cancel(work_of(job))
        return job if job.cancel_requested else self.records.update_job(job, cancel_requested=True)

    def _is_stuck(self, job: Job, now: int) -> bool:
        is_told = any(notice.kind is JobNotice.STUCK for notice in job.notices)
        return not is_told and now - (job.progressed_at or job.submitted_at or now) >= self.settings.stuck_time

    def _miss(self, batch: Batch, job: Job, now: int, wait_seconds: int) -> Poll:
        """The backend does not know the job: believed at a second look, and where there is a list, if that agrees for long."""
        job = self._ask_to_stop(batch, job, now)
        if job.missed_at is None:
            job = self.records.update_job(job, missed_at=now)
        elif not self.backends[job.backend].proves_by_listing:
            return self._end(batch, job, now, wait_seconds, reason=LOST)
        else:
            is_settled = self._reconciler.is_settled(job.missed_at, now)
            found = self._reconciler.find(job)
            listed = next((one for one in found or [] if one.upstream_id == job.upstream_id), None)
            if listed is not None and listed.has_ended:
                return self._end(batch, job, now, wait_seconds, reason=None)
            if found and listed is None:
                job = self._reconciler.adopt(job, found, now)
            elif found == [] and is_settled:
                return self._end(batch, job, now, wait_seconds, reason=LOST, is_lost=True)
        wait = next_wait(batch, job, self.settings, now, wait_seconds)
        return Poll(done=False, resubmit=False, wait_seconds=wait, progress=job.progress)

    def _end(self, batch: Batch, job: Job, now: int, wait_seconds: int, *, reason: str | None, is_lost: bool = False) -> Poll:
        """The job has ended; its lines are free only when no other upstream job has them either.

        Where no round follows nobody runs them again: what it has done is kept, and sweep goes on stopping the others.
        """
        left: dict[str, Any] = {}
        if job.is_watched:
            job, is_alone = self._reconciler.stop_others(job, now)
            if not is_alone and not is_last_round(batch, self.settings, now):
                wait = next_wait(batch, job, self.settings, now, wait_seconds)
                return Poll(done=False, resubmit=False, wait_seconds=wait, progress=job.progress)
            left = {} if is_alone else left_to_sweep(batch.deadline)
        told = reason or (job.reason if job.notices else None)
        self.records.update_job(job, state=JobState.ENDED, ended_at=now, reason=told, is_lost=is_lost, **left)
        return Poll(done=True, resubmit=False, wait_seconds=0, progress=job.progress)

    def _again(self, batch: Batch, job: Job, now: int, wait_seconds: int) -> Poll:
        wait = next_wait(batch, job, self.settings, now, wait_seconds)
        return Poll(done=False, resubmit=True, wait_seconds=wait, progress=0)

    def _make_room_for_another(self, job: Job, reason: str, now: int) -> Job:
        """The job ended without having run: the next submission has a new number, so a new name."""
        return self.records.update_job(
            job,
            when=Attr("submission").eq(job.submission),
            state=JobState.WAITING,
            submission=job.submission + 1,
            asks=job.asks + 1,
            asked_at=None,
            displaced=[*job.displaced, job.upstream_id],
            upstream_id=None,
            submitted_at=None,
            reason=reason,
            waiting=Waiting(now),
        )

    @property
    def _reconciler(self) -> Reconciler:
        return Reconciler(self.records, self.backends, self.settings)
