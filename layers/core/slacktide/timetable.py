"""By when the work of a batch must end, so that its results are assembled by its deadline."""

from slacktide.batch import Batch, Job
from slacktide.settings import Settings
from slacktide.steps import grow


def reserve_begins(batch: Batch, settings: Settings) -> int:
    """When the time for assembling begins: no job may run any more. Unix seconds."""
    return batch.deadline - settings.assembly_reserve


def fallback_begins(batch: Batch, settings: Settings) -> int:
    """The cut-off, Unix seconds: what has a fallback gives way to it.

    At most half of the time is kept for the fallback: in a short window the first backend gets its try too.
    """
    end = reserve_begins(batch, settings)
    return end - min(settings.fallback_time, max(0, end - batch.begins_at) // 2)


def collecting_ends(batch: Batch, settings: Settings) -> int:
    """When a job that has not settled is given up: half of the reserve is left for assembling. Unix seconds."""
    return batch.deadline - settings.assembly_reserve // 2


def must_end_by(batch: Batch, job: Job, settings: Settings) -> int:
    """When a job is stopped: at the cut-off where another backend takes over, else when the reserve begins. Unix seconds."""
    return fallback_begins(batch, settings) if job.fallback else reserve_begins(batch, settings)


def is_over(batch: Batch, job: Job, settings: Settings, now: int) -> bool:
    """Whether a job is to be stopped, or not to be created any more."""
    return batch.is_cancelling or now >= must_end_by(batch, job, settings)


def is_last_round(batch: Batch, settings: Settings, now: int) -> bool:
    """Whether no further round is planned, whatever is still undone."""
    return batch.is_cancelling or now >= reserve_begins(batch, settings)


def is_overdue(batch: Batch, job: Job, settings: Settings, now: int) -> bool:
    """Whether a job that gives way has had a settle window since the cut-off to end: the other lines go on without it."""
    return job.fallback is not None and now >= patience_ends(batch, settings)


def patience_ends(batch: Batch, settings: Settings) -> int:
    """When jobs that give way have had their time to end. Unix seconds."""
    return fallback_begins(batch, settings) + settings.settle_window


def next_wait(batch: Batch, job: Job, settings: Settings, now: int, wait_seconds: int, *, at_least: int = 0) -> int:
    """The next wait for a job, in seconds: growing, never past a time at which something is to be done about it.

    `at_least` is what a backend asked for.
    """
    ends = [must_end_by(batch, job, settings), reserve_begins(batch, settings), collecting_ends(batch, settings)]
    if job.asked_at is not None and job.upstream_id is None:
        ends.append(job.asked_at + settings.settle_window)
    return grow(
        max(wait_seconds, at_least), first=settings.wait_first, longest=max(settings.wait_longest, at_least), ends=ends, now=now
    )
