"""Ids: their shapes, their lengths, and the way back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide import ids

BATCH = "batch_" + "a" * 26


def test_batch_ids_differ_even_within_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_795_000_000_123_456_789)
    made = {ids.new_batch_id() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(ids.BATCH_ID.fullmatch(batch_id) for batch_id in made)


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=20, unique=True))
def test_batch_ids_sort_by_age_to_the_millisecond(moments: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        made: dict[int, str] = {}
        for moment in moments:
            patch.setattr(ids.time, "time_ns", lambda moment=moment: moment * 1_000_000)
            made[moment] = ids.new_batch_id()
    assert sorted(made.values()) == [made[moment] for moment in sorted(moments)]


@given(st.integers(1, 9_999), st.integers(1, 10**12 - 1))
def test_a_request_id_is_read_back(round_number: int, line: int) -> None:
    request = ids.RequestId(BATCH, round_number, line)
    assert ids.parse_request_id(str(request)) == request
    assert len(str(request)) <= 64


@pytest.mark.parametrize(
    "text", ["", "req1", BATCH, f"{BATCH}.1", f"{BATCH}.1.2.3", f"{BATCH}.1.-2", f" {BATCH}.1.2", f"{BATCH}.1.2\n"]
)
def test_a_foreign_id_is_none_of_ours(text: str) -> None:
    assert ids.parse_request_id(text) is None


def test_names_keep_the_limits() -> None:
    assert ids.job_id(2, 3) == "r2-j3"
    name = ids.upstream_name(BATCH, "r99-j9999", 99)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name), "SageMaker's rule for names of jobs"
    assert len(ids.job_execution_name(BATCH, "r99-j9999", 99)) <= 80
    assert ids.batch_execution_name(BATCH, 1) == BATCH
    assert ids.batch_execution_name(BATCH, 2) == f"{BATCH}-a2"
