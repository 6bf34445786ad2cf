"""Collect: what a backend wrote, joined to the lines of its job by line number, checked, and kept sorted."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from slacktide.backends.protocol import Results
from slacktide.batch import Job, Part, Summary
from slacktide.bitmap import Bitmap
from slacktide.bodies import EMBEDDINGS
from slacktide.bucket import Bucket
from slacktide.codes import CLASSES, Code, CodeClass, code_of_status
from slacktide.ids import parse_request_id
from slacktide.results import MESSAGES, ErrorBody, write_response, write_result

PART_LINES = 50_000
PART_BYTES = 32_000_000
NULL = Raw(b"null")


class _Response(msgspec.Struct):
    status_code: int
    body: Raw


class _Result(msgspec.Struct):
    """A result line as backends write it."""

    custom_id: str
    response: _Response | None = None
    error: Raw = NULL  # msgspec knows no optional Raw


class _Usage(msgspec.Struct):
    """The tokens of a success; None is not told."""

    prompt_tokens: Annotated[int, Meta(ge=0)] | None = None
    completion_tokens: Annotated[int, Meta(ge=0)] | None = None


class _Checkpoint(msgspec.Struct):
    """What was collected so far: the counts and parts, and the bitmaps."""

    summary: Summary
    seen: bytes
    completed: bytes
    rejected: bytes


class _Collected(msgspec.Struct, frozen=True):
    """One line that came back; `code` is None for success."""

    line: int
    text: bytes
    code: Code | None
    usage: _Usage


_RESULT = msgspec.json.Decoder(_Result)
_ANY = msgspec.json.Decoder()
_NO_USAGE = _Usage()


class Collection:
    """Collects one job. Its state between invocations is a checkpoint in the bucket, so it can go on where another stopped.

    Results may come in any order: what is in memory is written as a sorted part whenever it is `PART_LINES` or `PART_BYTES`
    big, and assembly merges parts that overlap. What outlives a part is three bits a line.
    """

    def __init__(self, bucket: Bucket, job: Job, lines: Bitmap) -> None:
        self._bucket = bucket
        self._job = job
        self._lines = lines
        self._parts: list[Part] = []
        self._counts: Counter[str] = Counter()
        self._seen = Bitmap(lines.size)
        self._completed = Bitmap(lines.size)
        self._rejected = Bitmap(lines.size)
        self._found: dict[int, bytes] = {}
        self._bytes = 0

    def run(self, objects: Iterator[Results], *, after: int, is_late: Callable[[], bool]) -> int | None:
        """Collect the objects that lie behind line `after`; answers the line to go on behind, or None when all is collected."""
        if after:
            self._restore(after)
        last = 0
        for result in objects:
            if result.first <= after:
                continue
            if self._found and self._bytes + result.size > PART_BYTES:
                self._write_part()  # so that only an object that is too big by itself makes parts that overlap
            if last and not self._found and is_late():
                self._bucket.write_json(self._job.keys.checkpoint(last), self._checkpoint())
                return last
            last = result.last
            for text in result.lines():
                self._join(text, result)
        if self._found:
            self._write_part()
        return None

    def finish(self) -> tuple[Summary, Bitmap]:
        """The summary with what is missing, and the lines that need no further round."""
        self._counts["missing"] = len(self._lines) - len(self._seen)
        return self._summary(), self._completed | self._rejected

    def _join(self, text: bytes, result: Results) -> None:
        """Take one result line in: the first success of a line wins over anything else."""
        collected = self._classify(text, result)
        if collected is None:
            self._counts["foreign"] += 1
            return
        line = collected.line
        if line in self._seen:
            self._counts["repeated"] += 1
            if collected.code is not None or line in self._completed:
                return
            self._forget_failure(line)
        self._note(collected)
        self._bytes += len(collected.text) - len(self._found.get(line, b""))
        self._found[line] = collected.text
        if len(self._found) >= PART_LINES or self._bytes >= PART_BYTES:
            self._write_part()

    def _classify(self, text: bytes, result: Results) -> _Collected | None:
        """The line that a result is of and how it went; None for one that is malformed or not of this job."""
        try:
            read = _RESULT.decode(text)
            value = _ANY.decode(text)  # the typed decoder looks neither at UTF-8 nor at numbers of what it skips
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        request = parse_request_id(read.custom_id)
        if request is None or (request.batch_id, request.round) != (self._job.batch_id, self._job.round):
            return None
        if request.line not in self._lines or not result.first <= request.line <= result.last:
            return None
        response, error = read.response, _find_error(read.response, value)
        told = write_response(request, response.status_code, bytes(response.body)) if response else None
        usage = _NO_USAGE if error else _usage(value["response"]["body"])
        return _Collected(request.line, write_result(request, told, error), error.code if error else None, usage)

    def _note(self, collected: _Collected) -> None:
        self._seen.add(collected.line)
        if collected.code is None:
            self._completed.add(collected.line)
            self._counts["completed"] += 1
            self._meter(collected.usage)
        elif CLASSES[collected.code] is CodeClass.REJECTED:
            self._rejected.add(collected.line)
            self._counts["rejected"] += 1
        else:
            self._counts["transient"] += 1

    def _meter(self, usage: _Usage) -> None:
        """Count the tokens of a success: of its prompt, and of its answer where that is a text."""
        has_answer = self._job.endpoint != EMBEDDINGS
        self._counts["unmetered"] += usage.prompt_tokens is None or (has_answer and usage.completion_tokens is None)
        self._counts["prompt_tokens"] += usage.prompt_tokens or 0
        self._counts["completion_tokens"] += usage.completion_tokens or 0

    def _forget_failure(self, line: int) -> None:
        """An earlier failure counts no more; if a part has it already, assembly prefers the success."""
        self._counts["rejected" if line in self._rejected else "transient"] -= 1

    def _write_part(self) -> None:
        key = self._job.keys.collected(len(self._parts) + 1)
        lines = sorted(self._found)
        self._bucket.write(key, b"".join(self._found[line] + b"\n" for line in lines))
        self._parts.append(Part(key, lines[0], lines[-1]))
        self._found.clear()
        self._bytes = 0

    def _summary(self) -> Summary:
        return Summary(parts=self._parts, **self._counts)

    def _checkpoint(self) -> _Checkpoint:
        return _Checkpoint(self._summary(), bytes(self._seen), bytes(self._completed), bytes(self._rejected))

    def _restore(self, after: int) -> None:
        checkpoint = self._bucket.read_json(self._job.keys.checkpoint(after), _Checkpoint)
        counts = msgspec.to_builtins(checkpoint.summary)
        self._parts = checkpoint.summary.parts
        self._counts = Counter({name: count for name, count in counts.items() if name not in {"parts", "v"}})
        bitmaps = checkpoint.seen, checkpoint.completed, checkpoint.rejected
        self._seen, self._completed, self._rejected = (Bitmap(self._lines.size, data) for data in bitmaps)


def _find_error(response: _Response | None, value: Any) -> ErrorBody | None:
    """Why a result is none, in the backend's own words where it has some: they may quote a prompt. None for success."""
    error = value.get("error")
    if response is None:
        return _error(_code_of_error(error), _words(error))
    body = value["response"]["body"]
    code = code_of_status(response.status_code)
    if code is not None:
        return _error(code, _words(error) or _words(body))
    if not isinstance(body, dict):
        return _error(Code.BACKEND_ERROR, "The backend's answer has no body.")
    inside: Any = body.get("error")
    return None if inside is None else _error(Code.BACKEND_ERROR, _words(inside))


def _error(code: Code, words: str | None) -> ErrorBody:
    return ErrorBody(code, words or MESSAGES[code])


def _code_of_error(error: Any) -> Code:
    """A line without a response: rejected only where the backend says so in our own word; else it may pass in another round."""
    named = error.get("code") if isinstance(error, dict) else None
    return Code.BACKEND_REJECTED if named == Code.BACKEND_REJECTED else Code.BACKEND_ERROR


def _words(value: Any) -> str | None:
    if isinstance(value, dict):
        inner = value.get("error")
        value = inner if isinstance(inner, (dict, str)) else value
    if isinstance(value, dict):
        value = value.get("message")
    return value if isinstance(value, str) else None


def _usage(body: Any) -> _Usage:
    """The tokens that a success states; none where it states them in another way, which is no reason to run it again."""
    try:
        return msgspec.convert(body.get("usage") or {}, _Usage)
    except msgspec.ValidationError:
        return _NO_USAGE
