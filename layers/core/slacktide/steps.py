"""What travels through the state machines: ids, cursors and decisions, nothing else. Older versions stay readable."""

from typing import Any

import msgspec

from slacktide.errors import EventError

VERSION = 1


class Step(msgspec.Struct, frozen=True):
    """The input of every function that a state machine calls."""

    batch_id: str
    v: int = VERSION
    job_id: str | None = None
    attempt: int = 1
    cursor: str | None = None
    wait_seconds: int = 0
    gave_up: bool = False

    @property
    def job(self) -> str:
        """The id of the job. Raises EventError in a step that is of a whole batch."""
        if self.job_id is None:
            raise EventError(f"the step of {self.batch_id} names no job")
        return self.job_id


class StartJob(msgspec.Struct, frozen=True):
    """An execution of the machine "job" that is to be started."""

    job_id: str
    attempt: int
    name: str


class Plan(msgspec.Struct, frozen=True):
    """What a round does: executions to start, and whether jobs are to be followed. `is_held`: it is too early."""

    has_jobs: bool
    jobs: list[StartJob]
    wait_seconds: int
    is_held: bool = False
    v: int = VERSION


class Progress(msgspec.Struct, frozen=True):
    """Whether a round is settled, and when to look again."""

    settled: bool
    wait_seconds: int
    v: int = VERSION


class Submission(msgspec.Struct, frozen=True):
    """How a submission went; not `done`: come again at once.

    `submitted`; `rejected`; `quota_full`: wait and come again; `unsettled`: the same, since nobody knows whether the job exists.
    """

    done: bool
    outcome: str
    wait_seconds: int
    cursor: str | None = None
    v: int = VERSION


class Poll(msgspec.Struct, frozen=True):
    """Whether a job has ended; `resubmit` when it never ran and may be submitted again. `progress` counts lines."""

    done: bool
    resubmit: bool
    wait_seconds: int
    progress: int
    v: int = VERSION


class Loop(msgspec.Struct, frozen=True):
    """The answer of a step that may need several invocations."""

    done: bool
    cursor: str | None = None
    v: int = VERSION


class Gathering(msgspec.Struct, frozen=True):
    """Whether a job is collected; else where to go on, and when: later where the backend cannot hand its files out now."""

    done: bool
    wait_seconds: int = 0
    cursor: str | None = None
    v: int = VERSION


class Announcement(msgspec.Struct, frozen=True):
    """How a batch ended."""

    status: str
    v: int = VERSION


def read_step(event: dict[str, Any]) -> Step:
    """The step in a function's event. Raises EventError for one that this version does not know."""
    try:
        step = msgspec.convert(event, Step)
    except msgspec.ValidationError as error:
        raise EventError(f"the step is not well-formed: {error}") from None
    if step.v > VERSION:
        raise EventError(f"the step has version {step.v}; this function knows up to {VERSION}")
    return step


def grow(wait_seconds: int, *, first: int, longest: int, ends: list[int], now: int) -> int:
    """The next wait in seconds: half as long again, from `first` to `longest`, but never past one of the times `ends`.

    15 s growing by half to 360 s makes about 247 turns in 24 h; a turn costs 9 of an execution's 25,000 events.
    """
    grown = min(longest, max(first, wait_seconds * 3 // 2))
    left = [end - now for end in ends if end > now]
    return max(1, min([grown, *left]))
