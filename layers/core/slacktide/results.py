"""A line of the output or of the error file, as bytes: made when its result is collected, and given its custom_id at assembly."""

from collections.abc import Callable
from typing import Final

import msgspec

from slacktide.codes import Code
from slacktide.faults import Fault, Problem
from slacktide.ids import RequestId

MESSAGES: Final = {
    Code.BATCH_FAILED: "The batch failed before this request was run.",
    Code.BATCH_EXPIRED: "The completion window of the batch ended before this request was done.",
    Code.BATCH_CANCELLED: "The batch was cancelled before this request was done.",
    Code.BUDGET_EXCEEDED: "This request was not run: it may have needed more than was left of a budget or limit.",
    Code.MISSING_RESULT: "No backend answered this request.",
    Code.BACKEND_ERROR: "The backend could not answer this request.",
    Code.BACKEND_REJECTED: "The backend refused this request.",
}

_NULL = b"null"
_NO_CUSTOM_ID = b'"custom_id":null'
_RESPONSE = b',"response":'
_NO_ERROR = b',"error":null}'


class ErrorBody(Problem, frozen=True, omit_defaults=True):
    """Why a line is in the error file: the first problem, and any further ones."""

    others: list[Problem] = msgspec.field(default_factory=list)


class _Failed(msgspec.Struct):
    error: Problem


_FAULT = msgspec.json.Decoder(Fault)
_FAILED = msgspec.json.Decoder(_Failed)


def write_response(request: RequestId, status_code: int, body: bytes) -> bytes:
    """The `response` of a line. The request id is ours: an upstream's own ids stay with it."""
    return b'{"status_code":%d,"request_id":"%b","body":%b}' % (status_code, str(request).encode(), body)


def write_result(request: RequestId, response: bytes | None, error: ErrorBody | None) -> bytes:
    """A line without its custom_id; `id` is batch, round (0: never run) and line."""
    told = _NULL if error is None else msgspec.json.encode(error)
    identity = str(request).encode(), request.line
    return b'{"id":"%b","custom_id":null,"line":%d,"response":%b,"error":%b}' % (*identity, response or _NULL, told)


def give_custom_id(result: bytes, custom_id: bytes) -> bytes:
    """The finished line; `custom_id` is JSON. Before its place there is only an id of ours, so the first match is it."""
    return result.replace(_NO_CUSTOM_ID, b'"custom_id":%b' % custom_id, 1)


def is_success(result: bytes) -> bool:
    """Whether a line is one of the output file. An error ends in `}}`, so no text in it can look like a success."""
    return result.endswith(_NO_ERROR)


def read_code(result: bytes) -> Code:
    """The error code of a line of the error file."""
    return _FAILED.decode(result).error.code


def read_fault(text: bytes) -> tuple[int, Fault]:
    """The line of a fault, and the fault."""
    fault = _FAULT.decode(text)
    return fault.line, fault


def join_faults(faults: list[Fault]) -> ErrorBody:
    """What was found wrong with one line, in one go or in several."""
    first, *others = [problem for fault in faults for problem in fault.problems]
    return ErrorBody(first.code, first.message, first.param, first.column, others)


def result_reader(batch_id: str, round_number: int, backend: str | None = None) -> Callable[[bytes], tuple[int, bytes]]:
    """Reads the line number of the results of one round, from where it stands in their `id`.

    With a backend's name the results get a field `slacktide` that names it, and the round.
    """
    start = len(f'{{"id":"{batch_id}.{round_number}.')

    def read(result: bytes) -> tuple[int, bytes]:
        return int(result[start : result.index(b'"', start)]), result

    origin = msgspec.json.encode({"backend": backend, "round": round_number})

    def read_with_origin(result: bytes) -> tuple[int, bytes]:
        # In front of its place there are only an id of ours, null and a number, so the first match is it.
        return read(result)[0], result.replace(_RESPONSE, b',"slacktide":' + origin + _RESPONSE, 1)

    return read_with_origin if backend else read
