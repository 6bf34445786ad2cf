"""One container: a process that stands for `docker run IMAGE serve` on one instance."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

from slacktide_local import tether
from slacktide_local.sagemaker.errors import JobFailed

# A container starts from the image's environment, not from the machine's; a process needs these few to find programs.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT")
POLL_SECONDS = 0.03  # AWS asks about once a second

_PING_FAILED = (
    "AlgorithmError: Model container failed to respond to ping. Please ensure /ping endpoint is implemented and"
    " responds with an HTTP 200 status code"
)


def find_free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Container:
    """A running container; made by `start`, ended by `end`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, session: aiohttp.ClientSession) -> None:
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{port}"
        self.session = session
        self._process = process
        self._exit = asyncio.create_task(process.wait())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        session: aiohttp.ClientSession,
    ) -> Self:
        """Start the process in a group of its own, with TRANSFORM_PORT, logs to `log`, temporary files in `folder`."""
        port = find_free_port()
        given = {name: os.environ[name] for name in INHERITED if name in os.environ}
        own = {"TRANSFORM_HOST": "127.0.0.1", "TRANSFORM_PORT": str(port), "TMPDIR": str(folder)}
        tied = [sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()), *command]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tied,
                env={**given, **own, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process, port, session)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    async def wait_healthy(self, *, seconds: float, ping_seconds: float) -> None:
        """Ask `/ping` until it answers 200; JobFailed after `seconds` without, or as soon as the process exits.

        Source: "How Your Container Should Respond to Health Check (Ping) Requests" (developer guide).
        """
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            if await self._ping(min(ping_seconds, left)):
                return
            await asyncio.wait({self._exit}, timeout=min(POLL_SECONDS, left))
            if self.exit_code is not None:
                raise JobFailed(
                    f"AlgorithmError: The model container exited with code {self.exit_code} before it was healthy. See"
                    " job logs for more information"
                )
        raise JobFailed(_PING_FAILED)

    async def _ping(self, seconds: float) -> bool:
        try:
            async with self.session.get(f"{self.url}/ping", timeout=aiohttp.ClientTimeout(total=seconds)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def read_parameters(self) -> dict[str, Any]:
        """What `/execution-parameters` answers; empty when the container does not serve it."""
        try:
            async with self.session.get(f"{self.url}/execution-parameters", timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return await answer.json(content_type=None) if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}

    async def end(self, *, grace: float) -> None:
        """SIGTERM, after `grace` seconds SIGKILL, and that to all of its group; returns when the process is gone."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        await asyncio.wait({self._exit}, timeout=grace)
        # A container's processes end with it, as its PID namespace does: an engine left behind must not keep a port.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._exit
