"""The routes that SageMaker calls: /ping, /execution-parameters and /invocations.

Rules: AWS's page "Custom Inference Code with Batch Transform". A bad line never makes a non-2xx answer, since one of
those loses the output of the whole object; 503 says that the engine is down, and has SageMaker send the payload again.
"""

import asyncio
import logging
import re
from dataclasses import asdict
from itertools import count
from typing import Protocol

from aiohttp import web

from slacktide_transform.in_flight import InFlight
from slacktide_transform.lines import Answer, Request
from slacktide_transform.logs import log_event
from slacktide_transform.payload import EngineDownError, answer_payload
from slacktide_transform.settings import LARGEST_PAYLOADS_MB, Settings

CONTENT_TYPE = "application/jsonlines"
LARGEST_BODY = (LARGEST_PAYLOADS_MB + 1) * 1024 * 1024  # SageMaker's own limit decides, not ours

_batch_id = re.compile(rb'"(batch_[a-z2-7]{26})\.')


class Answering(Protocol):
    """What the server needs of an engine."""

    @property
    def is_healthy(self) -> bool: ...

    async def wait_until_healthy(self) -> None: ...

    async def ask(self, request: Request) -> Answer: ...


def build_app(*, settings: Settings, engine: Answering) -> web.Application:
    """The web application, in front of one engine."""
    in_flight = InFlight(settings.max_in_flight)
    numbers = count(1)

    async def ping(_: web.Request) -> web.Response:
        return web.Response(status=200 if engine.is_healthy else 503)

    async def execution_parameters(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "MaxConcurrentTransforms": settings.max_concurrent_payloads,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": settings.max_payload_mb,
            }
        )

    async def invocations(request: web.Request) -> web.Response:
        deadline = asyncio.get_running_loop().time() + settings.payload_seconds
        number = next(numbers)
        payload = await request.read()
        try:
            await _wait_for(engine, until=deadline, seconds=settings.engine_wait_seconds)
            return await _answer(payload, engine=engine, in_flight=in_flight, number=number, deadline=deadline)
        except EngineDownError:
            log_event("payload_refused", logging.WARNING, payload=number, batch_id=find_batch_id(payload), status=503)
            return web.Response(status=503, text="the engine is down; send the payload again\n")

    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_get("/ping", ping)
    app.router.add_get("/execution-parameters", execution_parameters)
    app.router.add_post("/invocations", invocations)
    return app


async def _wait_for(engine: Answering, *, until: float, seconds: float) -> None:
    # SageMaker has few retries and we do not know its pauses: a payload that comes back at once must not use them up.
    until = min(until, asyncio.get_running_loop().time() + seconds)
    try:
        async with asyncio.timeout_at(until):
            await engine.wait_until_healthy()
    except TimeoutError:
        raise EngineDownError("the engine is not up") from None


async def _answer(payload: bytes, *, engine: Answering, in_flight: InFlight, number: int, deadline: float) -> web.Response:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers, tally = await answer_payload(payload, ask=engine.ask, in_flight=in_flight, number=number, deadline=deadline)
    log_event(
        "payload_answered",
        payload=number,
        batch_id=find_batch_id(payload),
        status=200,
        seconds=round(loop.time() - began, 3),
        bytes_in=len(payload),
        bytes_out=len(answers),
        **asdict(tally),
    )
    return web.Response(body=answers, content_type=CONTENT_TYPE)


def find_batch_id(payload: bytes) -> str | None:
    """The batch id in the first custom_id, or None: nothing else of a payload may reach the log."""
    found = _batch_id.search(payload, 0, 200)
    return found.group(1).decode() if found else None
