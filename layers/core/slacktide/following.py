"""Follow round: sum up the jobs of a batch, tell of its progress, and say whether the round is settled."""

from collections.abc import Callable
from dataclasses import dataclass

from slacktide.batch import Batch, Job
from slacktide.executions import Executions
from slacktide.notifications import Announcer
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import JobState
from slacktide.steps import Progress, grow
from slacktide.timetable import collecting_ends, fallback_begins, is_overdue, patience_ends


@dataclass(frozen=True, slots=True)
class Follower:
    """The only writer of a batch's progress; each job writes its own item."""

    records: Records
    executions: Executions
    announcer: Announcer
    settings: Settings
    now: Callable[[], int]

    def follow(self, batch_id: str, wait_seconds: int) -> Progress:
        """Look at the jobs of a batch. Settled: each is closed, or the execution of one died and it is to be planned again."""
        batch = self.records.get_batch(batch_id)
        now = self.now()
        jobs = self.records.counted_jobs(batch)
        for job in jobs:
            self.announcer.announce_job(batch, job)
        unsettled = [job for job in jobs if not job.state.is_closed]
        if now >= collecting_ends(batch, self.settings):
            self._abandon(batch, unsettled, now)
            unsettled = []
        batch = self._sum_up(batch, jobs)
        settled = any(True for _ in self.executions.find_dead(unsettled, now))
        if all(is_overdue(batch, job, self.settings, now) for job in unsettled):
            # None is left, or all that is left has been told to stop for long: what others left undone does not wait for that.
            settled |= not unsettled or len(jobs) - len(unsettled) > batch.closed_jobs
        wait = grow(
            wait_seconds,
            first=self.settings.wait_first,
            longest=self.settings.wait_longest,
            ends=[
                fallback_begins(batch, self.settings),
                patience_ends(batch, self.settings),
                collecting_ends(batch, self.settings),
            ],
            now=now,
        )
        return Progress(settled=settled, wait_seconds=wait)

    def _abandon(self, batch: Batch, jobs: list[Job], now: int) -> None:
        """Give up what was not settled in time; half of the reserve is for ends that come late, and to collect them."""
        for job in jobs:
            reason = "It had not ended, or its results could not be had, when the last time to collect them was over."
            if job.fallback and job.state is not JobState.ENDED:
                reason = f"It was not confirmed in time that it had ended, so {job.fallback} did not run its lines."
            self.records.abandon_job(job, now, batch.deadline, reason)

    def _sum_up(self, batch: Batch, jobs: list[Job]) -> Batch:
        """Counts so far: what settled jobs finished, and what running ones report."""
        completed = sum(job.completed if job.state.is_closed else job.progress for job in jobs)
        if completed != batch.completed:
            batch = self.records.update_batch(batch.batch_id, completed=completed)
        self.announcer.publish_if_due(batch, jobs, self.settings.progress_interval)
        return batch
