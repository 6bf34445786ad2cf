"""Steps of the machines: read strictly, older versions too; waits that grow and never pass a date."""

import pytest

from slacktide.errors import EventError
from slacktide.steps import Step, grow, read_step


def test_a_step() -> None:
    event = {"v": 1, "batch_id": "b", "job_id": "j", "cursor": None, "wait_seconds": 3}
    assert read_step(event) == Step("b", job_id="j", wait_seconds=3)
    assert read_step({"batch_id": "b"}).v == 1
    assert read_step({"batch_id": "b", "later": True}).batch_id == "b"


@pytest.mark.parametrize("event", [{}, {"batch_id": 1}, {"batch_id": "b", "v": 2}, {"batch_id": "b", "cursor": 5}])
def test_a_step_that_is_none(event: dict[str, object]) -> None:
    with pytest.raises(EventError):
        read_step(event)


def test_a_step_of_a_batch_names_no_job() -> None:
    with pytest.raises(EventError, match="names no job"):
        _ = Step("b").job


def test_waits_grow_to_the_longest() -> None:
    waits, wait = [], 0
    for _ in range(12):
        wait = grow(wait, first=15, longest=300, ends=[], now=0)
        waits.append(wait)
    assert waits[:4] == [15, 22, 33, 49]
    assert waits[-1] == 300


def test_a_day_of_waits_fits_an_execution() -> None:
    now, wait, turns = 0, 0, 0
    while now < 86_400:
        wait = grow(wait, first=15, longest=300, ends=[86_400], now=now)
        now, turns = now + wait, turns + 1
    assert now == 86_400
    assert turns * 9 < 25_000 / 7, "9 events a turn; a week of them fits too"


def test_a_wait_ends_at_the_next_date() -> None:
    assert grow(200, first=15, longest=300, ends=[1_010, 1_500], now=1_000) == 10
    assert grow(200, first=15, longest=300, ends=[900], now=1_000) == 300, "a date that is over is none"
