"""A sample of a file of any length: evenly spread, of bounded size, and honest about how far it may be off."""

import random
from itertools import pairwise

import pytest

from slacktide.sampling import LEAST_SAMPLE, SAMPLE_BYTES, Sample, project


def fill(sizes: list[int], chunk: int = 7) -> Sample:
    """A sample of lines of these sizes, each beginning with its number."""
    sample = Sample()
    lines = [b"%d " % number + b"x" * size + b"\n" for number, size in enumerate(sizes)]
    for start in range(0, len(lines), chunk):
        part = lines[start : start + chunk]
        sample.add(b"".join(part), len(part))
    return sample


@pytest.mark.parametrize("chunk", [1, 3, 1_000])
def test_a_small_file_is_kept_whole(chunk: int) -> None:
    sample = fill([10] * 100, chunk)
    assert sample.is_whole
    assert [int(line.split()[0]) for line in sample.lines] == list(range(100))
    assert project(sample, [2] * 100) is not None
    found = project(sample, [2] * 100)
    assert found is not None
    assert (found.value, found.error) == (200, 0)


@pytest.mark.parametrize("chunk", [1, 7, 128])
def test_of_a_big_one_every_nth_line_is_kept(chunk: int) -> None:
    sample = fill([SAMPLE_BYTES // 1_000] * 9_000, chunk)
    numbers = [int(line.split()[0]) for line in sample.lines]
    (step,) = {later - earlier for earlier, later in pairwise(numbers)}
    assert numbers == list(range(0, 9_000, step))
    assert SAMPLE_BYTES / 2.1 < sum(map(len, sample.lines)) <= SAMPLE_BYTES
    assert (sample.total, sample.is_whole) == (9_000, False)


def test_the_truth_lies_within_the_error_as_often_as_is_said() -> None:
    dice = random.Random(7)  # noqa: S311 - a test's dice
    hits = 0
    for _ in range(60):
        sizes = [dice.randint(200, 4_000) for _ in range(3_000)]
        counts = [round(size / dice.uniform(3, 5)) for size in sizes]
        sample = fill(sizes, 128)
        assert not sample.is_whole
        found = project(sample, [counts[int(line.split()[0])] for line in sample.lines])
        assert found is not None
        assert 0 < found.error < 0.02 * found.value
        hits += abs(found.value - sum(counts)) <= found.error
    assert hits >= 52  # of 60; 95 of 100 would be 57


def test_too_few_lines_tell_nothing() -> None:
    sample = fill([SAMPLE_BYTES // 8] * 100)
    assert len(sample.lines) < LEAST_SAMPLE
    assert project(sample, [1] * len(sample.lines)) is None


def test_lines_bigger_than_a_sample_leave_one() -> None:
    sample = fill([SAMPLE_BYTES * 2] * 3)
    assert len(sample.lines) == 1
    assert sample.total == 3
