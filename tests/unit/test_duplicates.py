"""Repeated custom_ids, also where hashes meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide import duplicates
from slacktide.duplicates import CustomIds, confirm


def repeated(custom_ids: list[str | None]) -> dict[int, int]:
    noted = CustomIds()
    for line, custom_id in enumerate(custom_ids, 1):
        if custom_id is not None:
            noted.add(custom_id, line)
    suspects = noted.suspects()
    return confirm(suspects, enumerate(custom_ids, 1)) if suspects else {}


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


def test_a_million_lines_take_12_bytes_each() -> None:
    noted = CustomIds()
    for line in range(20_000):
        noted.add(f"id{line}", line)
    columns = [*noted._hashes, *noted._lines]
    assert sum(column.itemsize * len(column) for column in columns) == 12 * 20_000
    assert noted.suspects() == {}
