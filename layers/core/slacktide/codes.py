"""Every error code that a line or a file can have, and what follows from it."""

from enum import StrEnum
from typing import Final


class CodeClass(StrEnum):
    """What kind of failure a code is, which decides what happens next."""

    INVALID_LINE = "invalid_line"  # found by validation; ends
    REFUSED_FILE = "refused_file"  # the whole file; the batch fails
    REJECTED = "rejected"  # the backend refused this request; ends
    TRANSIENT = "transient"  # the line goes to the next round
    GIVEN_UP = "given_up"  # never run, or not in time; ends


class Code(StrEnum):
    """An error code of a line (in the error file) or of a batch (in its `error`)."""

    INVALID_JSON_LINE = "invalid_json_line"
    INVALID_ENCODING = "invalid_encoding"
    LINE_TOO_LONG = "line_too_long"
    INVALID_REQUEST = "invalid_request"
    MISSING_CUSTOM_ID = "missing_custom_id"
    INVALID_CUSTOM_ID = "invalid_custom_id"
    DUPLICATE_CUSTOM_ID = "duplicate_custom_id"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_MISMATCH = "model_mismatch"
    NO_BACKEND_FOR_MODEL = "no_backend_for_model"
    URL_MISMATCH = "url_mismatch"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    EMPTY_FILE = "empty_file"
    UNSUPPORTED_FILE = "unsupported_file"
    INPUT_NOT_FOUND = "input_not_found"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    INVALID_OPTION = "invalid_option"
    INVALID_MODEL_TABLE = "invalid_model_table"
    INVALID_LINES = "invalid_lines"
    INTERNAL_ERROR = "internal_error"
    BACKEND_REJECTED = "backend_rejected"
    BACKEND_ERROR = "backend_error"
    MISSING_RESULT = "missing_result"
    BATCH_FAILED = "batch_failed"
    BATCH_EXPIRED = "batch_expired"
    BATCH_CANCELLED = "batch_cancelled"
    BUDGET_EXCEEDED = "budget_exceeded"


CLASSES: Final[dict[Code, CodeClass]] = {
    Code.INVALID_JSON_LINE: CodeClass.INVALID_LINE,
    Code.INVALID_ENCODING: CodeClass.INVALID_LINE,
    Code.LINE_TOO_LONG: CodeClass.INVALID_LINE,
    Code.INVALID_REQUEST: CodeClass.INVALID_LINE,
    Code.MISSING_CUSTOM_ID: CodeClass.INVALID_LINE,
    Code.INVALID_CUSTOM_ID: CodeClass.INVALID_LINE,
    Code.DUPLICATE_CUSTOM_ID: CodeClass.INVALID_LINE,
    Code.MODEL_NOT_FOUND: CodeClass.INVALID_LINE,
    Code.MODEL_MISMATCH: CodeClass.INVALID_LINE,
    Code.NO_BACKEND_FOR_MODEL: CodeClass.INVALID_LINE,
    Code.URL_MISMATCH: CodeClass.INVALID_LINE,
    Code.UNSUPPORTED_PARAMETER: CodeClass.INVALID_LINE,
    Code.EMPTY_FILE: CodeClass.REFUSED_FILE,
    Code.UNSUPPORTED_FILE: CodeClass.REFUSED_FILE,
    Code.INPUT_NOT_FOUND: CodeClass.REFUSED_FILE,
    Code.CHECKSUM_MISMATCH: CodeClass.REFUSED_FILE,
    Code.INVALID_OPTION: CodeClass.REFUSED_FILE,
    Code.INVALID_MODEL_TABLE: CodeClass.REFUSED_FILE,
    Code.INVALID_LINES: CodeClass.REFUSED_FILE,
    Code.INTERNAL_ERROR: CodeClass.REFUSED_FILE,
    Code.BACKEND_REJECTED: CodeClass.REJECTED,
    Code.BACKEND_ERROR: CodeClass.TRANSIENT,
    Code.MISSING_RESULT: CodeClass.TRANSIENT,
    Code.BATCH_FAILED: CodeClass.GIVEN_UP,
    Code.BATCH_EXPIRED: CodeClass.GIVEN_UP,
    Code.BATCH_CANCELLED: CodeClass.GIVEN_UP,
    Code.BUDGET_EXCEEDED: CodeClass.GIVEN_UP,
}

TRANSIENT_STATUSES: Final = frozenset({408, 409, 429})


def code_of_status(status: int) -> Code | None:
    """The code of a backend's HTTP status for one line; None for success.

    4xx but 408, 409 and 429 will fail again, so the line ends; everything else that is not 2xx may pass in another round.
    """
    if 200 <= status < 300:
        return None
    if 400 <= status < 500 and status not in TRANSIENT_STATUSES:
        return Code.BACKEND_REJECTED
    return Code.BACKEND_ERROR
