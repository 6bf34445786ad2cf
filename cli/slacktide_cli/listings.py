"""Batches, files and keys as text: columns for lists, a line for each thing that is known of one batch."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from slacktide_cli.answers import ApiBatch, ApiFile, ApiPart, Receipt
from slacktide_cli.documents import Wait
from slacktide_cli.reports import visible

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))
_TIMES = {
    "created": "created_at",
    "in progress": "in_progress_at",
    "cancelling": "cancelling_at",
    "finalizing": "finalizing_at",
    "ended": "ended_at",
    "deadline": "expires_at",
}
_SHOWN_FAULTS = 20


def render_batches(batches: Iterable[ApiBatch], now: float) -> Iterator[str]:
    """A line for each batch."""
    head = ("BATCH", "STATUS", "DONE", "FAILED", "AGE", "INPUT FILE")
    yield from align([head, *((*_cells(batch, now), batch.input_file_name or batch.input_file_id) for batch in batches)])


def render_files(files: Iterable[ApiFile], now: float) -> Iterator[str]:
    """A line for each file."""
    head = ("FILE", "PURPOSE", "BYTES", "AGE", "NAME")
    yield from align(
        [head, *((file.id, file.purpose, str(file.bytes), age(file.created_at, now), file.filename) for file in files)]
    )


def render_batch(batch: ApiBatch, *, file: ApiFile | None, receipt: Receipt | None, parts: Sequence[ApiPart]) -> Iterator[str]:
    """All that is known of one batch."""
    for label, value in {**_facts(batch, file), **_receipt_facts(receipt)}.items():
        if value:
            yield visible(f"{label + ':':<13} {value}")
    if parts:
        yield f"{'parts:':<13} {len(parts)} finished, to be had now: slacktide download {batch.id} --parts"
    faults = batch.errors.data if batch.errors else []
    for fault in faults[:_SHOWN_FAULTS]:
        place = "" if fault.line is None else f"line {fault.line}: "
        yield visible(f"{'fault:':<13} {place}{fault.code}: {fault.message}")
    if len(faults) > _SHOWN_FAULTS:
        yield f"{'':<13} and {len(faults) - _SHOWN_FAULTS} more: --json has the first hundred, the error file all"


def align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of cells as lines whose columns stand below one another; none holds a control character."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def age(then: int, now: float) -> str:
    """How long ago something was, in its biggest unit."""
    seconds = max(0, int(now) - then)
    return next((f"{seconds // size}{unit}" for size, unit in _UNITS if seconds >= size), f"{seconds}s")


def tell_time(seconds: int | None) -> str:
    """A time in UTC as people read it; empty for none."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _cells(batch: ApiBatch, now: float) -> tuple[str, ...]:
    counts = batch.counts
    return batch.id, batch.status, f"{counts.completed}/{counts.total}", str(counts.failed), age(batch.created_at, now)


def _facts(batch: ApiBatch, file: ApiFile | None) -> dict[str, str]:
    counts = batch.counts
    size = "deleted" if file is None else f"{file.bytes} bytes"
    name = f"{batch.input_file_name or batch.input_file_id}, {size} ({batch.input_file_id})"
    return {
        "batch": batch.id,
        "status": batch.status,
        "lines": f"{counts.completed}/{counts.total} done, {counts.failed} failed",
        "waiting": _tell_wait(batch.waiting),
        "input file": name,
        "model": batch.model or "",
        "endpoint": batch.endpoint or "",
        "window": batch.completion_window or "",
        "retry of": batch.retry_of or "",
        "metadata": ", ".join(f"{name}={value}" for name, value in (batch.metadata or {}).items()),
        **{label: tell_time(getattr(batch, field)) for label, field in _TIMES.items()},
        "output file": batch.output_file_id or "",
        "error file": batch.error_file_id or "",
    }


def _tell_wait(wait: Wait | None) -> str:
    since = wait.since if wait and isinstance(wait.since, int) else None
    return "" if wait is None else f"since {tell_time(since)}: {wait}"


def _receipt_facts(receipt: Receipt | None) -> dict[str, str]:
    if receipt is None:
        return {}
    tokens = f"{receipt.usage.prompt_tokens} in, {receipt.usage.completion_tokens} out"
    jobs = {
        f"job {job.job_id}": f"{job.backend}, {job.model}: {job.completed or 0} of {job.requests} lines done, {job.state}"
        + (f" after {job.seconds} s" if job.seconds is not None else "")
        + (f" ({job.reason})" if job.reason else "")
        for job in receipt.jobs
    }
    return {"tokens": tokens, **jobs}
