"""The demo succeeds only if every line is accounted for, exactly once."""

import pytest

from slacktide_local.accounting import ErrorDetail, Response, ResultLine, find_unaccounted, split_lines


def answers(*lines: int) -> list[ResultLine]:
    return [ResultLine(id=f"batch_x.1.{line}", line=line, custom_id=str(line), response=Response(200, {})) for line in lines]


def faults(*lines: int) -> list[ResultLine]:
    return [ResultLine(id=f"batch_x.1.{line}", line=line, custom_id=None, error=ErrorDetail("c", "m")) for line in lines]


def test_a_whole_account_has_no_problems_and_repeated_dead_letters_are_fine() -> None:
    assert find_unaccounted(4, output=answers(1, 3), errors=faults(2, 4), dead_letters=[4, 2, 2]) == []


@pytest.mark.parametrize(
    ("output", "errors", "dead_letters", "problem"),
    [
        ([1, 2], [], [], "line 3 is in neither file"),
        ([1, 2, 3], [3], [3], "line 3 is there 2 times"),
        ([1, 2, 3, 4], [], [], "there is a line 4, the input has 3"),
        ([1, 3, 2], [], [], "output.jsonl is not in input order"),
        ([1], [3, 2], [2, 3], "errors.jsonl is not in input order"),
        ([1, 2], [3], [], "error line 3 has no dead-letter message"),
        ([1, 2, 3], [], [2], "a dead-letter message names line 2, which has no error"),
    ],
)
def test_each_gap_is_named(output: list[int], errors: list[int], dead_letters: list[int], problem: str) -> None:
    found = find_unaccounted(3, output=answers(*output), errors=faults(*errors), dead_letters=dead_letters)
    assert found == [problem]


def test_a_lines_round_is_part_of_its_id() -> None:
    assert [ResultLine(id=f"batch_x.{number}.7", line=7, custom_id=None).round for number in (0, 12)] == [0, 12]


def test_lines_end_at_line_feeds_only() -> None:
    assert split_lines("a\u2028b\rc\nd".encode()) == ["a\u2028b\rc".encode(), b"d"]
    assert split_lines(b"a\n\nb\n") == [b"a", b"", b"b"]
