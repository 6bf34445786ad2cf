"""A bitmap is a set of line numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide.bitmap import Bitmap

SIZE = 200
LINES = st.sets(st.integers(1, SIZE))


def bitmap(lines: set[int], size: int = SIZE) -> Bitmap:
    made = Bitmap(size)
    for line in lines:
        made.add(line)
    return made


@given(LINES, LINES)
def test_it_is_a_set(a: set[int], b: set[int]) -> None:
    assert set(bitmap(a)) == a
    assert list(bitmap(a)) == sorted(a)
    assert len(bitmap(a)) == len(a)
    assert set(bitmap(a) | bitmap(b)) == a | b
    assert set(bitmap(a) & bitmap(b)) == a & b
    assert set(bitmap(a) - bitmap(b)) == a - b
    assert Bitmap(SIZE, bytes(bitmap(a))) == bitmap(a)
    assert all((line in bitmap(a)) == (line in a) for line in range(-1, SIZE + 9))


@given(LINES, st.integers(1, SIZE), st.integers(1, SIZE))
def test_between(lines: set[int], first: int, last: int) -> None:
    assert set(bitmap(lines).between(first, last)) == {line for line in lines if first <= line <= last}


@given(st.integers(0, 100))
def test_full(size: int) -> None:
    assert list(Bitmap.full(size)) == list(range(1, size + 1))
    assert not Bitmap.full(size) - Bitmap.full(size)


@given(st.integers(0, 50), st.integers(0, 100))
def test_it_grows_and_never_shrinks(small: int, big: int) -> None:
    grown = Bitmap.full(small)
    grown.grow(big)
    assert grown.size == max(small, big)
    assert list(grown) == list(range(1, small + 1))
    assert len(bytes(grown)) == (grown.size + 7) // 8


def test_what_does_not_fit_is_refused() -> None:
    for line in (0, -1, 9):
        with pytest.raises(ValueError, match="not between"):
            Bitmap(8).add(line)
    with pytest.raises(ValueError, match="has 2 bytes"):
        Bitmap(9, b"1")
    with pytest.raises(ValueError, match="do not go together"):
        _ = Bitmap(8) | Bitmap(9)
    with pytest.raises(TypeError):
        hash(Bitmap(1))


@given(st.sets(st.integers(1, 300), min_size=1), st.sets(st.integers(1, 300)))
def test_many_lines_at_once_are_those_added_one_by_one(lines: set[int], before: set[int]) -> None:
    one_by_one, at_once = Bitmap(300), Bitmap(300)
    for line in before:
        one_by_one.add(line)
        at_once.add(line)
    for line in lines:
        one_by_one.add(line)
    first, last = min(lines), max(lines)
    at_once.add_flags(first, bytes(line in lines for line in range(first, last + 1)))
    assert at_once == one_by_one
    at_once.add_range(min(lines), max(lines))
    assert list(at_once.between(min(lines), max(lines))) == list(range(min(lines), max(lines) + 1))
    assert at_once - at_once.between(min(lines), max(lines)) == one_by_one - one_by_one.between(min(lines), max(lines))


def test_a_range_makes_room_for_itself() -> None:
    bitmap = Bitmap(0)
    bitmap.add_range(7, 17)
    assert (bitmap.size, list(bitmap)) == (17, list(range(7, 18)))
