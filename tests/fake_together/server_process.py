"""The fake on a port: as a user starts it, in a process of its own; or in a thread, which is there at once."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import httpx

from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.engine import Engine
from slacktide_fake_together.server import build_app, serve
from slacktide_fake_together.settings import DEFAULT_KEY

COMMAND = [str(Path(sys.executable).with_name("slacktide")), "fake-together", "--json"]
KEY = DEFAULT_KEY


@dataclass(frozen=True)
class Server:
    """A running fake; `url` has no `/v1`."""

    url: str
    process: "subprocess.Popen[str] | None" = None

    def steer(self, method: str, path: str, body: object = None) -> Any:
        """A control call; what it answers."""
        answer = httpx.request(method, f"{self.url}/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def connect(self, key: str = KEY, **more: Any) -> httpx.Client:
        """A client of its API."""
        return httpx.Client(base_url=f"{self.url}/v1", headers={"Authorization": f"Bearer {key}"}, **more)


@contextmanager
def run_server(settings: Settings | None = None, *, engine_url: str | None = None, concurrency: int = 4) -> Generator[Server]:
    """Serve a fake on a free port from a thread, until the context ends."""
    urls: Queue[str] = Queue()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def work() -> None:
        loops.append(asyncio.get_running_loop())
        fake = FakeTogether(settings, has_engine=engine_url is not None)
        engine = Engine(engine_url, concurrency=concurrency) if engine_url else None
        await serve(build_app(fake, engine), port=0, ready=urls.put, stop=stop)

    thread = Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield Server(urls.get(timeout=30))
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


@contextmanager
def start_server(*options: str) -> Generator[Server]:
    """Start the command on a free port, and end it."""
    with subprocess.Popen([*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.wait()
        try:
            yield Server(json.loads(line)["url"], process)
        finally:
            process.terminate()


def drain(answer: httpx.Response, into: bytearray) -> None:
    """Read a streamed body to its end, however it ends."""
    for block in answer.iter_bytes():
        into += block


def make_file(custom_ids: Iterable[str], text: str = "hello") -> bytes:
    """An input file."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return b"".join(json.dumps({"custom_id": custom_id, "body": body}).encode() + b"\n" for custom_id in custom_ids)
