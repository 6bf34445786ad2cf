"""Repeated custom_ids, also where hashes meet."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide import duplicates
from slacktide.duplicates import CustomIds


def repeated(custom_ids: list[str | None]) -> dict[int, int]:
    noted = CustomIds()
    noted.extend(custom_id for custom_id in custom_ids if custom_id is not None)
    pairs = list(noted.repeated(lambda: enumerate(custom_ids, 1)))
    assert pairs == sorted(pairs), "in line order"
    return dict(pairs)


def expected(custom_ids: list[str | None]) -> dict[int, int]:
    first: dict[str, int] = {}
    found: dict[int, int] = {}
    for line, custom_id in enumerate(custom_ids, 1):
        if custom_id is not None and first.setdefault(custom_id, line) != line:
            found[line] = first[custom_id]
    return found


IDS = st.lists(st.none() | st.sampled_from("abcdefgh"), max_size=30)


@given(IDS)
def test_every_later_line_names_the_first(custom_ids: list[str | None]) -> None:
    assert repeated(custom_ids) == expected(custom_ids)


@pytest.mark.parametrize("hashes", [1, 2])
@given(custom_ids=IDS)
def test_ids_that_share_a_hash_are_told_apart(hashes: int, custom_ids: list[str | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "hash", lambda text: ord(text) % hashes, raising=False)
        assert repeated(custom_ids) == expected(custom_ids)


@given(custom_ids=IDS)
def test_few_ids_at_once_find_the_same(custom_ids: list[str | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "MOST_AT_ONCE", 1)
        assert repeated(custom_ids) == expected(custom_ids)


def test_lines_take_8_bytes_each_and_no_second_look_without_need() -> None:
    noted = CustomIds()
    noted.extend(f"id{line}" for line in range(20_000))
    assert sum(bucket.itemsize * len(bucket) for bucket in noted._buckets) == 8 * 20_000

    def read_ids() -> list[tuple[int, str | None]]:
        pytest.fail("no two hashes are equal")

    assert list(noted.repeated(read_ids)) == []


def test_memory_stays_flat_when_every_id_stands_twice() -> None:
    custom_ids = [f"id{line}" for line in range(30_000)] * 2
    looks = 0

    def read_ids() -> Iterator[tuple[int, str | None]]:
        nonlocal looks
        looks += 1
        yield from enumerate(custom_ids, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "MOST_AT_ONCE", 10_000)
        noted = CustomIds()
        noted.extend(custom_ids)
        assert list(noted.repeated(read_ids)) == [(line + 30_000, line) for line in range(1, 30_001)]
    assert looks == 3


def test_repeated_lines_take_the_place_of_hashes() -> None:
    """Nearly every line repeats one of many ids: 8 bytes a line for the hashes, or for what is found, not for both."""
    lines, most = 160_000, 12
    custom_ids = [f"id{line % 20_000}" for line in range(lines)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "MOST_AT_ONCE", 1_000)
        tracemalloc.start()
        noted = CustomIds()
        for first in range(0, lines, 100):
            noted.extend(custom_ids[first : first + 100])
        found = sum(1 for _ in noted.repeated(lambda: enumerate(custom_ids, 1)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found == lines - 20_000
    assert peak < most * lines + 300_000, peak
