"""Forms as both clients send them: together 3.1.1 multipart (`_base_client.py`, `ForceMultipartDict`), 1.5.35 URL-encoded."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from slacktide_fake_together.messages import ApiError, Request

_boundary = re.compile(r'boundary="?([^";,]+)"?')
_name = re.compile(rb'[; ]name="([^"]*)"')
_filename = re.compile(rb'[; ]filename="([^"]*)"')


@dataclass(slots=True)
class Form:
    """The fields of a form, and its one file."""

    fields: dict[str, str] = field(default_factory=dict[str, str])
    filename: str | None = None
    content: bytes | None = None


def read_form(request: Request) -> Form:
    """ApiError 400 when the body is no form."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        return Form(fields=dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)))
    boundary = _boundary.search(kind)
    if not kind.startswith("multipart/form-data") or boundary is None:
        raise ApiError(400, "The body must be a form.", code="invalid_form")
    form = Form()
    # Each part begins with its boundary on a line of its own; the first has no line before it.
    for part in (b"\r\n" + request.body).split(b"\r\n--" + boundary[1].encode())[1:]:
        if part.startswith(b"--"):
            break
        _read_part(form, part)
    return form


def _read_part(form: Form, part: bytes) -> None:
    head, separator, content = part.partition(b"\r\n\r\n")
    name, filename = _name.search(head), _filename.search(head)
    if not separator or name is None:
        raise ApiError(400, "A part of the form has no name.", code="invalid_form")
    if filename is not None:
        form.filename, form.content = filename[1].decode("utf-8", "replace"), content
    else:
        form.fields[name[1].decode("utf-8", "replace")] = content.decode("utf-8", "replace")
