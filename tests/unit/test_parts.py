"""Lines kept as objects of bounded size, and read back side by side."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.world import World
from slacktide import parts
from slacktide.batch import Part
from slacktide.parts import Merge, PartWriter, read_parts


class Entry(msgspec.Struct):
    line: int
    source: int = 0


def write(world: World, name: str, numbers: list[int], source: int = 0) -> list[Part]:
    writer = PartWriter(world.bucket, lambda number: f"{name}/{number}")
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
        sequences = [write(world, f"s{number}", sorted(lines), number) for number, lines in enumerate(sources)]
        merge = Merge(world.bucket, sequences, Entry, start)
        for line in range(start, 31):
            found = sorted(entry.source for entry in merge.take(line))
            assert found == [number for number, lines in enumerate(sources) if line in lines]


def test_a_merge_opens_a_part_only_when_its_lines_come_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_LINES", 1)
    merge = Merge(world.bucket, [write(world, "a", [1, 10])], Entry, 1)
    with world.wire.invocation("test"):
        assert len(merge.take(1)) == 1
        assert len(world.wire.calls) == 1
        assert merge.take(9) == []
        assert len(world.wire.calls) == 1
        assert len(merge.take(10)) == 1
