"""Clients of a function `api` that has as many containers as there are calls at once, with the table and bucket of the stack."""

import asyncio
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from api.caller import Caller
from api.containers import MEETING, MOST
from e2e.stack import Stack, eventually
from slacktide_local.network import LOOPBACK
from slacktide_local.processes import end_process, start_process

SECONDS = 120  # bounds a hang


@dataclass(frozen=True)
class Call:
    """A call; all those that are sent together meet in front of an operation of DynamoDB."""

    method: str
    path: str
    body: object = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Answer:
    """What it was answered with, and how many calls were inside of the function by then at most."""

    status: int
    body: Any
    most: int


@dataclass(frozen=True)
class Fleet:
    """The containers, by their address."""

    size: int
    url: str

    @classmethod
    @contextmanager
    def launched(cls, stack: Stack, size: int, folder: Path) -> Generator["Fleet", None, None]:
        """Containers of the deployed function, with its variables."""
        pages = stack.functions.get_paginator("list_functions").paginate()
        (function,) = (it for page in pages for it in page["Functions"] if "-ApiFunction-" in it["FunctionName"])
        aws = {name: value for name, value in stack.cloud.environment.items() if name.startswith("AWS_")}
        tests = str(Path(__file__).parents[1])
        environment = {"PATH": os.defpath, "PYTHONPATH": tests, **aws, **function["Environment"]["Variables"]}
        command, port_file = [sys.executable, "-m", "api.containers"], folder / "port"
        process = start_process(
            "containers",
            [*command, str(size), str(port_file)],
            environment=environment,
            log=folder / "log",
            directory=folder,
            is_tethered=True,
        )
        try:
            port = eventually(
                lambda: process.is_alive() and port_file.exists() and port_file.read_text(), what=f"a port ({folder / 'log'})"
            )
            yield cls(size, f"http://{LOOPBACK}:{port}")
        finally:
            end_process(process)

    def send(self, caller: Caller, calls: Sequence[Call], meeting: str) -> list[Answer]:
        """Send as many calls as there are containers, all at once; the answers in their order."""
        assert len(calls) == self.size, "those that are missing would be waited for"
        return asyncio.run(self._send(caller, calls, meeting))

    async def _send(self, caller: Caller, calls: Sequence[Call], meeting: str) -> list[Answer]:
        headers = {"Authorization": f"Bearer {caller.key}", MEETING: meeting}
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(self.url, connector=connector, headers=headers) as session:
            return await asyncio.wait_for(asyncio.gather(*(self._ask(session, call) for call in calls)), SECONDS)

    async def _ask(self, session: aiohttp.ClientSession, call: Call) -> Answer:
        async with session.request(call.method, call.path, json=call.body, headers=call.headers) as answer:
            return Answer(answer.status, await answer.json(), int(answer.headers[MOST]))
