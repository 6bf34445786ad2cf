"""Whether every line of a batch is accounted for: lines in = lines out + lines in error, each exactly once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

_QUIET_RECEIVES = 2  # empty answers in a row after which a queue counts as read


class ErrorDetail(msgspec.Struct, frozen=True):
    """Why a line has no answer."""

    code: str
    message: str


class Response(msgspec.Struct, frozen=True):
    """What the model's endpoint answered."""

    status_code: int
    body: Mapping[str, Any]


class ResultLine(msgspec.Struct, frozen=True):
    """One line of an output or error file."""

    id: str  # <batch id>.<round>.<line>; round 0 is validation
    line: int
    custom_id: str | None
    response: Response | None = None
    error: ErrorDetail | None = None

    @property
    def round(self) -> int:
        """The round that the line's end is from."""
        return int(self.id.split(".")[1])


def read_results(path: Path) -> list[ResultLine]:
    """Read an output or error file."""
    return [msgspec.json.decode(line, type=ResultLine) for line in split_lines(path.read_bytes())]


def split_lines(content: bytes) -> list[bytes]:
    """Return the lines of a file, split at line feeds only; the last one may lack its own."""
    lines = content.split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def find_unaccounted(
    total: int, *, output: Sequence[ResultLine], errors: Sequence[ResultLine], dead_letters: Iterable[int]
) -> list[str]:
    """Return what is wrong with the account of `total` input lines, in words; nothing when each has one end.

    `dead_letters` are the line numbers of the messages on the dead-letter queue.
    """
    problems: list[str] = []
    times = Counter(result.line for result in (*output, *errors))
    problems += [f"line {line} is in neither file" for line in range(1, total + 1) if line not in times]
    problems += [f"line {line} is there {count} times" for line, count in sorted(times.items()) if count > 1]
    problems += [f"there is a line {line}, the input has {total}" for line in sorted(times) if not 1 <= line <= total]
    for name, results in (("output.jsonl", output), ("errors.jsonl", errors)):
        lines = [result.line for result in results]
        if lines != sorted(lines):
            problems.append(f"{name} is not in input order")
    failed, announced = {result.line for result in errors}, set(dead_letters)
    problems += [f"error line {line} has no dead-letter message" for line in sorted(failed - announced)]
    problems += [f"a dead-letter message names line {line}, which has no error" for line in sorted(announced - failed)]
    return problems


def read_queue(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Return the messages of a queue as JSON; they become visible again later."""
    messages: dict[str, dict[str, Any]] = {}
    quiet = 0
    while quiet < _QUIET_RECEIVES:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=60)
        received = answer.get("Messages", [])
        quiet = 0 if received else quiet + 1
        messages.update({message["MessageId"]: msgspec.json.decode(message["Body"]) for message in received})
    return list(messages.values())
