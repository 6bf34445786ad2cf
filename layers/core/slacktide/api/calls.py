"""A call and its answer, whatever carries them."""

import base64
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from multipart import MultipartError, MultipartParser, parse_options_header

from slacktide.access import AccessKey
from slacktide.api.errors import BadRequestError, TooLargeError
from slacktide.creation import Attempt

T = TypeVar("T")

# Lambda takes 6 MB with an invocation, API Gateway sends binary bodies as Base64 (4/3 as long): 4.5 MB pass.
LARGEST_BODY = 4_400_000
MOST_FIELDS = 32  # of a form
LONGEST_KEY = 255  # characters of an Idempotency-Key


@dataclass(slots=True)
class Form:
    """The fields of a form, and its one file."""

    fields: dict[str, str] = field(default_factory=dict[str, str])
    filename: str | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a known key. Header names are in lower case."""

    key: AccessKey
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes

    @property
    def owner(self) -> str:
        """Whose things the caller sees and makes."""
        return self.key.owner

    @property
    def attempt(self) -> Attempt:
        """What the call says about itself (`x-stainless-retry-count` is what both official clients send)."""
        key = self.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= LONGEST_KEY:
            raise BadRequestError(f"Idempotency-Key has 1 to {LONGEST_KEY} characters.", param="Idempotency-Key")
        count = self.headers.get("x-stainless-retry-count", "")
        return Attempt(key, int(count) if count.isdecimal() and len(count) < LONGEST_KEY else None)

    def json(self, kind: type[T]) -> T:
        """The body as a value of `kind`. Raises BadRequestError, which names the field and never quotes the body."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            is_wrong = isinstance(error, msgspec.ValidationError)
            text = _without_value(str(error)) if is_wrong else "it is not JSON"
            raise BadRequestError(f"The body cannot be read: {text}.", code=None if is_wrong else "invalid_json") from None

    def form(self) -> Form:
        """The body as a form, multipart or URL-encoded. Raises BadRequestError."""
        kind, options = parse_options_header(self.headers.get("content-type", ""))
        if kind == "application/x-www-form-urlencoded":
            return Form(fields=_parse_pairs(self.body))
        if kind != "multipart/form-data" or "boundary" not in options:
            raise BadRequestError("The body must be a form: multipart/form-data with a boundary.", code="invalid_form")
        try:
            return _read_parts(self.body, options["boundary"])
        except (MultipartError, UnicodeError) as error:
            raise BadRequestError("The body is not a well-formed form.", code="invalid_form") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a value that becomes JSON, or headers alone."""

    value: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


def read_body(event: dict[str, Any]) -> bytes:
    """The bytes of the body of an API Gateway event. Raises TooLargeError and BadRequestError."""
    text = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        body = text.encode("utf-8", "surrogatepass")
    else:
        try:
            body = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise BadRequestError("The body is not Base64.") from error
    if len(body) > LARGEST_BODY:
        raise TooLargeError(
            f"The body has {len(body)} bytes, and {LARGEST_BODY} pass. Upload the file in parts "
            "(client.uploads.upload_file_chunked(..., part_size=4_000_000)), with Together's client, or drop it into the bucket."
        )
    return body


def _without_value(text: str) -> str:
    """What msgspec says is wrong, and where. Of a word that is none of those it must be, it quotes the word."""
    problem, at, place = text.rpartition(" - at ")
    if problem.startswith("Invalid enum value"):
        problem = "Invalid value"
    return (problem + at + place).replace("$.", "")


def _parse_pairs(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise BadRequestError("The body is not a well-formed form.", code="invalid_form") from error


def _read_parts(body: bytes, boundary: str) -> Form:
    form = Form()
    parser = MultipartParser(
        BytesIO(body), boundary, len(body), part_limit=MOST_FIELDS, spool_limit=LARGEST_BODY, memory_limit=LARGEST_BODY
    )
    for part in parser:
        if part.filename is None:
            form.fields[part.name or ""] = part.raw.decode()  # part.value believes what the part says of its charset
        else:
            form.filename, form.content = part.filename, part.raw
    return form
