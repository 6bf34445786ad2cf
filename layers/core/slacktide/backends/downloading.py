"""Download of one file of results to the function's disk, accepted only when it is whole.

A fast one lives on the disk alone; a slow one is kept in the bucket too, where another invocation takes it up again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

import httpx
import msgspec

from slacktide.backends.upstream import LONGEST_PAUSE, TRIES, Upstream
from slacktide.bucket import Bucket
from slacktide.errors import BackendError, NoAnswerError, NotSentError
from slacktide.log import logger

LONGEST_LINE = 32_000_000  # bytes; a longer one is no result
KEEP_AFTER = 60  # seconds of a download, after which it counts as slow
PIECE = 16_000_000  # bytes of a slow download that are kept at once

_ANY = msgspec.json.Decoder()


class NotThereError(NoAnswerError):
    """The file of results is not there (now)."""


@dataclass(slots=True)
class Download:
    """One file of the upstream, appended to a spool. A try that breaks off goes on where it stopped, or starts again."""

    upstream: Upstream
    bucket: Bucket
    path: str
    prefix: str
    spool: IO[bytes]
    may_be_short: Callable[[], bool]  # whether it has been cut short for so long that it is taken as it is
    listed: int | None = None  # bytes of the file by the upstream's list of files
    base: int = field(init=False)  # where the file begins in the spool
    kept: int = 0  # bytes of the file that lie in the bucket
    total: int | None = None  # bytes of the whole file, where the upstream says so
    short: list[int | None] = field(default_factory=list[int | None])  # the sizes of answers that came whole and lack their end
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.spool.seek(0, 2)
        self.started = self.upstream.clock()

    def run(self, is_late: Callable[[], bool]) -> bool:
        """True when the file is there and whole; False when it is late. Raises BackendError after TRIES without progress."""
        self._take_up()
        failures = 0
        while True:
            before = self._size
            try:
                if not self._receive(is_late):
                    self._keep(1)
                    return False
                if self._is_whole():
                    return self._end_line()
                problem = BackendError(f"{self.upstream.name} sends results that are cut short")
                if self._size == self.total:  # all that was announced came, and is not the file: nothing to go on from
                    self._start_again()
            except (NoAnswerError, NotSentError) as error:
                problem = error
            failures = failures + 1 if self._size <= before else 1
            if failures >= TRIES:
                raise problem
            self.upstream.sleep(min(LONGEST_PAUSE, 2**failures) * random.uniform(0.5, 1))  # noqa: S311 - jitter

    @property
    def _size(self) -> int:
        return self.spool.seek(0, 2) - self.base

    def _receive(self, is_late: Callable[[], bool]) -> bool:
        """Read one answer to its end; False when it is late. Raises NoAnswerError when it breaks off, or is none."""
        with self.upstream.download(self.path, self._size) as response:
            status = response.status_code
            if status == 416 and response.headers.get("Content-Range") == f"bytes */{self._size}":  # all of it is here
                self.total = self._size
                return True
            if status in {404, 410}:
                raise NotThereError(f"{self.upstream.name} does not have the results (HTTP {status})")
            is_useless = status == 206 and "Content-Encoding" in response.headers  # a part of what was encoded as a whole
            if status == 416 or is_useless:
                self._start_again()
            is_page = response.headers.get("Content-Type", "").startswith("text/html")  # of a gateway, with a status that lies
            if status not in {200, 206} or is_useless or is_page:
                raise NoAnswerError(f"{self.upstream.name} does not give out the results (HTTP {status})")
            self._begin(response)
            for block in response.iter_bytes():
                self.spool.write(block)
                if self.upstream.clock() - self.started > KEEP_AFTER:
                    self._keep(PIECE)
                if is_late():
                    return False
        return True

    def _begin(self, response: httpx.Response) -> None:
        """Find the place for the first byte, and the size of the whole."""
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdigit() and "Content-Encoding" not in response.headers else None
        if response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {self._size}-"):
            self.total = None if size is None else self._size + size
        else:
            self._start_again()
            self.total = size if response.status_code == 200 else None

    def _start_again(self) -> None:
        self.spool.truncate(self.base)
        self.spool.seek(self.base)
        self.kept = 0

    def _is_whole(self) -> bool:
        """Whether the file has the size that was said, and its last line an end.

        One that comes TRIES times of the same size and lacks its end may have been stored so: what is not there, is lost there.
        """
        if self.total is not None and self._size != self.total:
            return False
        if self._ends_well() and self._size >= (self.listed or 0):
            return True
        self.short.append(self.total)
        if self.total is not None and self.short.count(self.total) == TRIES and self.may_be_short():
            logger.warning("upstream_results_cut_short", backend=self.upstream.name)
            return True
        return False

    def _ends_well(self) -> bool:
        """Whether the last line has its line feed, or is whole JSON without one; a file without lines is none that is named."""
        size = self._size
        if not size:
            return False
        if self._last_byte() == b"\n":
            return True
        tail = min(size, LONGEST_LINE)
        self.spool.seek(self.base + size - tail)
        try:
            _ANY.decode(self.spool.read(tail).rpartition(b"\n")[2])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True

    def _end_line(self) -> bool:
        """A last line without line feed gets one, so that the next file begins on its own line."""
        if self._size and self._last_byte() != b"\n":
            self.spool.write(b"\n")
        return True

    def _last_byte(self) -> bytes:
        self.spool.seek(-1, 2)
        return self.spool.read(1)

    def _take_up(self) -> None:
        """What an earlier invocation has kept: pieces named by the byte where they begin."""
        for key, _ in self.bucket.list(self.prefix):
            if key == self._piece(self.kept):
                for block in self.bucket.stream(key):
                    self.spool.write(block)
                self.kept = self._size

    def _keep(self, least: int) -> None:
        """Keep what has come in since, in pieces, if there are at least `least` bytes."""
        while (size := min(PIECE, self._size - self.kept)) >= least:
            self.spool.seek(self.base + self.kept)
            self.bucket.write(self._piece(self.kept), self.spool.read(size), "application/octet-stream")
            self.kept += size
        self.spool.seek(0, 2)

    def _piece(self, start: int) -> str:
        return f"{self.prefix}{start:015d}"
