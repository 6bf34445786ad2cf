"""Lines kept as objects of bounded size, and read back side by side."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.world import World
from slacktide import parts
from slacktide.batch import Part
from slacktide.parts import Merge, PartWriter, Sequence, read_parts


class Entry(msgspec.Struct):
    line: int
    source: int = 0


def read(text: bytes) -> tuple[int, Entry]:
    entry = msgspec.json.decode(text, type=Entry)
    return entry.line, entry


def write(world: World, name: str, numbers: list[int], source: int = 0) -> list[Part]:
    writer = PartWriter(world.bucket.write, lambda number: f"{name}/{number}")
    for number in numbers:
        writer.add(number, msgspec.json.encode(Entry(number, source)))
    return writer.close()


def test_parts_are_bounded_by_lines_and_by_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_LINES", 2)
    assert [(part.first, part.last) for part in write(world, "a", [1, 5, 6, 9, 12])] == [(1, 5), (6, 9), (12, 12)]
    monkeypatch.setattr(parts, "PART_BYTES", 10)
    assert [(part.first, part.last) for part in write(world, "b", [1, 2])] == [(1, 1), (2, 2)]
    assert write(world, "c", []) == []
    assert world.s3.keys("c") == []


def test_parts_are_read_from_the_one_that_can_hold_a_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_LINES", 2)
    written = write(world, "a", [1, 2, 3, 4, 5])
    assert [json.loads(text)["line"] for text in read_parts(world.bucket, written, 4)] == [3, 4, 5]


@given(st.lists(st.sets(st.integers(1, 30)), max_size=4), st.integers(1, 30), st.integers(1, 4))
def test_a_merge_finds_every_entry_of_a_line(sources: list[set[int]], start: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_LINES", size)
        world = World()
        written = [write(world, f"s{number}", sorted(lines), number) for number, lines in enumerate(sources)]
        merge = Merge(world.bucket, [Sequence(parts, read) for parts in written], start)
        for line in range(start, 31):
            found = [entry.source for entry in merge.take(line)]
            assert found == [number for number, lines in enumerate(sources) if line in lines]


@given(st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(1, 30), min_size=1)), max_size=8), st.integers(1, 30))
def test_a_merge_takes_parts_that_overlap(written: list[tuple[int, set[int]]], start: int) -> None:
    """Each part has its sequence; entries of a line come in the order of sequences, then of parts."""
    world = World()
    sequences: dict[int, list[Part]] = {0: [], 1: [], 2: []}
    for number, (sequence, lines) in enumerate(written):
        sequences[sequence] += write(world, f"p{number}", sorted(lines), number)
    merge = Merge(world.bucket, [Sequence(listed, read) for listed in sequences.values()], start)
    order = sorted(range(len(written)), key=lambda number: written[number][0])
    for line in range(start, 31):
        held = [number for number in order if line in written[number][1]]
        assert merge.next <= line or not held, "nothing is below `next`"
        assert [entry.source for entry in merge.take(line)] == held


def test_parts_that_are_open_at_once_share_the_memory() -> None:
    beside, after = [Part("k", 1, 100)] * 64, [Part("k", n, n) for n in range(1, 65)]
    assert 64 * 2 * parts._window(beside).range_bytes == parts.MERGE_BYTES
    assert parts._window(after).range_bytes == parts.LARGEST_RANGE
    assert parts._window([]).range_bytes == parts.LARGEST_RANGE


def test_a_merge_opens_a_part_only_when_its_lines_come_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_LINES", 1)
    merge = Merge(world.bucket, [Sequence(write(world, "a", [1, 10]), read)], 1)
    with world.wire.invocation("test"):
        assert len(merge.take(1)) == 1
        assert len(world.wire.calls) == 1
        assert merge.take(9) == []
        assert len(world.wire.calls) == 1
        assert len(merge.take(10)) == 1
