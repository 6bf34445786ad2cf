"""The wire format of a payload: request lines in, answer lines out (docs/architecture.md, "Transform job")."""

from collections.abc import Mapping
from uuid import uuid4

import msgspec

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
TRANSIENT_STATUSES = (408, 409, 429)  # with every 5xx: another try may succeed

REJECTED = "backend_rejected"
TRANSIENT = "backend_error"


class Request(msgspec.Struct, frozen=True):
    """One request for the engine; the values of `body` stay the bytes that the line has."""

    custom_id: str
    body: dict[str, msgspec.Raw]
    url: str = ENDPOINTS[0]


class Refusal(msgspec.Struct, frozen=True):
    """A line that is not sent to the engine, and why."""

    custom_id: str | None
    reason: str


class LineError(msgspec.Struct, frozen=True):
    """Why a line has no good answer: a code of ours and a message."""

    code: str
    message: str


class Response(msgspec.Struct, frozen=True):
    """What the engine answered over HTTP."""

    status_code: int
    request_id: str
    body: msgspec.Raw


class Answer(msgspec.Struct, frozen=True):
    """One output line; `response` is null when the engine gave no answer."""

    custom_id: str | None
    response: Response | None
    error: LineError | None


class _Identity(msgspec.Struct):
    custom_id: str | None = None


_request = msgspec.json.Decoder(Request)
_identity = msgspec.json.Decoder(_Identity)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder()


def split_lines(payload: bytes) -> list[bytes]:
    """Split JSONL on newline bytes only; a final newline ends the last line and begins no other."""
    lines = payload.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def read_line(line: bytes) -> Request | Refusal:
    """Read a request line, or say why it cannot be sent; the text of the line is not repeated in the reason."""
    try:
        line.decode()  # the decoder does not look at the UTF-8 of raw values
        request = _request.decode(line)
    except UnicodeDecodeError as fault:
        return Refusal(_read_custom_id(line), f"not valid UTF-8 at byte {fault.start}")
    except (msgspec.DecodeError, RecursionError):
        return Refusal(_read_custom_id(line), "not a JSON object with a string custom_id and an object body")
    if request.url not in ENDPOINTS:
        return Refusal(request.custom_id, f"url must be one of {', '.join(ENDPOINTS)}")
    return request


def _read_custom_id(line: bytes) -> str | None:
    try:
        return _identity.decode(line).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def engine_body(request: Request, *, model_id: str) -> bytes:
    """The body as the engine gets it: the engine's own model name, never streamed, all else as it came."""
    unchanged = {key: value for key, value in request.body.items() if key not in ("model", "stream", "stream_options")}
    return msgspec.json.encode({"model": msgspec.Raw(msgspec.json.encode(model_id)), **unchanged})


def answer_http(custom_id: str, *, status: int, content: bytes) -> Answer:
    """The answer line for an HTTP answer of the engine."""
    body = read_body(content)
    if 200 <= status < 300:
        if body is None:
            return answer_nothing(custom_id, "the engine's answer is not a JSON object")
        return Answer(custom_id, Response(status, uuid4().hex, body), None)
    code = REJECTED if 400 <= status < 500 and status not in TRANSIENT_STATUSES else TRANSIENT
    error = LineError(code, f"the engine answered HTTP status {status}")
    return Answer(custom_id, Response(status, uuid4().hex, body or msgspec.Raw(b"{}")), error)


def read_body(content: bytes) -> msgspec.Raw | None:
    """The engine's body as one line of JSON, or None when it is not a JSON object."""
    try:
        content.decode()
        _object.decode(content)
        return msgspec.Raw(msgspec.json.format(content, indent=-1) if b"\n" in content else content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def answer_nothing(custom_id: str | None, message: str) -> Answer:
    """The answer line for a request that the engine did not answer; another try may succeed."""
    return Answer(custom_id, None, LineError(TRANSIENT, message))


def answer_refusal(refusal: Refusal) -> Answer:
    """The answer line for a line that was not sent."""
    return Answer(refusal.custom_id, None, LineError(REJECTED, refusal.reason))


def count_tokens(answer: Answer) -> tuple[int, int]:
    """Prompt and completion tokens by the engine's own usage report; zeros where there is none."""
    if answer.response is None:
        return 0, 0
    usage = _object.decode(answer.response.body).get("usage")
    report = _anything.decode(usage) if usage is not None else None
    if not isinstance(report, Mapping):
        return 0, 0
    return _as_count(report.get("prompt_tokens")), _as_count(report.get("completion_tokens"))


def _as_count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
