"""Many lines kept as objects of bounded size, and read back in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import msgspec

from slacktide.batch import Part
from slacktide.bucket import Bucket


class Numbered(Protocol):
    """An entry that belongs to a line."""

    @property
    def line(self) -> int: ...


Entry = TypeVar("Entry", bound=Numbered)

PART_LINES = 10_000
PART_BYTES = 8_000_000


@dataclass(slots=True)
class PartWriter:
    """Gathers lines and writes them as objects; `key` names the object of a 1-based number."""

    bucket: Bucket
    key: Callable[[int], str]
    parts: list[Part] = field(default_factory=list)
    lines: int = 0
    _pending: list[bytes] = field(default_factory=list)
    _bytes: int = 0
    _first: int = 0
    _last: int = 0

    def add(self, number: int, content: bytes) -> None:
        """Append one line, given its number in the input file; numbers rise."""
        if not self._pending:
            self._first = number
        self._pending.append(content)
        self._bytes += len(content) + 1
        self.lines += 1
        self._last = number
        if len(self._pending) >= PART_LINES or self._bytes >= PART_BYTES:
            self._write()

    def close(self) -> list[Part]:
        """Write what is left; answers all parts."""
        if self._pending:
            self._write()
        return self.parts

    def _write(self) -> None:
        key = self.key(len(self.parts) + 1)
        self.bucket.write(key, b"\n".join(self._pending) + b"\n")
        self.parts.append(Part(key, self._first, self._last, self._bytes))
        self._pending.clear()
        self._bytes = 0


def read_parts(bucket: Bucket, parts: list[Part], start: int = 1) -> Iterator[bytes]:
    """The lines of all parts that can hold line `start` or a later one."""
    for part in parts:
        if part.last >= start:
            yield from bucket.lines(part.key)


class Merge(Generic[Entry]):
    """Several sequences of parts, each sorted by line, read side by side; parts are opened only when their lines come up."""

    def __init__(self, bucket: Bucket, sequences: list[list[Part]], kind: type[Entry], start: int) -> None:
        self._bucket = bucket
        self._decoder = msgspec.json.Decoder(kind)
        waiting = [part for parts in sequences for part in parts if part.last >= start]
        self._waiting = sorted(waiting, key=lambda part: part.first, reverse=True)
        self._open: list[tuple[Entry, Iterator[Entry]]] = []

    def take(self, line: int) -> list[Entry]:
        """All entries of a line; lines must rise from call to call."""
        while self._waiting and self._waiting[-1].first <= line:
            self._advance(self._read(self._waiting.pop()))
        taken: list[Entry] = []
        if all(entry.line > line for entry, _ in self._open):
            return taken
        current, self._open = self._open, []
        for entry, rest in current:
            head, entries = entry, rest
            while head is not None and head.line <= line:
                if head.line == line:
                    taken.append(head)
                head = next(entries, None)
            if head is not None:
                self._open.append((head, entries))
        return taken

    def _read(self, part: Part) -> Iterator[Entry]:
        for text in self._bucket.lines(part.key):
            yield self._decoder.decode(text)

    def _advance(self, entries: Iterator[Entry]) -> None:
        head = next(entries, None)
        if head is not None:
            self._open.append((head, entries))
