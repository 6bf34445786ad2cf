"""The documents that Slacktide writes into its bucket, as far as a client reads them (docs/architecture.md)."""

import msgspec

from slacktide.statuses import BatchStatus


class InputVersion(msgspec.Struct, frozen=True):
    """One version of a dropped object."""

    bucket: str
    key: str
    version_id: str


class Counts(msgspec.Struct, frozen=True):
    """Lines of a batch: all, done, and failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class JobProgress(msgspec.Struct, frozen=True):
    """One job of the present round."""

    job_id: str
    backend: str
    model: str
    state: str
    total: int = 0
    completed: int = 0


class Progress(msgspec.Struct, frozen=True):
    """How far a batch's present round is."""

    round: int = 0
    jobs: tuple[JobProgress, ...] = ()


class Problem(msgspec.Struct, frozen=True):
    """A code, and what it means here."""

    code: str
    message: str


class Wait(msgspec.Struct, frozen=True):
    """Why a batch waits, and since when: Unix seconds, but in `latest.json` RFC 3339."""

    reason: str | None = None
    since: int | str | None = None
    place: int | None = None
    jobs: int = 0

    def __str__(self) -> str:
        """One sentence or two."""
        return (self.reason or "It waits.") + (f" Its place in the queue: {self.place}." if self.place else "")


class LatestBatch(msgspec.Struct, frozen=True):
    """`latest.json`: the newest batch of an input. Times are RFC 3339."""

    batch_id: str
    status: BatchStatus
    input: InputVersion
    counts: Counts = Counts()
    progress: Progress = Progress()
    waiting: Wait | None = None
    deadline: str | None = None
    error: Problem | None = None


class ResultFile(msgspec.Struct, frozen=True):
    """One result file of a manifest; `bytes` is its size, `sha256` in hexadecimal."""

    key: str
    lines: int
    bytes: int
    sha256: str
    version_id: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """Where the receipt is."""

    key: str


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`: written last, and so the proof that the results are whole."""

    batch_id: str
    status: BatchStatus
    counts: Counts
    output: ResultFile
    errors: ResultFile
    receipt: Receipt
