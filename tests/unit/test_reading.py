"""Objects read in ranges: the same bytes whatever breaks, and never more in memory than the window."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import SSLError

from fakes.world import World
from slacktide.errors import ConflictError, ObjectMissingError
from slacktide.reading import BLOCK, TRIES, BrokenReadError, Reader, Window

DATA = bytes(range(251)) * 40
RESET = ResponseStreamingError(error="reset")


@dataclass
class Server:
    """Answers GetObject. `cuts` says after how many bytes the next answers break off, and how; None: not at all."""

    data: bytes = DATA
    cuts: list[tuple[int, Exception | None] | None] = field(default_factory=list)
    ignores_ranges: bool = False
    piece: int = 100
    asked: list[tuple[int, int]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def get(self, *, Range: str, IfMatch: str = "e") -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert IfMatch == "e"
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        with self.lock:
            self.asked.append((first, last))
            cut = self.cuts.pop(0) if self.cuts else None
        if self.ignores_ranges:
            return {"ETag": "e", "ContentLength": len(self.data), "Body": Body(self.data, cut, self.piece)}
        part = self.data[first : last + 1]
        told = f"bytes {first}-{first + len(part) - 1}/{len(self.data)}"
        return {"ETag": "e", "ContentRange": told, "ContentLength": len(part), "Body": Body(part, cut, self.piece)}


@dataclass
class Body:
    data: bytes
    cut: tuple[int, Exception | None] | None
    piece: int

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        end = len(self.data) if self.cut is None else self.cut[0]
        for start in range(0, end, min(size, self.piece)):
            yield self.data[start : min(end, start + min(size, self.piece))]
        if self.cut and self.cut[1]:
            raise self.cut[1]


WINDOW = Window(1_000, 2)


def read(server: Server, start: int = 0, window: Window = WINDOW) -> bytes:
    return b"".join(Reader(server.get, window).blocks(start))


CUTS = st.one_of(st.none(), st.tuples(st.integers(1, 1_500), st.sampled_from([None, RESET, OSError(), SSLError("bad record")])))


WINDOWS = st.builds(Window, st.integers(60, 4_000), st.integers(1, 5))


@given(st.integers(0, len(DATA) - 1), WINDOWS, st.lists(CUTS, max_size=12), st.booleans(), st.integers(20, 5_000))
def test_the_bytes_are_the_same_whatever_breaks(start: int, window: Window, cuts: list[Any], ignores: bool, piece: int) -> None:
    server = Server(cuts=list(cuts), ignores_ranges=ignores, piece=piece)
    if ignores:  # a whole answer that breaks before `start` brings nothing; too many of those end the reading
        server.cuts = [cut for cut in cuts if cut is None or cut[0] > start][: TRIES - 1]
    assert read(server, start, window) == DATA[start:]


@pytest.mark.parametrize("error", [RESET, ReadTimeoutError(endpoint_url="x"), ConnectionResetError(), None])
def test_a_broken_range_is_taken_up_at_the_byte_where_it_broke(error: Exception | None) -> None:
    server = Server(cuts=[(300, error)])
    assert read(server, 50) == DATA[50:]
    assert sorted(server.asked)[:2] == [(50, 1_049), (350, 1_049)]


def test_a_range_that_was_read_ahead_is_taken_up_too() -> None:
    server = Server(cuts=[None, (300, RESET)])
    assert read(server, window=Window(2_000, 1)) == DATA
    assert (2_300, 3_999) in server.asked


def test_what_brings_nothing_any_more_ends_the_reading() -> None:
    server = Server(cuts=[(300, RESET), *[(0, RESET)] * TRIES])
    with pytest.raises(BrokenReadError, match=r"behind byte 300: ResponseStreamingError"):
        read(server, window=Window(100_000, 1))
    assert len(server.asked) == TRIES


def test_progress_gives_new_tries() -> None:
    cuts = [(10, RESET), *[(0, RESET)] * (TRIES - 2)]
    assert read(Server(cuts=cuts * 3), window=Window(100_000, 1)) == DATA


def test_who_looks_at_the_beginning_alone_causes_one_request() -> None:
    server = Server()
    assert DATA.startswith(next(Reader(server.get, Window(500, 4)).blocks(0)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_is_read_ahead_than_the_window(ahead: int) -> None:
    server = Server(piece=1_000)
    taken = 0
    for block in Reader(server.get, Window(1_000, ahead)).blocks(0):
        taken += len(block)
        # The range in hand, and those ahead of it.
        assert len(server.asked) <= -(-taken // 1_000) + ahead


def test_ranges_ahead_are_read_side_by_side() -> None:
    server = Server(piece=1_000)
    meeting = threading.Barrier(4, timeout=10)
    get = server.get

    def get_together(*, Range: str, IfMatch: str = "e") -> dict[str, Any]:  # noqa: N803
        if 1_000 <= int(Range.removeprefix("bytes=").split("-")[0]) < 5_000:
            meeting.wait()  # breaks, and so fails the test, unless all four are under way at once
        return get(Range=Range, IfMatch=IfMatch)

    assert b"".join(Reader(get_together, Window(1_000, 4)).blocks(0)) == DATA


def test_a_reading_that_is_left_ends_its_threads() -> None:
    before = threading.active_count()
    blocks = Reader(Server().get, Window(100, 3)).blocks(0)
    next(blocks), next(blocks)
    assert threading.active_count() > before
    blocks.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert threading.active_count() == before


def test_an_object_that_is_replaced_meanwhile_is_not_mixed(world: World) -> None:
    world.bucket.write("k", b"a" * 3_000)
    stream = world.bucket.stream("k", window=Window(1_000, 1))
    next(stream)
    world.bucket.write("k", b"b" * 3_000)
    with pytest.raises(ConflictError):
        list(stream)


def test_a_pinned_version_is_read_to_its_end(world: World) -> None:
    version = world.s3.put_object(Key="k", Body=b"a" * 3_000)["VersionId"]
    stream = world.bucket.stream("k", version, window=Window(1_000, 1))
    begin = next(stream)
    world.bucket.write("k", b"b")
    assert begin + b"".join(stream) == b"a" * 3_000


def test_empty_and_missing_objects(world: World) -> None:
    world.bucket.write("k", b"")
    assert list(world.bucket.stream("k")) == []
    world.bucket.write("k", b"abc")
    assert list(world.bucket.stream("k", start=3)) == []
    with pytest.raises(ObjectMissingError):
        list(world.bucket.stream("none"))


def test_a_whole_answer_to_a_range_is_taken_as_what_it_is() -> None:
    for start in (0, 77, len(DATA) - 1, len(DATA), len(DATA) + 5):
        assert read(Server(ignores_ranges=True), start) == DATA[start:]
    assert read(Server(b"", ignores_ranges=True)) == b""


def test_blocks_are_small() -> None:
    server = Server(b"x" * (3 * BLOCK + 1), piece=1 << 20)
    assert max(map(len, Reader(server.get, Window(2 * BLOCK, 2)).blocks(0))) == BLOCK
