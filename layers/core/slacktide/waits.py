"""Why a batch waits, and since when."""

import msgspec

from slacktide.batch import Batch, Job
from slacktide.statuses import BatchStatus, JobState

OTHER_BATCHES = "It waits for the end of other batches of its owner."


class Wait(msgspec.Struct, frozen=True):
    """Why a batch waits, since when (Unix seconds), and at which place of the queue, from 1; None: there is no queue for it.

    `jobs`: how many of its jobs wait; 0 while the batch itself waits to begin.
    """

    reason: str | None
    jobs: int
    since: int
    place: int | None


def find_wait(batch: Batch, jobs: list[Job]) -> Wait | None:
    """What the job waits for that has waited longest; None when nothing of the batch does."""
    if batch.status is BatchStatus.QUEUED and batch.waiting:
        return Wait(OTHER_BATCHES, 0, batch.waiting.since, batch.waiting.place)
    waiting = [(job.waiting, job) for job in jobs if job.state is JobState.WAITING and job.waiting]
    if not waiting:
        return None
    first, job = min(waiting, key=lambda entry: entry[0].since)
    return Wait(job.reason, len(waiting), first.since, first.place)
