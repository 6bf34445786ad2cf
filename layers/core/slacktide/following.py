"""Follow round: sum up the jobs of a batch, tell of its progress, and say whether the round is settled."""

from collections.abc import Callable
from dataclasses import dataclass

from slacktide.batch import Batch, Job
from slacktide.executions import Executions
from slacktide.notifications import Announcer
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.steps import Progress, grow


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
        jobs = [job for job in self.records.jobs(batch_id) if job.round <= batch.round]
        unsettled = [job for job in jobs if not job.state.is_closed]
        if now >= batch.deadline:
            for job in unsettled:
                self.records.abandon_job(job, now, batch.deadline, "The deadline passed before it ended.")
            unsettled = []
        batch = self._sum_up(batch, jobs)
        settled = not unsettled or not all(self.executions.is_job_running(job) for job in unsettled)
        wait = grow(
            wait_seconds,
            first=self.settings.wait_first,
            longest=self.settings.wait_longest,
            ends=[batch.deadline],
            now=now,
        )
        return Progress(settled=settled, wait_seconds=wait)

    def _sum_up(self, batch: Batch, jobs: list[Job]) -> Batch:
        """Counts so far: what settled jobs finished, and what running ones report."""
        completed = sum(job.completed if job.state.is_closed else job.progress for job in jobs)
        if completed != batch.completed:
            batch = self.records.update_batch(batch.batch_id, completed=completed)
        self.announcer.publish_if_due(batch, jobs, self.settings.progress_interval)
        return batch
