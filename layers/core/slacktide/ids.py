"""Ids: of batches, of jobs, of the requests as a backend sees them, and the names of executions."""

import base64
import re
import secrets
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

BATCH_ID = re.compile(r"batch_[a-z2-7]{26}")
FILE_ID = re.compile(r"file-[a-z2-7]{26}")
# Base32 whose digits are in the order of their characters, so that texts sort as the numbers do.
_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
_SORTABLE = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _DIGITS)
_REQUEST_ID = re.compile(r"(batch_[a-z2-7]{26})\.(\d{1,4})\.(\d{1,12})")


def new_batch_id() -> str:
    """A new id: `batch_` and 26 characters of lower-case base32: 48 bits of Unix milliseconds and 80 random ones.

    As with UUIDv7 (RFC 9562), ids sort by age: two drops of one key within a second have an order too.
    """
    return "batch_" + new_digits()


def new_file_id() -> str:
    """A new id of an uploaded file: `file-` and 26 characters, made as those of a batch are."""
    return "file-" + new_digits()


def new_digits() -> str:
    """26 characters of lower-case base32 that sort by age; the last has two bits to spare, which are zero."""
    content = (time.time_ns() // 1_000_000).to_bytes(6) + secrets.token_bytes(10)
    return base64.b32encode(content).decode().rstrip("=").translate(_SORTABLE)


class FileKind(IntEnum):
    """What a file is; it stands in the two spare bits of the last character of its id."""

    UPLOADED = 0
    INPUT = 1  # of a batch: the object that was dropped
    OUTPUT = 2
    ERRORS = 3


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file that a batch has of itself. Its id is that of the batch in other words, so nothing has to be recorded for it."""

    batch_id: str
    kind: FileKind

    def __str__(self) -> str:
        *digits, last = self.batch_id.removeprefix("batch_")
        return f"file-{''.join(digits)}{_DIGITS[_DIGITS.index(last) | self.kind]}"


def parse_file_id(text: str) -> BatchFile | None:
    """The batch's file that an id means; None when it means an uploaded file, or none at all."""
    if not FILE_ID.fullmatch(text):
        return None
    digit = _DIGITS.index(text[-1])
    kind = FileKind(digit & 3)
    if kind is FileKind.UPLOADED:
        return None
    return BatchFile(f"batch_{text.removeprefix('file-')[:-1]}{_DIGITS[digit & ~3]}", kind)


class RequestId(NamedTuple):
    """A request as a backend sees it: `<batch id>.<round>.<line>`, never the user's own custom_id."""

    batch_id: str
    round: int
    line: int

    def __str__(self) -> str:
        return f"{request_prefix(self.batch_id, self.round)}{self.line}"


def request_prefix(batch_id: str, round_number: int) -> str:
    """What the ids of all requests of a round begin with; the line follows."""
    return f"{batch_id}.{round_number}."


def parse_request_id(text: str) -> RequestId | None:
    """The parts of a backend's custom_id, or None when it is not one of ours."""
    match = _REQUEST_ID.fullmatch(text)
    return RequestId(match[1], int(match[2]), int(match[3])) if match else None


def job_id(round_number: int, number: int) -> str:
    """The id of a job within its batch, for example `r1-j2`."""
    return f"r{round_number}-j{number}"


def job_execution_name(batch_id: str, job: str, attempt: int) -> str:
    """The name of the execution of the machine "job": one for each attempt (at most 80 characters)."""
    return f"{batch_id}-{job}-a{attempt}"


def batch_execution_name(batch_id: str, attempt: int) -> str:
    """The name of the execution of the machine "batch": the batch id, and from the second attempt on its number."""
    return batch_id if attempt == 1 else f"{batch_id}-a{attempt}"


def batch_of_execution(name: str) -> str | None:
    """The batch of an execution of either machine; None where the name is none of ours."""
    match = BATCH_ID.match(name)
    return match[0] if match else None


def upstream_name(batch_id: str, job: str, submission: int) -> str:
    """The name of a job at a backend, at most 63 characters; it is the idempotency key there."""
    return f"slacktide-{batch_id.removeprefix('batch_')}-{job}-a{submission}"
