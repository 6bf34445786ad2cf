"""How a batch moves on: by the clock alone, so that a test can put its hand on it."""

import msgspec

from slacktide_fake_together.account import Batch, BatchState, Line
from slacktide_fake_together.answers import fill, read_prompt
from slacktide_fake_together.faults import DEFAULT_END
from slacktide_fake_together.results import write_results
from slacktide_fake_together.service import Service

_MAX_CUSTOM_ID = 64  # characters; Together's docs, "Batch inference"
_decoder = msgspec.json.Decoder(Line)


class BadInputError(Exception):
    """The input file cannot be a batch."""


def advance(service: Service, batch: Batch, now: float) -> None:
    """Bring a batch to where it is now. Its stages: validation, processing, aggregation."""
    if batch.state is BatchState.VALIDATING and now >= batch.created_at + service.settings.validating_seconds:
        start(service, batch)
    if batch.state is BatchState.IN_PROGRESS:
        _go_on(service, batch, now)
    if batch.state is BatchState.CANCELING and batch.cancelling_at is not None:
        ends = batch.cancelling_at + service.settings.cancelling_seconds
        if now >= ends:
            finish(service, batch, BatchState.CANCELLED, ends)


def run_out(service: Service, batch: Batch, now: float) -> None:
    """Bring a batch to the end that it would have if nobody did anything: a running one is paid for in the end."""
    if batch.state is BatchState.VALIDATING:
        start(service, batch)
    if batch.state.is_final:
        return
    if batch.state is BatchState.CANCELING:
        finish(service, batch, BatchState.CANCELLED, now)
        return
    batch.done = max(batch.done, min(limit_lines(batch), len(batch.answers) if service.has_engine else len(batch.lines)))
    natural = BatchState.COMPLETED if batch.done == len(batch.lines) else BatchState.EXPIRED
    finish(service, batch, BatchState(batch.end.status) if batch.end else natural, now)


def start(service: Service, batch: Batch) -> None:
    """Validate the input: one bad line fails the whole batch, with a text only (Together's docs, "Batch inference")."""
    began = batch.created_at + service.settings.validating_seconds
    try:
        batch.lines = read_lines(service, batch)
    except BadInputError as error:
        batch.error, batch.state, batch.ended_at = str(error), BatchState.FAILED, began
        service.ledger.entries[batch.id].status = batch.state
        return
    batch.order = list(range(len(batch.lines)))
    service.random.shuffle(batch.order)
    batch.state, batch.started_at = BatchState.IN_PROGRESS, began
    entry = service.ledger.entries[batch.id]
    entry.status, entry.custom_ids = batch.state, [line.custom_id for line in batch.lines]


def read_lines(service: Service, batch: Batch) -> list[Line]:
    """The requests of a batch's input. BadInputError says what is wrong with it."""
    file = service.account.files.get(batch.input_file_id)
    if file is None or file.content is None:
        raise BadInputError("The input file was not found.")
    if len(file.content) > service.settings.max_bytes:
        raise BadInputError(f"The input file is larger than {service.settings.max_bytes} bytes.")
    lines: list[Line] = []
    for number, text in enumerate(file.content.split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            line = _decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise BadInputError(f"Line {number} is invalid: {error}") from error
        if not 0 < len(line.custom_id) <= _MAX_CUSTOM_ID:
            raise BadInputError(f"Line {number}: custom_id must have 1 to {_MAX_CUSTOM_ID} characters.")
        lines.append(line)
    if not lines or len(lines) > service.settings.max_requests:
        raise BadInputError(f"A batch has 1 to {service.settings.max_requests} requests, this one has {len(lines)}.")
    if len({line.custom_id for line in lines}) < len(lines):
        raise BadInputError("A custom_id is used more than once.")
    return lines


def _go_on(service: Service, batch: Batch, now: float) -> None:
    total, end = len(batch.lines), batch.end
    batch.done = max(batch.done, min(limit_lines(batch), count_done(service, batch, min(now, batch.deadline))))
    if end and batch.done >= int(total * share_done(batch)):
        finish(service, batch, BatchState(end.status), now)
    elif batch.done == total and now >= min(
        time_done(service, batch, now) + service.settings.aggregating_seconds, batch.deadline
    ):
        finish(service, batch, BatchState.COMPLETED, now)
    elif now >= batch.deadline:
        finish(service, batch, BatchState.EXPIRED, batch.deadline)


def share_done(batch: Batch) -> float:
    """How much of a batch is done when it ends."""
    if batch.end is None:
        return 1.0
    return DEFAULT_END[batch.end.status] if batch.end.at is None else batch.end.at


def limit_lines(batch: Batch) -> int:
    """How many lines a batch ever does."""
    stuck = batch.stuck.at if batch.stuck else 1.0
    return int(len(batch.lines) * min(stuck, share_done(batch)))


def count_done(service: Service, batch: Batch, now: float) -> int:
    """Lines that are done by the clock, or that an engine has answered."""
    if service.has_engine:
        return len(batch.answers)
    rate = service.settings.lines_per_second
    if rate is None or batch.started_at is None:
        return len(batch.lines)
    return max(0, min(len(batch.lines), int((now - batch.started_at) * rate)))


def time_done(service: Service, batch: Batch, now: float) -> float:
    """When the last line was done, in Unix seconds."""
    rate = service.settings.lines_per_second
    if service.has_engine or batch.started_at is None:
        return now
    return batch.started_at + (len(batch.lines) / rate if rate else 0)


def finish(service: Service, batch: Batch, state: BatchState, now: float) -> None:
    """End a batch, and write the results of what is done."""
    prompt = read_prompt(batch.lines[0]) if batch.lines else ""
    if batch.end and batch.end.status == state:
        batch.error = batch.end.message and fill(batch.end.message, prompt)
    if state is BatchState.FAILED and batch.error is None:
        batch.error = "The batch failed."
    batch.ended_at = now
    if batch.lines:
        write_results(service, batch)
    batch.state = state
    service.ledger.entries[batch.id].status = state
