"""The end of the demo, for a person: what was asked and answered, what was wrong, and what to try next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from slacktide_local.accounting import ResultLine

NAMES = {"together": "the hosted backend", "sagemaker": "own GPUs (a stand-in for SageMaker)"}
FAKE = (
    "The hosted backend was a fake Together on this machine (docs/fake-together.md). By its script two lines of a batch fail, "
    "and it expires when 60 % of it is done; the engine that answered is the same as behind the GPUs' stand-in."
)
_SHOWN = 12  # rows of the table of answers
_LONGEST = 160  # characters of a question or an answer that are shown


class JobReceipt(msgspec.Struct, frozen=True):
    """What the receipt says of one job."""

    round: int
    backend: str
    endpoint: str
    requests: int
    completed: int | None
    seconds: int | None
    reason: str | None


@dataclass(frozen=True)
class Outcome:
    """All that a demo run left behind."""

    requests: Sequence[bytes]
    output: Sequence[ResultLine]
    errors: Sequence[ResultLine]
    jobs: Sequence[JobReceipt]
    dead_letters: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    folder: Path
    seconds: float


def show_summary(console: Console, outcome: Outcome, problems: Sequence[str]) -> None:
    """Print the whole summary."""
    _show_answers(console, outcome)
    _show_jobs(console, outcome)
    _show_errors(console, outcome)
    _show_queues(console, outcome)
    _show_counts(console, outcome, problems)


def find_question(request: bytes) -> str:
    """Return what a request asks: the last message, the prompt or the input of its body; empty when it has none."""
    try:
        body = msgspec.json.decode(request)["body"]
        asked = body["messages"][-1]["content"] if "messages" in body else body.get("prompt", body.get("input", ""))
    except (ValueError, LookupError, TypeError):
        return ""
    return str(asked)


def find_answer(result: ResultLine) -> str:
    """Return the text of an answer, or a word on what else it is."""
    body = result.response.body if result.response else {}
    try:
        choice = body["choices"][0]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])
    except (LookupError, TypeError):
        return f"({body.get('object', 'no text')})"


def _show_answers(console: Console, outcome: Outcome) -> None:
    table = Table(title="Real answers", title_justify="left", title_style="bold", show_lines=True, expand=True)
    table.add_column("line", justify="right")
    table.add_column("request", ratio=1)
    table.add_column("answer", ratio=1, style="green")
    table.add_column("tokens", justify="right")
    table.add_column("by")
    backends = {job.round: job.backend for job in outcome.jobs}  # the demo has one model, so each round has one backend
    for result in _spread(outcome.output, _SHOWN):
        usage = result.response.body.get("usage") if result.response else None
        question = find_question(outcome.requests[result.line - 1])
        tokens = str((usage or {}).get("total_tokens", ""))
        answer = Text(_shorten(find_answer(result)))
        table.add_row(str(result.line), Text(_shorten(question)), answer, tokens, backends.get(result.round, "?"))
    console.print(table)
    if len(outcome.output) > _SHOWN:
        console.print(f"… {_SHOWN} of {len(outcome.output)}; all of them are in output.jsonl", style="dim")


def _show_jobs(console: Console, outcome: Outcome) -> None:
    table = Table(title="Where the lines ran (receipt.json)", title_justify="left", title_style="bold", expand=True)
    for name in ("round", "backend", "endpoint", "lines", "answered"):
        table.add_column(name, justify="right" if name in {"round", "lines", "answered"} else "left")
    table.add_column("how it ended", ratio=1)
    for job in outcome.jobs:
        row = (str(job.round), job.backend, job.endpoint, str(job.requests), str(job.completed or 0))
        table.add_row(*row, Text(job.reason or "completed"))
    console.print(table)
    rounds = sorted({result.round for result in outcome.output})
    for number in rounds:
        (backend, *_) = [job.backend for job in outcome.jobs if job.round == number]
        lines = format_lines(result.line for result in outcome.output if result.round == number)
        console.print(f"Round {number}, {NAMES.get(backend, backend)}: lines {lines}", highlight=False)
    console.print(FAKE, style="dim", highlight=False)


def format_lines(lines: Iterable[int]) -> str:
    """Return line numbers in rising order as ranges: `1-4, 7`."""
    ranges: list[tuple[int, int]] = []
    for line in sorted(lines):
        if ranges and ranges[-1][1] == line - 1:
            ranges[-1] = (ranges[-1][0], line)
        else:
            ranges.append((line, line))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _show_errors(console: Console, outcome: Outcome) -> None:
    table = Table(title="Errors", title_justify="left", title_style="bold", expand=True)
    for name in ("line", "custom_id", "code"):
        table.add_column(name, justify="right" if name == "line" else "left")
    table.add_column("reason", ratio=1)
    for result in outcome.errors:
        code, message = (result.error.code, result.error.message) if result.error else ("?", "?")
        table.add_row(str(result.line), Text(result.custom_id or "—"), Text(code, style="red"), Text(message))
    console.print(table)


def _show_queues(console: Console, outcome: Outcome) -> None:
    letters = f"Dead-letter queue: {len(outcome.dead_letters)} messages for {len(outcome.errors)} error lines."
    console.print(letters, style="bold")
    if outcome.dead_letters:
        console.print("The first one:", JSON(msgspec.json.encode(outcome.dead_letters[0]).decode(), indent=None))
    changes = [event for event in outcome.events if "sequence" in event["detail"]["data"]]  # others tell of a job
    steps = sorted(changes, key=lambda event: event["detail"]["data"]["sequence"])
    console.print("Notifications: ", style="bold", end="")
    console.print(" → ".join(str(event["detail-type"]).removeprefix("Batch ") for event in steps) or "none")


def _show_counts(console: Console, outcome: Outcome, problems: Sequence[str]) -> None:
    total, done, failed = len(outcome.requests), len(outcome.output), len(outcome.errors)
    console.print(f"\n{total} lines in = {done} answers + {failed} errors, in {outcome.seconds:.0f} s.", style="bold")
    if problems:
        console.print("NOT every line is accounted for:", style="bold red")
        for problem in problems:
            console.print(f"  {problem}", style="red", markup=False)
    else:
        console.print("Every line is accounted for, exactly once.", style="bold green")
    console.print(f"\nFiles: {outcome.folder}/ (output.jsonl, errors.jsonl, receipt.json, manifest.json)", highlight=False)
    console.print(
        "Next:  make up, then source .slacktide/local.env\n"
        "       .venv/bin/slacktide run examples/<file>.jsonl --model smollm2\n"
        '       aws s3 cp my.jsonl "s3://$SLACKTIDE_BUCKET/input/my.jsonl"',
        highlight=False,
        markup=False,
    )


def _spread(results: Sequence[ResultLine], count: int) -> list[ResultLine]:
    """Pick at most `count` results from the whole file, evenly, so that each of its parts shows."""
    if len(results) <= count:
        return list(results)
    return [results[index * len(results) // count] for index in range(count)]


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
