"""Results of a hosted batch: both files downloaded whole to the function's disk, and read from there sorted by line.

The upstream writes them in any order. Collection reads results whose ranges of lines do not overlap, so the lines are sorted
here; what they say is judged there. To download them once more is free, so they are kept nowhere but in what is collected.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

import msgspec

from slacktide.backends.absences import Absences
from slacktide.backends.dialects import UpstreamJob
from slacktide.backends.downloading import LONGEST_LINE, Download, NotThereError
from slacktide.backends.protocol import Results, Work
from slacktide.backends.upstream import ASK, BLOCK, Upstream
from slacktide.bucket import Bucket
from slacktide.errors import BackendError, NoAnswerError
from slacktide.ids import parse_request_id
from slacktide.log import logger

BLOCK_LINES, BLOCK_BYTES = 10_000, 8_000_000  # of lines that are collected at once
GONE_AFTER = 1_800  # seconds of 404 and nothing else, until a file, or the whole batch, counts as gone
UNCLEAR_AFTER = 300  # seconds in which a batch that has done something may yet name its files, or give them out whole
UNREADABLE = b'{"custom_id":""}'  # stands for a line that belongs to no request: Collection counts it, and its content is gone

Place = tuple[int, int, int]  # of a line in the spool: line number, offset and length in bytes


class _Head(msgspec.Struct):
    custom_id: str


_HEAD = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Fetch:
    """One way to the results of a job."""

    upstream: Upstream
    bucket: Bucket
    work: Work
    is_late: Callable[[], bool]
    now: Callable[[], float]  # Unix seconds

    @contextmanager
    def run(self, read_job: Callable[[], UpstreamJob | None]) -> Generator[Iterator[Results] | None]:
        """The results, in the order of lines; None: go on in another invocation. Raises BackendError."""
        try:
            job = read_job()
        except BackendError:
            self._absences.interrupt("batch", "files", "output", "error")
            raise
        files = self._find_files(job)
        with tempfile.TemporaryFile() as spool:
            if not all(self._download(kind, file_id, spool) for kind, file_id in files.items() if file_id is not None):
                yield None
                return
            placed = sorted(place_lines(spool, self.work.first, self.work.last))
            self._check(placed)
            spool.flush()
            yield cut_results(spool.fileno(), placed)

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

    def _check(self, placed: Sequence[Place]) -> None:
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


def cut_results(file: int, placed: Sequence[Place]) -> Iterator[Results]:
    """The lines of an open file, as results of bounded size; all lines of one request are together, as they came in."""
    start = 0
    while start < len(placed):
        end, size = start, 0
        while end < len(placed):
            line, _, length = placed[end]
            is_full = end - start >= BLOCK_LINES or size + length > BLOCK_BYTES
            if end > start and is_full and line != placed[end - 1][0]:
                break
            size += length
            end += 1
        yield Results(placed[start][0], placed[end - 1][0], size, partial(_read_lines, file, placed[start:end]))
        start = end


def _read_lines(file: int, placed: Sequence[Place]) -> Iterator[bytes]:
    for _, offset, length in placed:
        yield _line_at(file, offset, length)


def place_lines(spool: IO[bytes], first: int, last: int) -> Iterator[Place]:
    """The lines of a file.

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
    return os.pread(file, length, offset).rstrip(b"\n") if length else UNREADABLE
