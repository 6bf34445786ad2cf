"""One input line: a request that can be run, or the fault that it has. A fault never quotes what the line says."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from slacktide.codes import Code
from slacktide.lines import Line
from slacktide.models import ENDPOINTS, Model

LONGEST_CUSTOM_ID = 64  # characters
MOST_NAMES = 10_000  # in one object
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
CHAT, COMPLETIONS, EMBEDDINGS = ENDPOINTS

Positive = Annotated[int, Meta(ge=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with a line. `custom_id` is None where it cannot be read; `column` is the 1-based byte of the line."""

    line: int
    code: Code
    message: str
    custom_id: str | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A good line: `body` is the user's own bytes."""

    line: int
    custom_id: str
    endpoint: str
    model: Model
    body: bytes


class _Envelope(msgspec.Struct):
    custom_id: Raw | UnsetType = UNSET
    method: Raw | UnsetType = UNSET
    url: Raw | UnsetType = UNSET
    body: Raw | UnsetType = UNSET


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Body(msgspec.Struct):
    """What the three endpoints share."""

    model: str
    stream: bool | None = None


class _Sampling(_Body):
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None


class _Chat(_Sampling, kw_only=True):
    messages: Annotated[list[_Message], Meta(min_length=1)]


class _Completion(_Sampling, kw_only=True):
    prompt: str | list[str | int | list[int]]


class _Embedding(_Body, kw_only=True):
    input: str | list[str | int | list[int]]


_BODIES: dict[str, msgspec.json.Decoder[Any]] = {
    CHAT: msgspec.json.Decoder(_Chat),
    COMPLETIONS: msgspec.json.Decoder(_Completion),
    EMBEDDINGS: msgspec.json.Decoder(_Embedding),
}
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_TEXT = msgspec.json.Decoder(str)
_ANY = msgspec.json.Decoder()
_BYTE = re.compile(r"\(byte (\d+)\)")


class _FaultyLine(Exception):  # noqa: N818 - it ends the check of one line and never leaves this module
    def __init__(self, code: Code, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.column = column


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks lines against the models that can run here.

    `find_model` answers the model of a name or None; `route` its backends, in order; `endpoint` is the only endpoint
    that the batch may have, None for any.
    """

    find_model: Callable[[str], Model | None]
    route: Callable[[Model], list[str]]
    endpoint: str | None = None

    def check(self, line: Line) -> Request | Fault:
        """The request in a line, or its first fault."""
        custom_id: str | None = None
        try:
            envelope = _read_envelope(line)
            custom_id = _custom_id(envelope.custom_id)
            endpoint = self._endpoint(envelope)
            body, model = self._body(envelope.body, endpoint)
            _check_names(line)
            return Request(line.number, custom_id, endpoint, model, body)
        except _FaultyLine as fault:
            return Fault(line.number, fault.code, fault.message, custom_id, fault.column)

    def _endpoint(self, envelope: _Envelope) -> str:
        method = _text(envelope.method, "method")
        if method not in {None, "POST"}:
            raise _FaultyLine(Code.INVALID_REQUEST, "method must be POST.")
        url = _text(envelope.url, "url")
        if url is None:
            return self.endpoint or CHAT
        if url not in ENDPOINTS:
            raise _FaultyLine(Code.URL_MISMATCH, f"url must be one of {', '.join(ENDPOINTS)}.")
        if self.endpoint not in {None, url}:
            raise _FaultyLine(Code.URL_MISMATCH, f"url is {url}, but this batch is for {self.endpoint} only.")
        return url

    def _body(self, raw: Raw | UnsetType, endpoint: str) -> tuple[bytes, Model]:
        if raw is UNSET:
            raise _FaultyLine(Code.INVALID_REQUEST, "body is missing: it holds the request's model and input.")
        content = bytes(raw)
        try:
            body = _BODIES[endpoint].decode(content)
            _ANY.decode(content)  # the typed decoder skips what it does not know; this one reads it all
        except msgspec.ValidationError as error:
            raise _FaultyLine(Code.INVALID_REQUEST, f"body: {error}.") from None
        except (msgspec.DecodeError, RecursionError, ValueError):
            raise _FaultyLine(Code.INVALID_JSON_LINE, "body holds a value that JSON readers refuse.") from None
        model = self._model(body.model, endpoint)
        _check_body(body, model)
        return content, model

    def _model(self, name: str, endpoint: str) -> Model:
        model = self.find_model(name)
        if model is None:
            raise _FaultyLine(Code.MODEL_NOT_FOUND, "body.model is not in the model table.")
        if not model.enabled:
            raise _FaultyLine(Code.MODEL_NOT_FOUND, f"{model.id} is switched off: enabled is false in the stack's model table.")
        if endpoint not in model.endpoints:
            raise _FaultyLine(Code.URL_MISMATCH, f"model {model.id} has no {endpoint}.")
        if not self.route(model):
            message = f"No backend of this stack can run {model.id}: see the parameters TransformImageUri and TransformModels."
            raise _FaultyLine(Code.NO_BACKEND_FOR_MODEL, message)
        return model


def _read_envelope(line: Line) -> _Envelope:
    if line.content is None:
        raise _FaultyLine(Code.LINE_TOO_LONG, f"The line has {line.length} bytes, more than a request may have.")
    try:
        line.content.decode()
    except UnicodeDecodeError as error:
        raise _FaultyLine(Code.INVALID_ENCODING, "The line is not UTF-8.", error.start + 1) from None
    if (position := line.content.find(b"\0")) >= 0:
        raise _FaultyLine(Code.INVALID_ENCODING, "The line holds a NUL byte.", position + 1)
    try:
        return _ENVELOPE.decode(line.content)
    except msgspec.ValidationError:
        raise _FaultyLine(Code.INVALID_REQUEST, "The line is JSON, but not an object.", 1) from None
    except (msgspec.DecodeError, RecursionError) as error:
        place = _BYTE.search(str(error))
        column = int(place[1]) + 1 if place else len(line.content) + 1
        raise _FaultyLine(Code.INVALID_JSON_LINE, "The line is not well-formed JSON.", column) from None


def _check_names(line: Line) -> None:
    """Refuse names that stand twice in an object: readers differ in which of the values they take, and msgspec sees none."""
    try:
        _NAMES.decode((line.content or b"").decode())
    except (RecursionError, ValueError):
        raise _FaultyLine(Code.INVALID_JSON_LINE, "The line holds a value that JSON readers refuse.") from None


def _refuse_names(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > MOST_NAMES:
        raise _FaultyLine(Code.INVALID_REQUEST, f"An object of the line has more than {MOST_NAMES} names.")
    if len(dict(pairs)) != len(pairs):
        raise _FaultyLine(Code.INVALID_JSON_LINE, "A name stands twice in an object of the line.")


_NAMES = json.JSONDecoder(object_pairs_hook=_refuse_names)


def _custom_id(raw: Raw | UnsetType) -> str:
    if raw is UNSET or bytes(raw) == b"null":
        raise _FaultyLine(Code.MISSING_CUSTOM_ID, "custom_id is missing.")
    text = _text(raw, "custom_id", Code.INVALID_CUSTOM_ID)
    if not text:
        raise _FaultyLine(Code.INVALID_CUSTOM_ID, "custom_id is empty.")
    if len(text) > LONGEST_CUSTOM_ID:
        message = f"custom_id has {len(text)} characters; at most {LONGEST_CUSTOM_ID} are allowed."
        raise _FaultyLine(Code.INVALID_CUSTOM_ID, message)
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        raise _FaultyLine(Code.INVALID_CUSTOM_ID, "custom_id holds control characters.")
    return text


def _text(raw: Raw | UnsetType, field: str, code: Code = Code.INVALID_REQUEST) -> str | None:
    if raw is UNSET:
        return None
    try:
        return _TEXT.decode(raw)
    except msgspec.DecodeError:
        raise _FaultyLine(code, f"{field} must be a string.") from None


def _check_body(body: _Chat | _Completion | _Embedding, model: Model) -> None:
    if body.stream:
        raise _FaultyLine(Code.UNSUPPORTED_PARAMETER, "body.stream: a batch cannot stream; leave it out.")
    if isinstance(body, _Sampling) and model.context is not None:
        for field in ("max_tokens", "max_completion_tokens"):
            asked = getattr(body, field) or 0
            if asked > model.context:
                message = f"body.{field} is {asked}, but {model.id} has a window of {model.context} tokens."
                raise _FaultyLine(Code.INVALID_REQUEST, message)
    if isinstance(body, _Chat):
        for number, message in enumerate(body.messages):
            _check_message(message, number)


def _check_message(message: _Message, number: int) -> None:
    if message.role not in ROLES:
        raise _FaultyLine(Code.INVALID_REQUEST, f"body.messages[{number}].role must be one of {', '.join(sorted(ROLES))}.")
    if message.content is None and not (message.role == "assistant" and message.tool_calls):
        raise _FaultyLine(Code.INVALID_REQUEST, f"body.messages[{number}].content is missing.")
