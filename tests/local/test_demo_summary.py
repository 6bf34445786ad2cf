"""The demo tells which lines ran where, and fails when one of the two backends did nothing."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from slacktide_local.accounting import Response, ResultLine
from slacktide_local.demo import find_problems
from slacktide_local.summary import JobReceipt, Outcome, format_lines, show_summary

JOBS = [
    JobReceipt(1, "together", "/v1/chat/completions", 4, 2, 3, "Expired."),
    JobReceipt(2, "sagemaker", "/v1/chat/completions", 2, 2, 5, None),
]


def outcome(jobs: list[JobReceipt]) -> Outcome:
    """Four lines, the last two of which were answered in the second round."""
    return Outcome(
        requests=[b'{"body": {"prompt": "What?"}}'] * 4,
        output=[
            ResultLine(f"batch_x.{number}.{line}", line, str(line), Response(200, {"choices": [{"text": "That."}]}))
            for line, number in ((1, 1), (2, 1), (3, 2), (4, 2))
        ],
        errors=[],
        jobs=jobs,
        dead_letters=[],
        events=[
            {"detail-type": "Job Stuck", "detail": {"data": {"job_id": "r1-j1"}}},
            {"detail-type": "Batch Completed", "detail": {"data": {"sequence": 1}}},
        ],
        folder=Path("results"),
        seconds=1,
    )


def test_the_summary_says_which_lines_ran_where_and_that_it_was_a_fake() -> None:
    console = Console(record=True, width=200, file=StringIO())
    show_summary(console, outcome(JOBS), [])
    text = console.export_text()

    assert "Round 1, the hosted backend: lines 1-2" in text
    assert "Round 2, own GPUs (a stand-in for SageMaker): lines 3-4" in text
    assert "was a fake Together on this machine" in text
    assert "Notifications: Completed" in text


def test_a_demo_without_a_fallback_or_without_a_hosted_round_is_a_failure() -> None:
    assert find_problems(outcome(JOBS), 0) == []
    assert find_problems(outcome(JOBS[:1]), 0) == ["nothing was answered by sagemaker"]
    assert find_problems(outcome(JOBS[1:]), 0) == ["nothing was answered by together"]
    assert find_problems(outcome(JOBS), 1) == ["`slacktide run` ended with exit code 1"]


@pytest.mark.parametrize(("lines", "text"), [([], ""), ([3], "3"), ([2, 1, 3, 7, 9, 10], "1-3, 7, 9-10")])
def test_lines_are_shown_as_ranges(lines: list[int], text: str) -> None:
    assert format_lines(lines) == text
