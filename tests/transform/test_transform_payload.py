"""Payloads, the limit in flight and the deadline, with functions for an engine."""

import asyncio
import json
from typing import Any

import pytest

from slacktide_transform.in_flight import InFlight
from slacktide_transform.lines import Answer, Request, answer_http
from slacktide_transform.payload import EngineDownError, Tally, answer_payload


def make_payload(count: int, prefix: str = "") -> bytes:
    return b"".join(json.dumps({"custom_id": f"{prefix}{i}", "body": {}}).encode() + b"\n" for i in range(count))


def succeed(request: Request) -> Answer:
    return answer_http(request.custom_id, status=200, content=b'{"usage":{"prompt_tokens":2,"completion_tokens":3}}')


async def answer(
    payload: bytes,
    ask: Any,
    *,
    limit: int = 4,
    seconds: float = 5.0,
    number: int = 1,
    in_flight: InFlight | None = None,
) -> tuple[list[dict[str, Any]], Tally]:
    content, tally = await answer_payload(
        payload,
        ask=ask,
        in_flight=in_flight or InFlight(limit),
        number=number,
        deadline=asyncio.get_running_loop().time() + seconds,
    )
    return [json.loads(line) for line in content.split(b"\n")[:-1]], tally


class Gated:
    """An engine whose answers the test lets go, and that counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.most = 0

    async def ask(self, request: Request) -> Answer:
        self.asked.append(request.custom_id)
        self.waiting[request.custom_id] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.waiting))
        try:
            await self.waiting[request.custom_id]
        finally:
            del self.waiting[request.custom_id]
        return succeed(request)

    async def settle(self) -> None:
        """Let every task run until it waits."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def release(self, *custom_ids: str) -> None:
        for custom_id in custom_ids:
            self.waiting[custom_id].set_result(None)
        await self.settle()


async def test_answers_come_in_input_order_whatever_the_engines_order():
    gated = Gated()
    task = asyncio.create_task(answer(make_payload(4), gated.ask))
    await gated.settle()
    await gated.release("3")
    await gated.release("1")
    await gated.release("0", "2")
    answers, tally = await task
    assert [line["custom_id"] for line in answers] == ["0", "1", "2", "3"]
    assert tally == Tally(lines=4, succeeded=4, rejected=0, unanswered=0, prompt_tokens=8, completion_tokens=12)


async def test_bad_lines_stay_in_their_place_and_are_not_asked():
    gated = Gated()
    payload = b"bad\n" + make_payload(1) + b"\n" + make_payload(1, "x")[:-1]
    task = asyncio.create_task(answer(payload, gated.ask))
    await gated.settle()
    await gated.release("0", "x0")
    answers, tally = await task
    assert [line["custom_id"] for line in answers] == [None, "0", None, "x0"]
    assert [line["error"] and line["error"]["code"] for line in answers] == [
        "backend_rejected", None, "backend_rejected", None,
    ]  # fmt: skip
    assert gated.asked == ["0", "x0"]
    assert (tally.succeeded, tally.rejected) == (2, 2)


async def test_an_empty_payload_has_no_answers():
    assert (await answer(b"", Gated().ask))[0] == []


async def test_no_more_than_the_limit_is_in_flight_over_all_payloads():
    gated, in_flight = Gated(), InFlight(3)
    tasks = [
        asyncio.create_task(answer(make_payload(5, f"p{number}-"), gated.ask, in_flight=in_flight, number=number))
        for number in (1, 2)
    ]
    await gated.settle()
    while gated.waiting:
        await gated.release(next(iter(gated.waiting)))
    assert [len(answers) for answers, _ in await asyncio.gather(*tasks)] == [5, 5]
    assert gated.most == 3


async def test_the_oldest_payload_goes_first_and_the_next_fills_its_tail():
    gated, in_flight = Gated(), InFlight(2)
    later = asyncio.create_task(answer(make_payload(3, "later-"), gated.ask, in_flight=in_flight, number=2))
    await gated.settle()
    older = asyncio.create_task(answer(make_payload(3, "older-"), gated.ask, in_flight=in_flight, number=1))
    await gated.settle()
    while gated.waiting:
        await gated.release(next(iter(gated.waiting)))
    await asyncio.gather(older, later)
    assert gated.asked == ["later-0", "later-1", "older-0", "older-1", "older-2", "later-2"]


async def test_lines_without_an_answer_by_the_deadline_are_transient_errors():
    async def ask(request: Request) -> Answer:
        if request.custom_id in ("1", "2"):
            await asyncio.Event().wait()
        return succeed(request)

    in_flight = InFlight(2)
    answers, tally = await answer(make_payload(6), ask, in_flight=in_flight, seconds=0.05)
    assert [line["error"] and line["error"]["code"] for line in answers] == [
        None, "backend_error", "backend_error", "backend_error", "backend_error", "backend_error",
    ]  # fmt: skip
    assert all(line["response"] is None for line in answers[1:])
    assert tally.unanswered == 5
    await check_places_are_free(in_flight, limit=2)


async def check_places_are_free(in_flight: InFlight, *, limit: int) -> None:
    """Every place can be taken at once, also those of tasks that were cancelled."""
    async with asyncio.timeout(1):
        for _ in range(limit):
            await in_flight.enter(99)
    for _ in range(limit):
        in_flight.leave()


async def test_a_dead_engine_fails_the_whole_payload_and_frees_its_places():
    in_flight = InFlight(2)

    async def ask(request: Request) -> Answer:
        if request.custom_id == "1":
            raise EngineDownError("died")
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(EngineDownError):
        await answer(make_payload(6), ask, in_flight=in_flight)
    await check_places_are_free(in_flight, limit=2)


async def test_a_place_handed_over_to_a_cancelled_payload_is_not_lost():
    in_flight = InFlight(1)
    await in_flight.enter(1)
    waiting = asyncio.create_task(in_flight.enter(2))
    await asyncio.sleep(0)
    in_flight.leave()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        await in_flight.enter(3)
