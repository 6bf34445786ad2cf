"""A call and its answer as the core sees them: plain values, so that it runs without sockets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are in lower case; `origin` is `scheme://host:port`, as the client wrote it."""

    method: str
    path: str
    origin: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


class Delivery(Enum):
    """What becomes of an answer on its way."""

    WHOLE = "whole"
    CUT = "cut"  # the connection ends before the body does
    DROPPED = "dropped"  # the connection ends without an answer
    REFUSED = "refused"  # there never was a connection
    HANGING = "hanging"  # no answer, and the connection stays


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. `cut_at`: bytes of the body that arrive; `late` is in seconds; `pace` in bytes a second."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON})
    delivery: Delivery = Delivery.WHOLE
    cut_at: int | None = None
    late: float = 0
    pace: float | None = None


class ApiError(Exception):
    """The call is refused; the body is `{"error": {message, type, param, code}}`, which both clients read.

    together 1.5.35, `abstract/api_requestor.py`, `handle_error_response`: `error` must be an object.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.kind = kind

    def render(self) -> Reply:
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return reply_json({"error": error}, status=self.status)


def reply_json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    return Reply(status, msgspec.json.encode(value), {"content-type": JSON, **(headers or {})})


def read_json(request: Request) -> dict[str, Any]:
    """The object in a request's body; ApiError 400 when it is none."""
    try:
        return msgspec.json.decode(request.body or b"{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ApiError(400, f"The body is not a JSON object: {error}", code="invalid_json") from error
