"""What an account holds: files and batches, in memory."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from uuid import UUID

import msgspec

from slacktide_fake_together.faults import End, Lines, Stuck


class BatchState(StrEnum):
    """Together's statuses: `types/batch_job.py` of together 3.1.1; CANCELING is in `types/batch.py` of 1.5.35 alone."""

    VALIDATING = "VALIDATING"
    IN_PROGRESS = "IN_PROGRESS"
    CANCELING = "CANCELING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self not in {BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.CANCELING}


@dataclass(slots=True)
class StoredFile:
    """A file; `content` is None until its bytes have come."""

    id: str
    filename: str
    purpose: str
    created_at: float
    signature: str
    checksum: str | None = None
    file_type: str = "jsonl"
    content: bytes | None = None
    is_processed: bool = False


class Line(msgspec.Struct, frozen=True):
    """A request of an input file; `body` is its undecoded JSON."""

    custom_id: str
    body: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with; `body` is JSON."""

    status: int
    body: msgspec.Raw


@dataclass(slots=True)
class Batch:
    """A batch, and what is scripted for it. `order` is the order in which its lines are done."""

    id: str
    input_file_id: str
    endpoint: str
    created_at: float
    deadline: float
    file_bytes: int
    dialect: str = "together"
    window: str = "24h"
    model_id: str | None = None
    metadata: dict[str, str] | None = None
    state: BatchState = BatchState.VALIDATING
    lines: list[Line] = field(default_factory=list[Line])
    order: list[int] = field(default_factory=list[int])
    done: int = 0
    failed: int = 0
    answers: dict[int, Answer] = field(default_factory=dict[int, Answer])  # an engine's, by index of the line
    started_at: float | None = None
    cancelling_at: float | None = None
    ended_at: float | None = None
    error: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    stuck: Stuck | None = None
    end: End | None = None
    bad_lines: list[Lines] = field(default_factory=list[Lines])


class Account:
    """Files and batches by id, oldest first."""

    def __init__(self, random: Random) -> None:
        self.files: dict[str, StoredFile] = {}
        self.batches: dict[str, Batch] = {}
        self._random = random

    def make_id(self, prefix: str = "") -> str:
        """A new id; equal seeds make equal ids."""
        return f"{prefix}{UUID(int=self._random.getrandbits(128), version=4)}"

    def add_file(self, filename: str, purpose: str, now: float, **more: str | None) -> StoredFile:
        """A file without content."""
        signature = f"{self._random.getrandbits(128):032x}"
        stored = StoredFile(self.make_id("file-"), filename, purpose, now, signature, checksum=more.get("checksum"))
        self.files[stored.id] = stored
        return stored

    def find_content(self, checksum: str) -> StoredFile | None:
        """The oldest file of that content, by SHA-256."""
        return next((file for file in self.files.values() if file.content is not None and file.checksum == checksum), None)

    def unfinished(self) -> Iterator[Batch]:
        return (batch for batch in self.batches.values() if not batch.state.is_final)


def fill_file(file: StoredFile, content: bytes) -> None:
    """Give a file its bytes."""
    file.content = content
    file.checksum = hashlib.sha256(content).hexdigest()
