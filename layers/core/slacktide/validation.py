"""One input line: a request that can be run, or the fault that it has. A fault never quotes what the line says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import msgspec
from msgspec import Raw

from slacktide.bodies import CHAT, Found, find_problems, name_of
from slacktide.codes import Code
from slacktide.faults import Fault, Problem, fault_of
from slacktide.json_text import JsonReader, Path, UnreadableLineError, column, find_values
from slacktide.lines import LONGEST_LINE, Line
from slacktide.models import ENDPOINTS, Model

LONGEST_CUSTOM_ID = 64  # characters
MOST_PROBLEMS = 20  # that are told of one body
LONGEST_BODY = LONGEST_LINE - 200  # bytes; a backend's line has our id and the endpoint around the body


@dataclass(frozen=True, slots=True)
class Request:
    """A good line: `body` is the user's own bytes."""

    line: int
    custom_id: str
    endpoint: str
    model: Model
    body: bytes


class _Line(msgspec.Struct):
    body: Raw


_LINE = msgspec.json.Decoder(_Line)
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks lines against the models that can run here.

    `find_model` answers the model of a name or None; `route` its backends, in order; `endpoint` is the only endpoint
    that the batch may have and `only_model` a name of its only model, None for any; `media_urls` says whether media may be named
    by URL.
    """

    find_model: Callable[[str], Model | None]
    route: Callable[[Model], list[str]]
    endpoint: str | None = None
    media_urls: bool = True
    only_model: str | None = None
    _reader: JsonReader = field(default_factory=JsonReader)

    def check(self, line: Line) -> Request | Fault:
        """The request in a line, or all that is wrong with it."""
        if line.content is None:
            message = f"The line has {line.length} bytes, more than a request may have: at most {LONGEST_LINE}."
            return Fault(line.number, Code.LINE_TOO_LONG, message)
        try:
            value, problems = self._reader.read(line.content)
        except UnreadableLineError as error:
            return fault_of(line.number, None, [error.problem])
        if not isinstance(value, dict):
            return Fault(line.number, Code.INVALID_REQUEST, "The line is JSON, but not an object.", column=1)
        return self._check_object(line.number, line.content, value, problems)

    def resolve_model(self, name: str, endpoint: str) -> Model | tuple[Code, str]:
        """The model that runs under a name, or why none does."""
        model = self.find_model(name)
        if model is None:
            return Code.MODEL_NOT_FOUND, "body.model is not in the model table."
        if self.only_model is not None and model != self.find_model(self.only_model):
            return Code.MODEL_MISMATCH, f"body.model means {model.id}, but this batch is for {self.only_model} only."
        if not model.enabled:
            return Code.MODEL_NOT_FOUND, f"{model.id} is switched off: enabled is false in the stack's model table."
        if endpoint not in model.endpoints:
            return Code.URL_MISMATCH, f"model {model.id} has no {endpoint}."
        if not self.route(model):
            parameters = "TransformImageUri, TransformModels and TransformInstanceType"
            message = f"No backend of this stack can run {model.id}: see the parameters {parameters}."
            return Code.NO_BACKEND_FOR_MODEL, message
        return model

    def _check_object(self, number: int, content: bytes, value: dict[str, Any], problems: list[Problem]) -> Request | Fault:
        endpoint = self._endpoint(value)
        found = [*_custom_id(value), *self._target(value)]
        body = value.get("body")
        model = None
        if not isinstance(body, dict):
            found.append(
                (("body",), Code.INVALID_REQUEST, "body is missing or no object: it holds the request's model and input.")
            )
        else:
            name = body.get("model")
            resolved = self.resolve_model(name, endpoint) if isinstance(name, str) else _NO_MODEL
            model = resolved if isinstance(resolved, Model) else None
            if not isinstance(resolved, Model):
                code, message = resolved
                found.append((("body", "model"), code, message))
            found += islice(find_problems(body, endpoint, model, media_urls=self.media_urls), MOST_PROBLEMS)
        if not found and not problems:
            raw = bytes(_LINE.decode(content).body)
            if len(raw) <= LONGEST_BODY and model is not None:
                return Request(number, value["custom_id"], endpoint, model, raw)
            message = f"body has {len(raw)} bytes; at most {LONGEST_BODY} are allowed."
            found.append((("body",), Code.LINE_TOO_LONG, message))
        custom_id = None if any(path == ("custom_id",) for path, _, _ in found) else value["custom_id"]
        return fault_of(number, custom_id, problems + _located(content.decode(), value, found))

    def _endpoint(self, value: dict[str, Any]) -> str:
        """The endpoint that a line names, or else the batch's."""
        url = value.get("url")
        return url if isinstance(url, str) and url in ENDPOINTS else self.endpoint or CHAT

    def _target(self, value: dict[str, Any]) -> Iterator[Found]:
        """Problems of method and url, which may be left out."""
        method, url = value.get("method", "POST"), value.get("url", self.endpoint or CHAT)
        if method != "POST":
            yield ("method",), Code.INVALID_REQUEST, "method must be POST."
        if not isinstance(url, str):
            yield ("url",), Code.INVALID_REQUEST, "url must be a text."
        elif url not in ENDPOINTS:
            yield ("url",), Code.URL_MISMATCH, f"url must be one of {', '.join(ENDPOINTS)}."
        elif self.endpoint not in {None, url}:
            yield ("url",), Code.URL_MISMATCH, f"url is {url}, but this batch is for {self.endpoint} only."


_NO_MODEL = Code.INVALID_REQUEST, "body.model is missing or no text: it names a model of the model table."


def _custom_id(value: dict[str, Any]) -> Iterator[Found]:
    text = value.get("custom_id")
    path = ("custom_id",)
    if text is None:
        yield path, Code.MISSING_CUSTOM_ID, "custom_id is missing."
    elif not isinstance(text, str):
        yield path, Code.INVALID_CUSTOM_ID, "custom_id must be a text."
    elif not text:
        yield path, Code.INVALID_CUSTOM_ID, "custom_id is empty."
    elif len(text) > LONGEST_CUSTOM_ID:
        message = f"custom_id has {len(text)} characters; at most {LONGEST_CUSTOM_ID} are allowed."
        yield path, Code.INVALID_CUSTOM_ID, message
    elif any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or 0xD800 <= ord(character) < 0xE000 for character in text):
        yield path, Code.INVALID_CUSTOM_ID, "custom_id holds control characters, or half of a surrogate pair."


def _located(text: str, value: dict[str, Any], found: list[Found]) -> list[Problem]:
    """The problems with their columns: where the field's value begins, or the object that should have it."""
    there = [_existing(value, path) for path, _, _ in found]
    places = find_values(text, there)
    return [
        Problem(code, message, name_of(path), column(text, places[known]))
        for known, (path, code, message) in zip(there, found, strict=True)
    ]


def _existing(value: Any, path: Path) -> Path:
    """A path as far as there is something at it."""
    for depth, step in enumerate(path):
        if isinstance(value, dict):
            value = cast("dict[str | int, Any]", value).get(step, _NOTHING)
        else:
            value = value[step] if isinstance(value, list) and isinstance(step, int) else _NOTHING
        if value is _NOTHING:
            return path[:depth]
    return path
