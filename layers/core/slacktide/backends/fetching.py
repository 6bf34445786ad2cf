"""Results of a hosted batch: both files downloaded whole to the function's disk, then written to the bucket sorted by line.

The upstream writes them in any order. Collection reads objects whose ranges of lines do not overlap, so the lines are sorted
here; what they say is judged there.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import msgspec

from slacktide.backends.absences import Absences
from slacktide.backends.dialects import UpstreamJob
from slacktide.backends.downloading import LONGEST_LINE, Download, NotThereError
from slacktide.backends.protocol import ResultObject, Work
from slacktide.backends.upstream import ASK, BLOCK, Upstream
from slacktide.bucket import Bucket
from slacktide.errors import BackendError, NoAnswerError
from slacktide.ids import parse_request_id
from slacktide.keys import object_name
from slacktide.log import logger

OBJECT_LINES, OBJECT_BYTES = 10_000, 8_000_000
GONE_AFTER = 1_800  # seconds of 404 and nothing else, until a file, or the whole batch, counts as gone
UNCLEAR_AFTER = 300  # seconds in which a batch that has done something may yet name its files, or give them out whole
UNREADABLE = b'{"custom_id":""}\n'  # stands for a line that belongs to no request: Collection counts it, and its content is gone


class _Index(msgspec.Struct):
    """All objects of results: the last thing that is written, so that its presence says that they are there."""

    objects: list[ResultObject]


class _Head(msgspec.Struct):
    custom_id: str


_HEAD = msgspec.json.Decoder(_Head)


def _index_key(prefix: str) -> str:
    return prefix + "results.json"


def read_results(bucket: Bucket, prefix: str) -> Iterator[ResultObject]:
    """The objects of results below `prefix`, in the order of lines; none as long as they are not all there."""
    if _is_there(bucket, prefix):
        yield from bucket.read_json(_index_key(prefix), _Index).objects


def _is_there(bucket: Bucket, prefix: str) -> bool:
    """Listed, not asked for: to a role that may list a prefix alone, S3 answers 403 for an object that is missing."""
    return any(key == _index_key(prefix) for key, _ in bucket.list(_index_key(prefix)))


@dataclass(frozen=True, slots=True)
class Fetch:
    """One call of `fetch`."""

    upstream: Upstream
    bucket: Bucket
    work: Work
    is_late: Callable[[], bool]
    now: Callable[[], float]  # Unix seconds

    def run(self, read_job: Callable[[], UpstreamJob | None]) -> bool:
        """True when the results are in the bucket; False: go on in another invocation. Raises BackendError."""
        if _is_there(self.bucket, self.work.output_prefix):
            return True
        try:
            job = read_job()
        except BackendError:
            self._absences.interrupt("batch", "files", "output", "error")
            raise
        files = self._find_files(job)
        with tempfile.TemporaryFile() as spool:
            for kind, file_id in files.items():
                if file_id is not None and not self._download(kind, file_id, spool):
                    return False
            placed = sorted(place_lines(spool, self.work.first, self.work.last))
            self._check(placed)
            objects = list(self._write_sorted(spool, placed))
        self.bucket.write_json(_index_key(self.work.output_prefix), _Index(objects))
        return True

    def _find_files(self, job: UpstreamJob | None) -> dict[str, str | None]:
        """The files of the batch. Raises NotThereError as long as they may yet be named, or the batch be found again."""
        if job is None:
            if not self._absences.is_lasting("batch", GONE_AFTER):
                raise NotThereError(f"{self.upstream.name} does not know the ended batch now")
            logger.warning("upstream_results_gone", backend=self.upstream.name, file="batch")
            return {}
        self._absences.interrupt("batch")
        files = {"output": job.output_file_id, "error": job.error_file_id}
        if any(files.values()) or not job.claims_results:
            return files
        if not self._absences.is_lasting("files", UNCLEAR_AFTER):
            raise NotThereError(f"{self.upstream.name} does not name the files of a batch that has done something")
        logger.warning("upstream_results_unnamed", backend=self.upstream.name)
        return files

    def _download(self, kind: str, file_id: str, spool: IO[bytes]) -> bool:
        prefix = f"{self.work.output_prefix}partial/{kind}-"
        content = f"/files/{file_id}/content"
        download = Download(
            self.upstream,
            self.bucket,
            content,
            prefix,
            spool,
            lambda: self._absences.is_lasting(f"{kind}-end", UNCLEAR_AFTER),
            self._listed_size(file_id),
        )
        try:
            is_whole = download.run(self.is_late)
        except NotThereError:
            if not self._absences.is_lasting(kind, GONE_AFTER):
                raise
            logger.warning("upstream_results_gone", backend=self.upstream.name, file=kind)
            return True
        except BackendError:
            self._absences.interrupt(kind)
            raise
        self._absences.interrupt(kind)
        return is_whole

    def _check(self, placed: list[tuple[int, int, int]]) -> None:
        """Raise NoAnswerError as long as something else, such as an error in JSON, may have come in place of the files."""
        if not placed or any(length for _, _, length in placed) or self._absences.is_lasting("requests", UNCLEAR_AFTER):
            return
        raise NoAnswerError(f"{self.upstream.name} sends results in which no line is of the job")

    def _listed_size(self, file_id: str) -> int | None:
        """What the upstream says of the file's size apart from its content; None when it says nothing."""
        try:
            answer = self.upstream.call("GET", f"/files/{file_id}", "look at file", ASK)
        except BackendError:
            return None
        value = answer.json() if answer.is_good else None
        size = value.get("bytes") if isinstance(value, dict) else None
        return size if isinstance(size, int) else None

    @property
    def _absences(self) -> Absences:
        return Absences(self.bucket, self.work.output_prefix, self.now)

    def _write_sorted(self, spool: IO[bytes], placed: list[tuple[int, int, int]]) -> Iterator[ResultObject]:
        """The lines of the spool as objects of bounded size; all lines of one request are in one object, as they came in."""
        start = 0
        while start < len(placed):
            end, size = start, 0
            while end < len(placed):
                line, _, length = placed[end]
                is_full = end - start >= OBJECT_LINES or size + length > OBJECT_BYTES
                if end > start and is_full and line != placed[end - 1][0]:
                    break
                size += length
                end += 1
            yield self._write_object(spool, placed[start:end])
            start = end

    def _write_object(self, spool: IO[bytes], placed: list[tuple[int, int, int]]) -> ResultObject:
        first, last = placed[0][0], placed[-1][0]
        key = f"{self.work.output_prefix}sorted/{object_name(first, last)}"
        spool.flush()
        content = b"".join(_line_at(spool.fileno(), offset, length) for _, offset, length in placed)
        self.bucket.write(key, content)
        return ResultObject(key, len(content), first, last)


def place_lines(spool: IO[bytes], first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """The lines of a file as line number, offset and length in bytes.

    Blank ones are left out. A line that names no request from `first` to `last` is at line `first` with length 0.
    """
    spool.seek(0)
    offset = 0
    while text := spool.readline(LONGEST_LINE):
        length = len(text)
        is_cut = length == LONGEST_LINE and not text.endswith(b"\n")
        while is_cut and (rest := spool.readline(BLOCK)):
            length += len(rest)
            is_cut = not rest.endswith(b"\n")
        if length > LONGEST_LINE or text.strip():
            line = _line_of(text) if length <= LONGEST_LINE else 0
            yield (line, offset, length) if first <= line <= last else (first, offset, 0)
        offset += length


def _line_of(text: bytes) -> int:
    """The line number in a result's custom_id; 0 for what is no result of ours."""
    try:
        request = parse_request_id(_HEAD.decode(text).custom_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    return request.line if request else 0


def _line_at(file: int, offset: int, length: int) -> bytes:
    """A line of a file that is open under that number: without the buffer that a seek would fill for each."""
    if not length:
        return UNREADABLE
    text = os.pread(file, length, offset)
    return text if text.endswith(b"\n") else text + b"\n"
