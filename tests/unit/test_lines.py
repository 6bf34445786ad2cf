"""Bytes as numbered lines: whatever the blocks, whatever the line ends."""

import tracemalloc
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from slacktide.lines import Line, read_lines

LONGEST = 8


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def contents(data: bytes, longest: int = 100) -> list[tuple[int, bytes | None]]:
    return [(line.number, line.content) for line in read_lines([data], longest)]


@given(
    st.lists(st.sampled_from([b"ab", b"\n", b"\r", b"\xef\xbb\xbf", b" ", b"\xc3", b"123456789"]), max_size=30),
    st.lists(st.integers(0, 999)),
)
def test_blocks_do_not_matter(pieces: list[bytes], places: list[int]) -> None:
    data = b"".join(pieces)
    assert list(read_lines(cut(data, places), LONGEST)) == list(read_lines([data], LONGEST))


@given(st.binary(max_size=60))
def test_lines_are_what_lies_between_line_feeds(data: bytes) -> None:
    pieces = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    while pieces and not pieces[-1].strip():
        pieces.pop()
    wanted = [piece.removesuffix(b"\r") if piece.strip() else b"" for piece in pieces]
    assert contents(data) == list(enumerate(wanted, 1))


@given(
    st.lists(st.sampled_from([b"}", b"}}", b"x", b"}\r", b"\n", b"\n", b"\xef\xbb\xbf", b"123456}"]), max_size=40),
    st.lists(st.integers(0, 999), max_size=4),
)
@example([b"}", b"\n", b"123456}", b"}}", b"\n"], [])
def test_lines_that_end_as_objects_do_are_no_others(pieces: list[bytes], places: list[int]) -> None:
    data = b"".join(pieces)
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    wanted = [line.removesuffix(b"\r") for line in lines]
    found = [line.content for line in read_lines(cut(data, places), LONGEST)]
    assert found == [line if len(line) <= LONGEST else None for line in wanted]


def test_bom_crlf_and_a_missing_final_newline_are_not_content() -> None:
    assert contents(b"\xef\xbb\xbf{}\r\n[]\r\n1") == [(1, b"{}"), (2, b"[]"), (3, b"1")]


def test_blank_lines_count_only_before_others() -> None:
    assert contents(b"a\n\n \r\nb\n\n  \n\r\n") == [(1, b"a"), (2, b""), (3, b""), (4, b"b")]
    assert contents(b"\n\n") == []
    assert contents(b"") == []


def test_other_separators_are_content() -> None:
    data = "a\u2028b\x0cc\x85d".encode()
    assert contents(data) == [(1, data)]


def test_the_longest_line_fits_and_one_byte_more_does_not() -> None:
    fits = b"x" * LONGEST
    for start, end in ((b"", b""), (b"\xef\xbb\xbf", b""), (b"", b"\n"), (b"", b"\r\n"), (b"\xef\xbb\xbf", b"\r\n")):
        assert contents(start + fits + end, LONGEST) == [(1, fits)]
        assert contents(start + fits + b"x" + end, LONGEST) == [(1, None)]
    assert contents(b"a\n" + fits + b"x" * 50 + b"\nb", LONGEST) == [(1, b"a"), (2, None), (3, b"b")]


def test_a_long_line_is_counted_and_takes_no_memory() -> None:
    size = 65_536

    def blocks() -> Iterator[bytes]:
        for _ in range(800):  # 52 MB
            yield b"x" * size  # each its own
        yield b"\nend"

    tracemalloc.start()
    lines = list(read_lines(blocks(), longest=100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [Line(1, None, 800 * 65_536), Line(2, b"end", 3)]
    assert peak < 2_000_000
