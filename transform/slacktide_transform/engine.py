"""The engine and its supervision: started, watched, restarted, and given up when it never gets healthy."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from slacktide_transform.child import Child, start_child
from slacktide_transform.lines import Answer, Request, answer_http, answer_nothing, engine_body
from slacktide_transform.logs import log_event
from slacktide_transform.payload import EngineDownError

HEALTH = "/health"  # of vLLM and llama.cpp alike: 200 when requests can be taken
HEALTH_SECONDS = 10.0
FAILED_CHECKS = 3  # in a row, one a second: then the engine is taken for dead though its process runs
LONGEST_BACKOFF_SECONDS = 60.0
KEPT_OUTPUT = 2000  # characters of one line of the engine's output


class EngineFailedError(Exception):
    """The engine never got healthy, however often it was started."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """How patient the supervisor is; times in seconds."""

    starts: int = 3
    start_seconds: float = 1200.0
    backoff_seconds: float = 1.0
    all_output: bool = False
    check_seconds: float = field(default=1.0)


class Engine:
    """An OpenAI-compatible HTTP server in a child process, on a new free port at each start."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        build_command: Callable[[int], list[str]],
        model_id: str,
        environment: Mapping[str, str],
        supervision: Supervision,
    ) -> None:
        self._session = session
        self._build_command = build_command
        self._model_id = model_id
        self._environment = environment
        self._supervision = supervision
        self._healthy = asyncio.Event()
        self._url = ""
        self._start = 0
        self._has_served = False  # since this start

    @property
    def is_healthy(self) -> bool:
        """Whether the engine takes requests, as of the last check."""
        return self._healthy.is_set()

    async def wait_until_healthy(self) -> None:
        """Return as soon as the engine takes requests."""
        await self._healthy.wait()

    async def ask(self, request: Request) -> Answer:
        """Send one request to the engine.

        A lost connection is tried once more when the engine is alive: engines close idle connections, and a request has
        no side effect. Raises EngineDownError when there is no answer, or a 5xx one, because the engine died.
        """
        for _ in range(2):
            start = self._start
            try:
                status, content = await self._post(request)
            except aiohttp.ClientConnectionError:
                await self._insist_on_life(start)
                continue
            if status >= 500:
                await self._insist_on_life(start)
            return answer_http(request.custom_id, status=status, content=content)
        return answer_nothing(request.custom_id, "the engine closed the connection without an answer")

    async def _post(self, request: Request) -> tuple[int, bytes]:
        async with self._session.post(
            self._url + request.url,
            data=engine_body(request, model_id=self._model_id),
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            return response.status, await response.read()

    async def _insist_on_life(self, start: int) -> None:
        if start != self._start or not self.is_healthy or await self._check_health() is False:
            raise EngineDownError("the engine died under the request")

    async def _check_health(self) -> bool | None:
        """True: healthy; False: refused or not 200; None: no answer in time, as under heavy load."""
        try:
            async with (
                asyncio.timeout(HEALTH_SECONDS),
                self._session.get(self._url + HEALTH, headers={"Connection": "close"}) as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False
        except TimeoutError:
            return None

    async def supervise(self) -> None:
        """Keep the engine running until cancelled; then end it.

        Raises EngineFailedError after `starts` starts in a row that did not get healthy.
        """
        loop = asyncio.get_running_loop()
        failures = restarts = 0
        while True:
            began = loop.time()
            was_healthy = await self._run_once()
            failures = 0 if was_healthy else failures + 1
            if failures == self._supervision.starts:
                raise EngineFailedError(f"the engine did not get healthy in {failures} starts; its output says why")
            lived_long = was_healthy and loop.time() - began > LONGEST_BACKOFF_SECONDS
            restarts = 0 if lived_long else restarts + 1
            pause = min(LONGEST_BACKOFF_SECONDS, self._supervision.backoff_seconds * 2 ** max(0, restarts - 1))
            log_event("engine_restarting", logging.WARNING, failures=failures, pause_seconds=pause)
            await asyncio.sleep(pause)

    async def _run_once(self) -> bool:
        port = find_free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._start += 1
        self._has_served = False
        try:
            child = await start_child(self._build_command(port), environment=self._environment, read_output=self._read_output)
        except OSError as fault:
            log_event("engine_not_started", logging.ERROR, start=self._start, reason=fault.strerror, errno=fault.errno)
            return False
        log_event("engine_started", start=self._start, pid=child.pid, port=port)
        try:
            if not await self._becomes_healthy(child):
                log_event("engine_never_healthy", logging.ERROR, start=self._start, exit_code=child.exit_code)
                return False
            self._has_served = True
            self._healthy.set()
            log_event("engine_healthy", start=self._start, pid=child.pid, port=port)
            await self._stays_healthy(child)
            log_event("engine_died", logging.ERROR, start=self._start, exit_code=child.exit_code)
            return True
        finally:
            self._healthy.clear()
            await child.stop()

    async def _becomes_healthy(self, child: Child) -> bool:
        try:
            async with asyncio.timeout(self._supervision.start_seconds):
                while not await self._check_health():
                    if await _ends_within(child, min(0.1, self._supervision.check_seconds)):
                        return False
        except TimeoutError:
            return False
        return True

    async def _stays_healthy(self, child: Child) -> None:
        failed = 0
        while failed < FAILED_CHECKS and not await _ends_within(child, self._supervision.check_seconds):
            failed = 0 if await self._check_health() else failed + 1

    def _read_output(self, line: str) -> None:
        # Once it serves, an engine may print what it was asked; so also while it dies.
        if line and (self._supervision.all_output or not self._has_served):
            log_event("engine_output", text=line[:KEPT_OUTPUT])


async def _ends_within(child: Child, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await child.wait()
    except TimeoutError:
        return False
    return True


def find_free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
