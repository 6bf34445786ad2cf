"""One payload: every input line becomes one output line, in the same order."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from slacktide_transform.in_flight import InFlight
from slacktide_transform.lines import (
    REJECTED,
    Answer,
    Refusal,
    Request,
    answer_nothing,
    answer_refusal,
    count_tokens,
    read_line,
    split_lines,
)

Ask = Callable[[Request], Awaitable[Answer]]


class EngineDownError(Exception):
    """The engine is not running, so the whole payload must come again."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a payload's lines, for the log."""

    lines: int
    succeeded: int
    rejected: int
    unanswered: int
    prompt_tokens: int
    completion_tokens: int


async def answer_payload(payload: bytes, *, ask: Ask, in_flight: InFlight, number: int, deadline: float) -> tuple[bytes, Tally]:
    """Answer a JSONL payload with JSONL: one line per line, in input order.

    `deadline` is a time of the running loop; lines without an answer by then come back as `backend_error`.
    `number` orders the payloads that share the engine. Raises EngineDownError when the engine died under the payload.
    """
    requests = [read_line(line) for line in split_lines(payload)]
    answers: list[Answer | None] = [answer_refusal(line) if isinstance(line, Refusal) else None for line in requests]

    async def answer(index: int, request: Request) -> None:
        answers[index] = await ask(request)

    try:
        # The deadline ends the group: TimeoutError means that some answers are still None.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
                for index, request in enumerate(requests):
                    if isinstance(request, Request):
                        await in_flight.enter(number)
                        task = group.create_task(answer(index, request))
                        # A callback, not a `finally`: a task that is cancelled before it began runs no `finally`.
                        task.add_done_callback(lambda _: in_flight.leave())
    except* EngineDownError as downs:
        raise EngineDownError(str(downs.exceptions[0])) from downs
    done = [
        answer or answer_nothing(request.custom_id, "no answer before the payload's deadline")
        for answer, request in zip(answers, requests, strict=True)
    ]
    return b"".join(msgspec.json.encode(answer) + b"\n" for answer in done), tally_answers(done)


def tally_answers(answers: list[Answer]) -> Tally:
    """Count the answers by outcome, and the tokens that the engine reported."""
    tokens = [count_tokens(answer) for answer in answers]
    return Tally(
        lines=len(answers),
        succeeded=sum(answer.error is None for answer in answers),
        rejected=sum(answer.error is not None and answer.error.code == REJECTED for answer in answers),
        unanswered=sum(answer.error is not None and answer.error.code != REJECTED for answer in answers),
        prompt_tokens=sum(prompt for prompt, _ in tokens),
        completion_tokens=sum(completion for _, completion in tokens),
    )
