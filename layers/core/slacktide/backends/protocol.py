"""What a backend must do, and the values in which it answers: expected outcomes are values, exceptions are crashes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from slacktide.models import Model


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one input object of a job may hold, and how many requests one job."""

    object_lines: int
    object_bytes: int
    job_requests: int | None = None  # None: all lines of one model and endpoint are one job


@dataclass(frozen=True, slots=True)
class Work:
    """One job as a backend sees it: a name that is used once ever, a model, and two prefixes in the bucket."""

    name: str
    model: str
    endpoint: str
    input_prefix: str
    output_prefix: str
    upstream_id: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job exists upstream, created now or found."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Full:
    """No room now; try again later. The reason is in our own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The job was not created and will not be. The reason is in our own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Running:
    """The job is under way; `share` of it is finished, from 0 to 1."""

    share: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The job has ended, well or not; what it finished can be collected."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Displaced:
    """The job ended without having run, for lack of capacity: the same lines may be submitted again."""

    reason: str


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One object of results, JSONL. It can only hold requests from line `first` to line `last`; such ranges do not overlap."""

    key: str
    bytes: int
    first: int
    last: int


class Backend(Protocol):
    """Somewhere that runs requests."""

    @property
    def limits(self) -> Limits:
        """The sizes in which it takes work."""
        ...

    def upstream_model(self, model: Model) -> str | None:
        """The backend's own id of a model; None when it cannot run it here."""
        ...

    def submit(self, work: Work) -> Submitted | Full | Rejected:
        """Create the job, or find the one of that name: to call it twice makes one job."""
        ...

    def poll(self, work: Work) -> Running | Ended | Displaced:
        """How the job is doing."""
        ...

    def cancel(self, work: Work) -> bool:
        """Ask the job to stop; True when it has ended, or never was."""
        ...

    def results(self, work: Work) -> Iterator[ResultObject]:
        """What the job has finished, in the order of lines."""
        ...
