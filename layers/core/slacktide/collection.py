"""Collect: what a backend wrote, joined to the lines of its job by line number, checked, and kept sorted."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from slacktide.backends.protocol import ResultObject
from slacktide.batch import Job, Part, Summary
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.codes import CLASSES, Code, CodeClass, code_of_status
from slacktide.ids import parse_request_id

PART_LINES = 50_000
PART_BYTES = 32_000_000
NULL = Raw(b"null")


class Response(msgspec.Struct):
    status_code: int
    body: Raw
    request_id: str | None = None


class _Result(msgspec.Struct):
    """A result line as backends write it."""

    custom_id: str
    response: Response | None = None
    error: Raw = NULL  # msgspec knows no optional Raw


class Collected(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that came back. `code` is None for success; `error` is the backend's own text, which may quote a prompt."""

    line: int
    round: int
    response: Response | None = None
    code: Code | None = None
    error: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(msgspec.Struct):
    usage: Raw = NULL
    error: Raw = NULL


_RESULT = msgspec.json.Decoder(_Result)
_BODY = msgspec.json.Decoder(_Body)
_USAGE = msgspec.json.Decoder(_Usage)
_ANY = msgspec.json.Decoder()


class Collection:
    """Collects one job. Its state between invocations is a checkpoint in the bucket, so it can go on where another stopped."""

    def __init__(self, bucket: Bucket, job: Job, lines: Bitmap) -> None:
        self._bucket = bucket
        self._job = job
        self._lines = lines
        self._summary = Summary(parts=[])
        self._found: dict[int, Collected] = {}
        self._first = 0
        self._last = 0
        self._bytes = 0

    def run(self, objects: Iterator[ResultObject], *, after: int, is_late: Callable[[], bool]) -> int | None:
        """Collect the objects that lie behind line `after`; answers the line to go on behind, or None when all is collected."""
        if after:
            self._summary = self._bucket.read_json(self._job.keys.checkpoint(after), Summary)
        for result in objects:
            if result.first <= after:
                continue
            if self._found and (len(self._found) >= PART_LINES or self._bytes + result.bytes > PART_BYTES):
                self._write_part()
                if is_late():
                    self._bucket.write_json(self._job.keys.checkpoint(self._last), self._summary)
                    return self._last
            self._first = self._first or result.first
            self._last = result.last
            self._bytes += result.bytes
            for text in self._bucket.lines(result.key):
                self._join(text, result)
        if self._found:
            self._write_part()
        return None

    def finish(self) -> tuple[Summary, Bitmap]:
        """The summary with what is missing, and the lines that need no further round."""
        settled = Bitmap(self._lines.size)
        seen = 0
        for part in self._summary.parts:
            for text in self._bucket.lines(part.key):
                collected = msgspec.json.decode(text, type=Collected)
                seen += 1
                if collected.code is None or CLASSES[collected.code] is CodeClass.REJECTED:
                    settled.add(collected.line)
        return msgspec.structs.replace(self._summary, missing=len(self._lines) - seen), settled

    def _join(self, text: bytes, result: ResultObject) -> None:
        """Take one result line in: the first success of a line wins over anything else."""
        collected = self._classify(text, result)
        if collected is None:
            self._count(foreign=1)
            return
        known = self._found.get(collected.line)
        if known is not None:
            self._count(repeated=1)
            if known.code is None or collected.code is not None:
                return
        self._found[collected.line] = collected

    def _classify(self, text: bytes, result: ResultObject) -> Collected | None:
        """The line that a result is of and how it went; None for one that is malformed or not of this job."""
        try:
            read = _RESULT.decode(text)
            _ANY.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        request = parse_request_id(read.custom_id)
        if request is None or (request.batch_id, request.round) != (self._job.batch_id, self._job.round):
            return None
        if request.line not in self._lines or not result.first <= request.line <= result.last:
            return None
        code, message = _outcome(read)
        return Collected(request.line, request.round, read.response, code, message)

    def _write_part(self) -> None:
        key = self._job.keys.collected(self._first, self._last)
        found = [self._found[line] for line in sorted(self._found)]
        self._bucket.write(key, b"".join(msgspec.json.encode(entry) + b"\n" for entry in found))
        self._summary = msgspec.structs.replace(self._summary, parts=[*self._summary.parts, Part(key, self._first, self._last)])
        for entry in found:
            self._count(**_tally(entry))
        self._found.clear()
        self._first, self._bytes = 0, 0

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._summary, name) + count for name, count in more.items()}
        self._summary = msgspec.structs.replace(self._summary, **counts)


def _outcome(read: _Result) -> tuple[Code | None, str | None]:
    """The code of a result, None for success, and the backend's own words about it."""
    if read.response is None:
        return _code_of_error(read.error), _words(read.error)
    code = code_of_status(read.response.status_code)
    if code is not None:
        return code, _words(read.error) or _words(read.response.body)
    try:
        body = _BODY.decode(read.response.body)
    except msgspec.DecodeError:
        return Code.BACKEND_ERROR, "The backend's answer has no body."
    if bytes(body.error) != b"null":
        return Code.BACKEND_ERROR, _words(body.error)
    return None, None


def _code_of_error(error: Raw) -> Code:
    """A line without a response: rejected only where the backend says so in our own word; else it may pass in another round."""
    value = _decode(error)
    named = value.get("code") if isinstance(value, dict) else None
    return Code.BACKEND_REJECTED if named == Code.BACKEND_REJECTED else Code.BACKEND_ERROR


def _words(raw: Raw) -> str | None:
    value = _decode(raw)
    if isinstance(value, dict):
        inner = value.get("error")
        value = inner if isinstance(inner, (dict, str)) else value
    if isinstance(value, dict):
        value = value.get("message")
    return value if isinstance(value, str) else None


def _decode(raw: Raw) -> Any:
    return _ANY.decode(raw)


def _tally(entry: Collected) -> dict[str, int]:
    if entry.code is not None:
        rejected = CLASSES[entry.code] is CodeClass.REJECTED
        return {"rejected": 1} if rejected else {"transient": 1}
    usage = _usage(entry.response)
    return {"completed": 1, "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}


def _usage(response: Response | None) -> _Usage:
    """The tokens that a success states; none where it states them in another way, which is no reason to run it again."""
    try:
        return _USAGE.decode(_BODY.decode(response.body).usage) if response else _Usage()
    except msgspec.ValidationError:
        return _Usage()
