"""Ids: of batches, of jobs, of the requests as a backend sees them, and the names of executions."""

import base64
import re
import secrets
import time
from dataclasses import dataclass

BATCH_ID = re.compile(r"batch_[a-z2-7]{26}")
# Base32 whose digits are in the order of their characters, so that texts sort as the numbers do.
_SORTABLE = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "234567abcdefghijklmnopqrstuvwxyz")
_REQUEST_ID = re.compile(r"(batch_[a-z2-7]{26})\.(\d{1,4})\.(\d{1,12})")


def new_batch_id() -> str:
    """A new id: `batch_` and 26 characters of lower-case base32: 48 bits of Unix milliseconds and 80 random ones.

    As with UUIDv7 (RFC 9562), ids sort by age: two drops of one key within a second have an order too.
    """
    content = (time.time_ns() // 1_000_000).to_bytes(6) + secrets.token_bytes(10)
    return "batch_" + base64.b32encode(content).decode().rstrip("=").translate(_SORTABLE)


@dataclass(frozen=True, slots=True)
class RequestId:
    """A request as a backend sees it: `<batch id>.<round>.<line>`, never the user's own custom_id."""

    batch_id: str
    round: int
    line: int

    def __str__(self) -> str:
        return f"{self.batch_id}.{self.round}.{self.line}"


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


def upstream_name(batch_id: str, job: str, submission: int) -> str:
    """The name of a job at a backend, at most 63 characters; it is the idempotency key there."""
    return f"slacktide-{batch_id.removeprefix('batch_')}-{job}-a{submission}"
