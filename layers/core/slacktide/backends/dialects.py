"""The dialects of the hosted Batch API, as data, and one reader of jobs for all of them.

Sources: the clients' own types (`together` 3.1.1 and 1.5.35, `openai` 3.54) and their API references, "Batch".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from slacktide.statuses import BatchStatus

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


class UploadWay(StrEnum):
    """How a file gets there."""

    PRESIGNED = "presigned"  # POST of the form, PUT to the address in the answer, POST of the end
    MULTIPART = "multipart"  # one POST with the file in it


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs from one hosted Batch API to another. Sizes are the documented limits of one batch."""

    name: str  # of the backend
    title: str  # for people
    upload: UploadWay
    purpose: str
    most_requests: int
    most_bytes: int
    statuses: Mapping[str, BatchStatus]
    list_parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    full_codes: frozenset[str] = frozenset()  # errors of a job that failed before it ran, for want of room in the queue
    full_words: re.Pattern[str] | None = None  # the same, where an error is a text alone


TOGETHER = Dialect(
    name="together",
    title="Together",
    upload=UploadWay.PRESIGNED,
    purpose="batch-api",
    most_requests=50_000,
    most_bytes=100_000_000,
    statuses={
        "VALIDATING": BatchStatus.VALIDATING,
        "IN_PROGRESS": BatchStatus.IN_PROGRESS,
        "COMPLETED": BatchStatus.COMPLETED,
        "FAILED": BatchStatus.FAILED,
        "EXPIRED": BatchStatus.EXPIRED,
        "CANCELING": BatchStatus.CANCELLING,  # in client 1.5.x alone
        "CANCELLED": BatchStatus.CANCELLED,
    },
    # No page quotes the error; its limit is one of "tokens enqueued" (docs.together.ai, "Batch inference", Rate limits).
    full_words=re.compile(r"\benqueued[\s_-]+tokens?\b|\btokens?[\s_-]+enqueued\b", re.IGNORECASE),
)

OPENAI = Dialect(
    name="openai",
    title="The OpenAI-compatible server",
    upload=UploadWay.MULTIPART,
    purpose="batch",
    most_requests=50_000,
    most_bytes=200_000_000,
    statuses={
        "validating": BatchStatus.VALIDATING,
        "in_progress": BatchStatus.IN_PROGRESS,
        "finalizing": BatchStatus.FINALIZING,
        "completed": BatchStatus.COMPLETED,
        "failed": BatchStatus.FAILED,
        "expired": BatchStatus.EXPIRED,
        "cancelling": BatchStatus.CANCELLING,
        "cancelled": BatchStatus.CANCELLED,
    },
    list_parameters={"limit": "100"},
    full_codes=frozenset({"token_limit_exceeded"}),  # the limit of enqueued tokens, told by a job that failed
)


@dataclass(frozen=True, slots=True)
class UpstreamJob:
    """A batch of the upstream, as far as its JSON could be read. `status` None: one that we do not know."""

    id: str | None
    status: BatchStatus | None
    input_file_id: str | None
    output_file_id: str | None
    error_file_id: str | None
    created_at: float | None  # Unix seconds
    share: float | None  # from 0 to 1
    lacked_room: bool

    @property
    def claims_results(self) -> bool:
        """Whether a batch that has ended says that it has done something, so that it must have a file."""
        return self.status is BatchStatus.COMPLETED or bool(self.share)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list of batches; `after` is where the next one begins, None at the end."""

    jobs: list[UpstreamJob]
    after: str | None


def read_job(dialect: Dialect, value: Any) -> UpstreamJob | None:
    """A batch; None when `value` is none. A field of a wrong type counts as missing.

    Together wraps the answer to a create in `job`.
    """
    if isinstance(value, dict) and isinstance(value.get("job"), dict):
        value = value["job"]
    if not isinstance(value, dict):
        return None
    status = value.get("status")
    return UpstreamJob(
        id=usable_id(value.get("id")),
        status=dialect.statuses.get(status) if isinstance(status, str) else None,
        input_file_id=usable_id(value.get("input_file_id")),
        output_file_id=usable_id(value.get("output_file_id")),
        error_file_id=usable_id(value.get("error_file_id")),
        created_at=_read_time(value.get("created_at")),
        share=_read_share(value),
        lacked_room=_lacked_room(dialect, value),
    )


def read_page(dialect: Dialect, value: Any) -> Page | None:
    """A list of batches: Together's bare array, or one of OpenAI's pages; None when `value` is neither, or an entry is no batch.

    An entry without id or input file could be the one that is looked for: then the list proves nothing.
    """
    entries = value.get("data") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        return None
    jobs: list[UpstreamJob] = []
    for entry in entries:
        job = read_job(dialect, entry)
        if job is None or job.id is None or job.input_file_id is None:
            return None
        jobs.append(job)
    has_more = isinstance(value, dict) and value.get("has_more") is True
    if has_more and not jobs:
        return None
    return Page(jobs, jobs[-1].id if has_more else None)


def usable_id(value: Any) -> str | None:
    """An id of the upstream that can stand in a path; None for anything else."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _read_time(value: Any) -> float | None:
    """Unix seconds of a number (OpenAI) or of an RFC 3339 text (Together)."""
    if not isinstance(value, str):
        return _number(value)
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _read_share(value: dict[str, Any]) -> float | None:
    """Together's `progress` in percent, or OpenAI's `request_counts`."""
    counts = value.get("request_counts")
    if isinstance(counts, dict):
        done, total = [_number(counts.get("completed")), _number(counts.get("failed"))], _number(counts.get("total"))
        return _clamp(sum(it or 0 for it in done) / total) if total else None
    progress = _number(value.get("progress"))
    return None if progress is None else _clamp(progress / 100)


def _lacked_room(dialect: Dialect, value: dict[str, Any]) -> bool:
    """Whether the error of a batch is that its queue had no room: by OpenAI's codes, or by the words of Together's text."""
    if not dialect.full_codes.isdisjoint(_error_codes(value.get("errors"))):
        return True
    words, text = dialect.full_words, value.get("error")
    return words is not None and isinstance(text, str) and words.search(text) is not None


def _error_codes(errors: Any) -> list[str]:
    """The codes in OpenAI's `errors: {"data": [{"code"}]}`."""
    entries = errors.get("data") if isinstance(errors, dict) else None
    codes = [entry.get("code") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [code for code in codes if isinstance(code, str)]


def _number(value: Any) -> float | None:
    """A number; None for anything else, and for one that no float can hold."""
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _clamp(share: float) -> float:
    return min(1.0, max(0.0, share))
