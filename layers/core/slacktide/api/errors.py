"""What a call can be answered with when it is not done: one tree, one body, which both clients read.

ApiError                 status, code
├── BadRequestError      400  what was asked for cannot be done as it was asked; also conflicts, since clients send 409 again
├── UnknownKeyError      401  no key, or none that is known
├── NoSuchThingError     404  there is no such thing, or it belongs to somebody else
├── WrongMethodError     405  there is, but not with this method
├── TooLargeError        413  the body is larger than what passes; the message says what does
├── RateLimitError       429  too many calls of this key; says when to come again
└── UnavailableError     503  something behind the API does not answer; the same call may work later
"""

from http import HTTPStatus
from typing import ClassVar

import msgspec


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong. `param` is the field that it is about."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ApiError(Exception):
    """A call is not done. The message says what is wrong and what to do; it never quotes what a file holds."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None, after: int | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.param = param
        self.after = after

    @property
    def body(self) -> ErrorBody:
        """The answer's body, for OpenAI's clients and Together's."""
        return ErrorBody(ErrorDetail(str(self), _type_of(self.status), self.param, self.code))

    @property
    def headers(self) -> dict[str, str]:
        """The answer's further headers."""
        return {} if self.after is None else {"Retry-After": str(self.after)}


class BadRequestError(ApiError):
    """It cannot be done as it was asked for."""

    status = HTTPStatus.BAD_REQUEST
    code = "invalid_request"


class UnknownKeyError(ApiError):
    """Nobody who may call."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_api_key"


class NoSuchThingError(ApiError):
    """There is no such thing for this caller."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class WrongMethodError(ApiError):
    """The path is there, with other methods."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"


class TooLargeError(ApiError):
    """The body is too large for a call."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "request_too_large"


class RateLimitError(ApiError):
    """Too many calls."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limit_exceeded"


class UnavailableError(ApiError):
    """Something behind the API does not answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"


def _type_of(status: HTTPStatus) -> str:
    """The kind of an error, in the words of OpenAI's API reference."""
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
