"""The calls of the Batch API, in both dialects.

Sources: `resources/batches.py`, `types/batch_job.py`, `types/batch_create_response.py` of together 3.1.1; `resources/batch.py`,
`types/batch.py` of 1.5.35; OpenAI's API reference, "Batch".
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from slacktide_fake_together.account import Batch, BatchState, Line
from slacktide_fake_together.answers import fill, read_prompt
from slacktide_fake_together.faults import End, Lines, Stuck
from slacktide_fake_together.ledger import BatchEntry
from slacktide_fake_together.messages import ApiError, Reply, Request, read_json, reply_json
from slacktide_fake_together.progress import advance
from slacktide_fake_together.service import Service

OPENAI_ROOT = "/openai/v1"
USER_ID = "user-fake"
DAY = 86_400  # seconds
_window = re.compile(r"(\d+)([hd])")
_SECONDS = {"h": 3_600, "d": DAY}
_OPENAI_STATUS = {BatchState.CANCELING: "cancelling"}  # the others are Together's in lower case
_LONGEST_PAGE = 100


def dialect_of(request: Request) -> str:
    return "openai" if request.path.startswith(OPENAI_ROOT) else "together"


def create_batch(service: Service, request: Request) -> Reply:
    """Accept a batch. There is no idempotency key: every accepted call is a batch.

    `batches.create` of 3.1.1: `{"job", "warning"?}`; 201 as in Together's docs. An unknown file id is accepted, and fails later.
    """
    asked = read_json(request)
    file_id, endpoint = asked.get("input_file_id"), asked.get("endpoint")
    if not isinstance(file_id, str) or not file_id:
        raise ApiError(400, "input_file_id is required.", code="missing_parameter")
    if endpoint not in service.settings.endpoints:
        raise ApiError(400, f"endpoint must be one of {', '.join(service.settings.endpoints)}.", code="invalid_endpoint")
    dialect = dialect_of(request)
    if dialect == "openai" and file_id not in service.account.files:
        raise ApiError(400, "The input file was not found.", code="invalid_request")
    batch = _make_batch(service, asked, file_id, endpoint, dialect)
    _attach_faults(service, batch)
    view = render_batch(batch, dialect)
    return reply_json(view) if dialect == "openai" else reply_json({"job": view}, status=201)


def _make_batch(service: Service, asked: dict[str, Any], file_id: str, endpoint: str, dialect: str) -> Batch:
    file, now = service.account.files.get(file_id), service.clock()
    window = str(asked.get("completion_window") or "24h")
    batch = Batch(
        id=service.account.make_id("batch_" if dialect == "openai" else ""),
        input_file_id=file_id,
        endpoint=endpoint,
        created_at=now,
        deadline=now + _read_window(service, window),
        file_bytes=len(file.content or b"") if file else 0,
        dialect=dialect,
        window=window,
        model_id=asked.get("model_id"),
        metadata=asked.get("metadata"),
    )
    service.account.batches[batch.id] = batch
    service.ledger.note_batch(BatchEntry(batch.id, file_id, now, batch.state))
    return batch


def _read_window(service: Service, window: str) -> float:
    if service.settings.window_seconds is not None:
        return service.settings.window_seconds
    match = _window.fullmatch(window)
    return int(match[1]) * _SECONDS[match[2]] if match else DAY


def _attach_faults(service: Service, batch: Batch) -> None:
    line = find_first_line(service, batch.input_file_id)
    for fault in service.faults.take_batch(line.custom_id if line else "", service.clock()):
        service.ledger.entries[batch.id].faults.append(str(type(fault).__struct_config__.tag))
        match fault:
            case Stuck():
                batch.stuck = fault
            case End():
                batch.end = fault
            case Lines():
                batch.bad_lines.append(fault)
            case _:
                raise AssertionError(fault)


def find_first_line(service: Service, file_id: str) -> Line | None:
    """The first request of a file, if it is one."""
    file = service.account.files.get(file_id)
    if file is None or file.content is None:
        return None
    try:
        return msgspec.json.decode(file.content.partition(b"\n")[0], type=Line)
    except msgspec.MsgspecError:
        return None


def quote_prompt(service: Service, request: Request, message: str) -> str:
    """A scripted message, with the prompt of the first request of the file that the call is about."""
    if "{prompt}" not in message:
        return message
    try:
        file_id = str(msgspec.json.decode(request.body, type=dict[str, Any]).get("input_file_id", ""))
    except msgspec.MsgspecError:
        file_id = ""
    line = find_first_line(service, file_id)
    return fill(message, read_prompt(line) if line else "")


def find_batch(service: Service, batch_id: str) -> Batch:
    """ApiError 404 when there is none."""
    if batch_id not in service.account.batches:
        raise ApiError(404, "Batch not found.", code="not_found")
    return service.account.batches[batch_id]


def get_batch(service: Service, request: Request, batch_id: str) -> Reply:
    """A bare job."""
    return reply_json(render_batch(find_batch(service, batch_id), dialect_of(request)))


def list_batches(service: Service, request: Request) -> Reply:
    """Together: a bare array of all, the newest first. OpenAI: a page."""
    batches = list(reversed(service.account.batches.values()))
    if dialect_of(request) == "together":
        return reply_json([render_batch(batch, "together") for batch in batches])
    return reply_json(_render_page(request, batches))


def _render_page(request: Request, batches: list[Batch]) -> dict[str, object]:
    after, limit = request.query.get("after"), request.query.get("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= _LONGEST_PAGE:
        raise ApiError(400, f"limit must be from 1 to {_LONGEST_PAGE}.", code="invalid_limit")
    if after is not None:
        ids = [batch.id for batch in batches]
        if after not in ids:
            raise ApiError(400, "after is no batch.", code="invalid_cursor")
        batches = batches[ids.index(after) + 1 :]
    page = [render_batch(batch, "openai") for batch in batches[: int(limit)]]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": len(batches) > len(page)}


def cancel_batch(service: Service, request: Request, batch_id: str) -> Reply:
    """Cancel a batch: what is done is kept and billed. One that has ended answers 409."""
    batch = find_batch(service, batch_id)
    if batch.state.is_final:
        raise ApiError(409, f"The batch has ended: {batch.state}.", code="batch_ended")
    if batch.cancelling_at is None:
        batch.cancelling_at = service.clock()
        batch.state = BatchState.CANCELING
        service.ledger.entries[batch.id].status = batch.state
        advance(service, batch, service.clock())
    return reply_json(render_batch(batch, dialect_of(request)))


def render_batch(batch: Batch, dialect: str) -> dict[str, Any]:
    """A batch in the shape of its dialect."""
    return _render_openai(batch) if dialect == "openai" else _render_together(batch)


def _render_together(batch: Batch) -> dict[str, Any]:
    """A job has no counts, only a progress from 0 to 100; null members are left out."""
    total = len(batch.lines)
    job: dict[str, Any] = {
        "id": batch.id, "user_id": USER_ID, "input_file_id": batch.input_file_id, "file_size_bytes": batch.file_bytes,
        "status": batch.state, "job_deadline": format_time(batch.deadline), "created_at": format_time(batch.created_at),
        "endpoint": batch.endpoint, "progress": round(100 * batch.done / total, 2) if total else 0.0,
        "model_id": batch.model_id or _find_model(batch), "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id, "error": batch.error,
        "completed_at": None if batch.ended_at is None else format_time(batch.ended_at),
    }  # fmt: skip
    return {name: value for name, value in job.items() if value is not None}


def _find_model(batch: Batch) -> str | None:
    line = batch.lines[0] if batch.lines else None
    try:
        model = msgspec.json.decode(line.body, type=dict[str, Any]).get("model") if line else None
    except msgspec.MsgspecError:
        return None
    return model if isinstance(model, str) else None


def _render_openai(batch: Batch) -> dict[str, Any]:
    status = _OPENAI_STATUS.get(batch.state, batch.state.value.lower())
    ended = None if batch.ended_at is None else int(batch.ended_at)
    errors = {"object": "list", "data": [{"code": "invalid_request", "line": None, "message": batch.error, "param": None}]}
    return {
        "id": batch.id, "object": "batch", "endpoint": batch.endpoint, "errors": errors if batch.error else None,
        "input_file_id": batch.input_file_id, "completion_window": batch.window, "status": status,
        "output_file_id": batch.output_file_id, "error_file_id": batch.error_file_id,
        "created_at": int(batch.created_at), "in_progress_at": None if batch.started_at is None else int(batch.started_at),
        "expires_at": int(batch.deadline), "finalizing_at": ended,
        **{f"{name}_at": ended if status == name else None for name in ("completed", "failed", "expired", "cancelled")},
        "cancelling_at": None if batch.cancelling_at is None else int(batch.cancelling_at),
        "request_counts": {"total": len(batch.lines), "completed": batch.done - batch.failed, "failed": batch.failed},
        "metadata": batch.metadata,
    }  # fmt: skip


def format_time(seconds: float) -> str:
    """RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
