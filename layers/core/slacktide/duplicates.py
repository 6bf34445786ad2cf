"""Repeated custom_ids, found in 8 bytes a line: 64-bit hashes in 256 buckets, looked through at the end."""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from struct import pack

BUCKETS = 256
MOST_WAITING = 1 << 14  # hashes that are put into the buckets at once
MOST_AT_ONCE = 50_000  # ids that are held in memory while they are compared
_LINE_BITS = 31  # of 63: a file has fewer than 2^31 lines


class CustomIds:
    """The hashes of the custom_ids of a file."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(BUCKETS)]
        self._waiting: list[list[int]] = [[] for _ in range(BUCKETS)]
        self._appends = [waiting.append for waiting in self._waiting]
        self._noted = 0  # hashes that wait

    def extend(self, custom_ids: Iterable[str]) -> None:
        """Note ids."""
        appends, digests = self._appends, list(map(hash, custom_ids))
        for digest in digests:
            appends[digest & (BUCKETS - 1)](digest)
        self._noted += len(digests)
        if self._noted >= MOST_WAITING:
            self._pack()

    def _pack(self) -> None:
        """Put what waits into the buckets: many numbers at once take a third of the time."""
        for bucket, waiting in zip(self._buckets, self._waiting, strict=True):
            bucket.frombytes(pack(f"{len(waiting)}q", *waiting))
            waiting.clear()
        self._noted = 0

    def _take_buckets(self) -> "Iterator[array[int]]":
        """The buckets one after the other, each no longer kept: lines that are found below take its place in memory."""
        while self._buckets:
            yield self._buckets.pop()

    def repeated(self, read_ids: Callable[[], Iterable[tuple[int, str | None]]]) -> Iterator[tuple[int, int]]:
        """Lines whose id an earlier line has, each with the first line of that id, in line order.

        Two ids can share a hash, so the ids themselves are compared: `read_ids` gives all of them in line order. It is called
        only if hashes are equal, and again for every `MOST_AT_ONCE` hashes that are, so that memory stays flat.
        """
        self._pack()
        groups = _gather(map(_twice, self._take_buckets()))
        first, second = next(groups, set[int]()), next(groups, None)
        if second is None:
            return _compare(first, read_ids()) if first else iter(())
        # One group after the other: all of them at once would be some 70 bytes for each id that is repeated.
        packed = [array("q", map(_pack, _compare(hashes, read_ids()))) for hashes in chain((first, second), groups)]
        return map(_unpack, heapq.merge(*packed))


def _pack(pair: tuple[int, int]) -> int:
    return pair[0] << _LINE_BITS | pair[1]


def _unpack(packed: int) -> tuple[int, int]:
    return packed >> _LINE_BITS, packed & ((1 << _LINE_BITS) - 1)


def _twice(bucket: "array[int]") -> set[int]:
    """The hashes that stand in a bucket more than once."""
    seen: set[int] = set()
    twice: set[int] = set()
    if len(set(bucket)) < len(bucket):
        for digest in bucket:
            (twice if digest in seen else seen).add(digest)
    return twice


def _gather(sets: Iterable[set[int]]) -> Iterator[set[int]]:
    """The members of many sets in few sets, of `MOST_AT_ONCE` members and those of one set more."""
    gathered: set[int] = set()
    for members in sets:
        gathered |= members
        if len(gathered) >= MOST_AT_ONCE:
            yield gathered
            gathered = set()
    if gathered:
        yield gathered


def _compare(hashes: set[int], custom_ids: Iterable[tuple[int, str | None]]) -> Iterator[tuple[int, int]]:
    first_lines: dict[str, int] = {}  # only ids whose hash came up more than once
    for line, custom_id in custom_ids:
        if custom_id is not None and hash(custom_id) in hashes:
            first = first_lines.setdefault(custom_id, line)
            if first != line:
                yield line, first
