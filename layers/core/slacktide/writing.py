"""Objects written while the work goes on: an upload waits for the network, and what makes the next object need not."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from slacktide.bucket import Bucket

MOST_UNDER_WAY = 5_300_000  # bytes: two parts, one for each writer; an object of more goes alone
WRITERS = 2


@dataclass(slots=True)
class Writes:
    """Objects on their way into the bucket; as a context, all of them are there at its end, or it raises what kept one from it.

    They may arrive in another order than that of the calls: keys that are written twice are to be waited for.
    """

    bucket: Bucket
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS))
    _pending: deque[tuple[Future[str], int]] = field(default_factory=deque[tuple[Future[str], int]])
    _bytes: int = 0  # of what is pending

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, key: str, data: bytes) -> None:
        """Begin to write an object, once those before it have left room. Raises what kept one of them from being written."""
        while self._pending and (self._bytes + len(data) > MOST_UNDER_WAY or self._pending[0][0].done()):
            self._settle()
        self._pending.append((self._pool.submit(self.bucket.write, key, data), len(data)))
        self._bytes += len(data)

    def wait(self) -> None:
        """Until all that was begun is there. Raises what kept one of them from being written."""
        while self._pending:
            self._settle()

    def _settle(self) -> None:
        written, size = self._pending.popleft()
        self._bytes -= size
        written.result()
