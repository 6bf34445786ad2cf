"""The one batch status, its edges, and the state of a job."""

from enum import StrEnum


class BatchStatus(StrEnum):
    """Where a batch is on its way; the words are those of the hosted Batch APIs."""

    VALIDATING = "validating"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the batch has ended; a final status never changes."""
        return self in FINAL


FINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})

EDGES: dict[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.VALIDATING: frozenset({BatchStatus.QUEUED, BatchStatus.FINALIZING, BatchStatus.CANCELLING}),
    BatchStatus.QUEUED: frozenset({BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING, BatchStatus.CANCELLING}),
    BatchStatus.IN_PROGRESS: frozenset({BatchStatus.FINALIZING, BatchStatus.CANCELLING}),
    BatchStatus.FINALIZING: FINAL | {BatchStatus.CANCELLING},
    BatchStatus.CANCELLING: frozenset({BatchStatus.FINALIZING}),
    BatchStatus.COMPLETED: frozenset(),
    BatchStatus.FAILED: frozenset(),
    BatchStatus.EXPIRED: frozenset(),
    BatchStatus.CANCELLED: frozenset(),
}


def sources(target: BatchStatus) -> frozenset[BatchStatus]:
    """The statuses from which `target` may follow."""
    return frozenset(source for source, targets in EDGES.items() if target in targets)


class JobState(StrEnum):
    """Where a job is. Settled: its lines are free again, because it was collected or never existed upstream."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    WAITING = "waiting"  # for quota or capacity
    RUNNING = "running"
    ENDED = "ended"
    SETTLED = "settled"
    ABANDONED = "abandoned"  # its end could not be waited for; its undone lines are given up

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be collected from this job."""
        return self in {JobState.SETTLED, JobState.ABANDONED}


class JobNotice(StrEnum):
    """What a job's owner is told of beside the status of the batch."""

    STUCK = "stuck"  # no progress for long
    REPEATED = "repeated"  # the backend had a second job of the same input; it was stopped
