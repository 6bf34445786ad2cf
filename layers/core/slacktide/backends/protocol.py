"""What a backend must do, and the values in which it answers: expected outcomes are values, exceptions are crashes."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from slacktide.backends.spool import Spool
from slacktide.bucket import Bucket
from slacktide.models import Model


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one input object of a job may hold, and how much one job."""

    object_lines: int
    object_bytes: int
    job_requests: int | None = None  # None: all lines of one model and endpoint are one job
    job_bytes: int | None = None  # of all input objects of a job together


@dataclass(frozen=True, slots=True)
class Work:
    """One job as a backend sees it: a name that is used once ever, a model, and two prefixes in the bucket.

    Its requests are of lines from `first` to `last`. `input_prefix` is empty where its input is uploaded.
    """

    name: str
    model: str
    endpoint: str
    input_prefix: str
    output_prefix: str
    upstream_id: str | None = None
    file_id: str | None = None  # what `upload` answered, as it is recorded on the job
    requests: int = 0
    first: int = 1
    last: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The job's input lies upstream. An empty id: the backend reads it from the bucket."""

    file_id: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job exists upstream, created now or found."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing was created; try again later, after `wait_seconds` where a time was named. The reason is in our own words."""

    reason: str
    wait_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nothing was created: the backend does not have the job's input (now). One such answer is no proof that it is gone."""

    reason: str
    wait_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The job was not created and will not be. The reason is in our own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The job may have been created or not: only `find` can tell. The reason is in our own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """A job upstream that has the work's input; `created_at` is Unix seconds by the backend's clock."""

    upstream_id: str
    created_at: float
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Running:
    """The job is under way, as far as is known; `share` of it is finished, from 0 to 1; None: there is no word of that now."""

    share: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The job has ended, well or not; what it finished can be collected."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Displaced:
    """The job ended without having run, for lack of capacity: the same lines may be submitted again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The backend does not know the job now. One such answer is no proof that it does not exist."""


@dataclass(frozen=True, slots=True)
class Results:
    """Some results of a job, and how they are read: JSONL, a line at a time, without line feeds.

    They can only be of requests from line `first` to line `last`; such ranges do not overlap.
    """

    first: int
    last: int
    size: int  # bytes
    lines: Callable[[], Iterable[bytes]] = field(repr=False, compare=False)


def stored_results(bucket: Bucket, key: str, size: int, first: int, last: int) -> Results:
    """Results that are one object in the bucket."""
    return Results(first, last, size, partial(bucket.lines, key))


class Backend(Protocol):
    """Somewhere that runs requests.

    `upload`, `find`, `poll`, `cancel` and `results` can be called again at any time. `submit` can be where a job's name
    is its idempotency key; else (`proves_by_listing`) only by someone who has written down that he is going to, and after an
    unknown outcome only with proof that there is no job: `find` until the settle window is over.
    """

    @property
    def limits(self) -> Limits:
        """The sizes in which it takes work."""
        ...

    @property
    def proves_by_listing(self) -> bool:
        """Whether creation has no idempotency key, so that only `find` shows what became of a lost answer."""
        ...

    def upstream_model(self, model: Model) -> str | None:
        """The backend's own id of a model; None when it cannot run it here."""
        ...

    def upload(self, work: Work, content: Spool) -> Uploaded | Full | Rejected:
        """Bring the job's input, lines with their line feeds, to the backend; the id is then recorded, and is `work.file_id` from
        there on. Of those alone that prove by listing: the others read it from the bucket.
        """
        ...

    def submit(self, work: Work) -> Submitted | Full | Unseen | Rejected | Unknown:
        """Create the job of `work.file_id`, by one request that is never repeated here."""
        ...

    def find(self, work: Work) -> list[Found]:
        """The upstream jobs whose input is `work.file_id`, the oldest first. Raises BackendError when the backend cannot say."""
        ...

    def poll(self, work: Work) -> Running | Ended | Displaced | Missing:
        """How the job is doing. Anything that is no clear word of an end is Running."""
        ...

    def cancel(self, work: Work) -> bool:
        """Ask the job to stop; True when it is confirmed that it has ended, or never was."""
        ...

    def results(self, work: Work, is_late: Callable[[], bool]) -> AbstractContextManager[Iterator[Results] | None]:
        """What the job has finished, in the order of lines, to be read within the context. None: ask in another invocation.

        Raises BackendError when it cannot be had now.
        """
        ...
