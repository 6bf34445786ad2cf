"""What a batch leaves behind: an output file in any order, an error file, and which lines are billed."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from slacktide_fake_together.account import Answer, Batch, Line, fill_file
from slacktide_fake_together.answers import answer_line, encode, fill, read_prompt, render_error
from slacktide_fake_together.faults import Lines
from slacktide_fake_together.service import Service

FAILURES = {"error", "status", "body_error"}  # of these nothing is billed


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answered(msgspec.Struct):
    usage: _Usage | None = None


_ANSWER = msgspec.json.Decoder(_Answered)


@dataclass(slots=True)
class Results:
    """Lines of both files, and the ledger's two lists. A line that failed is not billed (Together's docs, "Batch inference")."""

    output: list[bytes] = field(default_factory=list[bytes])
    errors: list[bytes] = field(default_factory=list[bytes])
    billed: list[str] = field(default_factory=list[str])
    destroyed: list[str] = field(default_factory=list[str])
    tokens_in: int = 0
    tokens_out: int = 0

    def bill(self, custom_id: str, answer: Answer) -> None:
        """Note that a line is paid for, by the tokens that its answer tells."""
        usage = _ANSWER.decode(answer.body).usage or _Usage()
        self.billed.append(custom_id)
        self.tokens_in += usage.prompt_tokens
        self.tokens_out += usage.completion_tokens


def write_results(service: Service, batch: Batch) -> None:
    """Make the files of a batch that has ended; an id only for a file that has lines."""
    results = Results()
    scripted = dict(choose_lines(service, batch))
    for index, answer in compute_answers(service, batch):
        if (fault := scripted.get(index)) and fault.what in FAILURES:
            _add_failure(service, results, batch, line=batch.lines[index], fault=fault)
        else:
            _add(service, results, batch, line=batch.lines[index], answer=answer, fault=fault)
    batch.failed = batch.done - len(results.billed)
    if batch.end and not batch.end.files:
        results.output, results.errors, results.destroyed = [], [], list(results.billed)
    entry = service.ledger.entries[batch.id]
    entry.billed, entry.destroyed = results.billed, results.destroyed
    entry.tokens_in, entry.tokens_out = results.tokens_in, results.tokens_out
    batch.output_file_id = _store(service, batch, "output", results.output)
    batch.error_file_id = _store(service, batch, "error", results.errors)


def compute_answers(service: Service, batch: Batch) -> Iterator[tuple[int, Answer]]:
    """The lines that are done, in the order in which they were."""
    if service.has_engine:
        yield from list(batch.answers.items())[: batch.done]
        return
    settings = service.settings
    for index in batch.order[: batch.done]:
        line = batch.lines[index]
        if len(line.body) > settings.max_line_bytes:
            yield index, render_error(413, "The request is too large.", code="request_too_large")
        else:
            yield index, answer_line(line, endpoint=batch.endpoint, template=settings.answer, models=settings.models)


def choose_lines(service: Service, batch: Batch) -> Iterator[tuple[int, Lines]]:
    """Which of the lines that are done come back wrong, by their index."""
    done = batch.order[: batch.done] if not service.has_engine else list(batch.answers)[: batch.done]
    for fault in batch.bad_lines:
        fitting = sorted(i for i in done if fault.containing is None or fault.containing in batch.lines[i].custom_id)
        wanted = fault.count if fault.count is not None else round(len(fitting) * fault.share)
        for index in service.random.sample(fitting, min(wanted, len(fitting))):
            yield index, fault


def _add(service: Service, results: Results, batch: Batch, *, line: Line, answer: Answer, fault: Lines | None) -> None:
    """A line with its answer, and what a script does to it."""
    if answer.status != 200:
        results.errors.append(render_failure(service, batch, line, answer))
        return
    results.bill(line.custom_id, answer)
    good = render_line(service, batch, line.custom_id, answer)
    match fault.what if fault else None:
        case "missing":
            results.destroyed.append(line.custom_id)
        case "malformed":
            results.destroyed.append(line.custom_id)
            results.output.append(good[: len(good) // 2])
        case "null_body":
            results.destroyed.append(line.custom_id)
            results.output.append(render_line(service, batch, line.custom_id, Answer(200, msgspec.Raw(b"null"))))
        case "duplicate":
            results.output += [good, good]
        case "contradicted" if fault:
            results.output.append(good)
            error = render_error(fault.status, fill(fault.message, read_prompt(line)))
            results.errors.append(render_failure(service, batch, line, error))
        case "foreign":
            results.output += [good, render_line(service, batch, f"foreign-{line.custom_id}"[:64], answer)]
        case _:
            results.output.append(good)


def _add_failure(service: Service, results: Results, batch: Batch, *, line: Line, fault: Lines) -> None:
    """A line that failed by script. Its message may quote the prompt, as messages of servers do."""
    message = fill(fault.message, read_prompt(line))
    if fault.what == "error":
        results.errors.append(render_failure(service, batch, line, render_error(fault.status, message)))
        return
    body = encode({"error": {"message": message, "type": "server_error", "param": None, "code": None}})
    status = 200 if fault.what == "body_error" else fault.status
    results.output.append(render_line(service, batch, line.custom_id, Answer(status, body)))


def render_line(service: Service, batch: Batch, custom_id: str, answer: Answer) -> bytes:
    """A line of an output file. Together's docs, "Batch inference"; the `id` was seen in the field."""
    response: dict[str, object] = {"status_code": answer.status, "body": answer.body}
    whole: dict[str, object] = {
        "id": f"batch_req_{service.random.getrandbits(96):024x}",
        "custom_id": custom_id,
        "response": response,
    }
    if batch.dialect == "openai":  # OpenAI's API reference, "Batch: the request output object"
        response["request_id"] = f"req_{service.random.getrandbits(96):024x}"
        whole["error"] = None
    return msgspec.json.encode(whole)


def render_failure(service: Service, batch: Batch, line: Line, answer: Answer) -> bytes:
    """A line of an error file; OpenAI's keep the response."""
    if batch.dialect == "openai":
        return render_line(service, batch, line.custom_id, answer)
    error: dict[str, object] = msgspec.json.decode(answer.body)["error"]
    return msgspec.json.encode(
        {"custom_id": line.custom_id, "error": {"message": error["message"], "code": str(error.get("code") or answer.status)}}
    )


def _store(service: Service, batch: Batch, kind: str, lines: list[bytes]) -> str | None:
    if not lines:
        return None
    now = batch.created_at if batch.ended_at is None else batch.ended_at
    file = service.account.add_file(f"{batch.id}_{kind}.jsonl", "batch-api", now)
    fill_file(file, b"\n".join([*lines, b""]))
    file.is_processed = True
    return file.id
