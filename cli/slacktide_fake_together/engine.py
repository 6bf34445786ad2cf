"""Answers from an engine: any server with OpenAI's inference endpoints."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec

from slacktide_fake_together.core import FakeTogether

_LONGEST_WAIT = 0.2  # seconds until a batch whose validation takes time is looked at again


class Engine:
    """Sends the lines of running batches to the engine at `url` (without `/v1`), so many at a time."""

    def __init__(self, url: str, *, concurrency: int = 4, timeout: float = 600) -> None:
        self._url, self._timeout = url.rstrip("/").removesuffix("/v1"), aiohttp.ClientTimeout(total=timeout)
        self._slots = asyncio.Semaphore(concurrency)
        self._in_flight: set[tuple[str, int]] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be new lines."""
        self._woken.set()

    @asynccontextmanager
    async def running(self, fake: FakeTogether) -> AsyncGenerator[None]:
        """Work until the context ends; requests that are under way then are given up."""
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            work = asyncio.create_task(self._work(fake, session))
            try:
                yield
            finally:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

    async def _work(self, fake: FakeTogether, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as requests:
            while True:
                self._woken.clear()
                for batch_id, index, endpoint, body in fake.open_lines():
                    if (batch_id, index) in self._in_flight:
                        continue
                    await self._slots.acquire()
                    self._in_flight.add((batch_id, index))
                    requests.create_task(self._ask(fake, session, (batch_id, index), endpoint, body))
                try:
                    await asyncio.wait_for(self._woken.wait(), _LONGEST_WAIT)
                except TimeoutError:
                    continue

    async def _ask(
        self, fake: FakeTogether, session: aiohttp.ClientSession, line: tuple[str, int], endpoint: str, body: bytes
    ) -> None:
        """Ask once: what an engine does not answer is a failed line, as with the real service."""
        try:
            async with session.post(self._url + endpoint, data=body, headers={"content-type": "application/json"}) as answer:
                fake.deliver(*line, answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            fault = {"error": {"message": f"The engine did not answer: {type(error).__name__}.", "code": "engine_error"}}
            fake.deliver(*line, 503, msgspec.json.encode(fault))
        finally:
            self._in_flight.discard(line)
            self._slots.release()
            self._woken.set()
