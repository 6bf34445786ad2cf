"""Many lines kept as objects of bounded size, and read back in order."""

import heapq
import sys
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Numbers
from dataclasses import dataclass, field
from io import BytesIO
from itertools import accumulate
from typing import Generic, TypeVar

from slacktide.batch import Part
from slacktide.bucket import Bucket
from slacktide.reading import Window

Entry = TypeVar("Entry")

PART_LINES = 10_000
PART_BYTES = 2_500_000
MERGE_BYTES = 32 << 20  # read ahead by all open parts of a merge together
SMALLEST_RANGE, LARGEST_RANGE = 1 << 18, 4 << 20
NEVER = sys.maxsize  # behind every line


@dataclass(slots=True)
class PartWriter:
    """Gathers lines and writes them as objects; `key` names the object of a 1-based number, `write` takes it and the bytes.

    Two buffers are filled in turn, and written over: one that is given back costs its page faults, and what is left of it
    between other things costs memory. `write` may keep the bytes; those that it still has when their turn comes are copied.
    """

    write: Callable[[str, bytes], object]
    key: Callable[[int], str]
    parts: list[Part] = field(default_factory=list)
    lines: int = 0
    _buffer: BytesIO = field(default_factory=BytesIO)
    _other: BytesIO = field(default_factory=BytesIO)
    _pending: int = 0  # lines
    _bytes: int = 0
    _first: int = 0
    _last: int = 0

    @property
    def pending_bytes(self) -> int:
        """The size of what is held in memory."""
        return self._bytes

    def add(self, number: int, content: bytes) -> None:
        """Append one line, given its number in the input file; numbers rise."""
        self.extend((number,), content + b"\n")

    def extend(self, numbers: Numbers[int], text: bytes) -> None:
        """Append lines, each with its line feed, given their numbers; they stay in one object."""
        if not self._pending:
            self._first = numbers[0]
        self._bytes += self._buffer.write(text)
        self._pending += len(numbers)
        self.lines += len(numbers)
        self._last = numbers[-1]
        if self._pending >= PART_LINES or self._bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held in memory."""
        if not self._pending:
            return
        key = self.key(len(self.parts) + 1)
        self._buffer.truncate(self._bytes)
        self.write(key, self._buffer.getvalue())
        self.parts.append(Part(key, self._first, self._last, self._bytes))
        self._buffer, self._other = self._other, self._buffer
        self._buffer.seek(0)
        self._pending = self._bytes = 0

    def close(self) -> list[Part]:
        """Write what is left; answers all parts."""
        self.flush()
        return self.parts


def read_parts(bucket: Bucket, parts: list[Part], start: int = 1) -> Iterator[bytes]:
    """The lines of all parts that can hold line `start` or a later one."""
    for part in parts:
        if part.last >= start:
            yield from bucket.lines(part.key)


@dataclass(frozen=True, slots=True)
class Sequence(Generic[Entry]):
    """Parts, each in line order, and how one of their lines is read: its line number, and the entry."""

    parts: list[Part]
    read: Callable[[bytes], tuple[int, Entry]]


class Merge(Generic[Entry]):
    """Sequences of parts read side by side; a part is opened only when its lines come up. Parts may overlap.

    `next` is the line of the next entry, at the earliest: below it there is nothing to take.
    """

    def __init__(self, bucket: Bucket, sequences: Iterable[Sequence[Entry]], start: int) -> None:
        self._bucket = bucket
        wanted = [(part, sequence.read) for sequence in sequences for part in sequence.parts if part.last >= start]
        # The place in the sequences decides between entries of one line, so that every merge is the same.
        self._waiting = sorted(enumerate(wanted), key=lambda item: (item[1][0].first, item[0]), reverse=True)
        self._window = _window([part for part, _ in wanted])
        self._heads: list[tuple[int, int, Entry, Iterator[tuple[int, Entry]]]] = []  # a heap by line and place
        self._opens_at = self._next_opening()
        self.next = start

    def take(self, line: int) -> list[Entry]:
        """All entries of a line, in the order of their sequences; lines must rise from call to call."""
        taken: list[Entry] = []
        if line < self.next:
            return taken
        while self._opens_at <= line:
            order, (part, read) = self._waiting.pop()
            self._opens_at = self._next_opening()
            self._push(order, map(read, self._bucket.lines(part.key, window=self._window)))
        heads = self._heads
        while heads and heads[0][0] <= line:
            number, order, entry, rest = heads[0]
            if number == line:
                taken.append(entry)
            following = next(rest, None)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following[0], order, following[1], rest))
        self.next = min(heads[0][0] if heads else NEVER, self._opens_at)
        return taken

    def _next_opening(self) -> int:
        return self._waiting[-1][1][0].first if self._waiting else NEVER

    def _push(self, order: int, entries: Iterator[tuple[int, Entry]]) -> None:
        head = next(entries, None)
        if head is not None:
            heapq.heappush(self._heads, (head[0], order, head[1], entries))


def _window(parts: list[Part]) -> Window:
    """How each part is read: one range ahead of the one in work, so big that all that are open at once share the memory."""
    ends = sorted([(part.first, 1) for part in parts] + [(part.last + 1, -1) for part in parts])
    most = max(accumulate(step for _, step in ends), default=1)
    return Window(max(SMALLEST_RANGE, min(LARGEST_RANGE, MERGE_BYTES // (2 * most))), ahead=1)
