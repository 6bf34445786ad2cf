"""The container as SageMaker runs it: a process, talked to over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from slacktide_local import scripted_engine

PATIENCE = 20.0  # seconds; for the slowest machine, not for the usual one


def await_truth(question: Callable[[], Any], *, what: str, patience: float = PATIENCE) -> Any:
    """Ask until the answer is true; fail with `what` when that takes too long."""
    end = time.monotonic() + patience
    while not (answer := question()):
        assert time.monotonic() < end, f"waited {patience} s for: {what}"
        time.sleep(0.02)
    return answer


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@dataclass(slots=True)
class Container:
    """A running container."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log records, or those of one event."""
        whole = self.log.read_bytes().split(b"\n")[:-1]
        records = [json.loads(line) for line in whole]
        return [record for record in records if name in (None, record["event"])]

    def await_event(self, name: str, count: int = 1) -> dict[str, Any]:
        """The newest record of an event, once there are so many."""
        return await_truth(lambda: self.events(name)[count - 1 :], what=f"{count} x {name} in {self.log}")[-1]

    def await_ping(self, status: int = 200) -> None:
        await_truth(lambda: self.ping() == status, what=f"ping {status}, {self.log.read_text()}")

    def ping(self) -> int | None:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/ping", timeout=2).status_code
        return None

    def post(self, payload: bytes) -> httpx.Response:
        return httpx.post(
            f"{self.url}/invocations",
            content=payload,
            headers={"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"},
            timeout=60,
        )

    def answers(self, payload: bytes) -> list[dict[str, Any]]:
        """The answers to a payload that must be answered 200."""
        response = self.post(payload)
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.content.split(b"\n")[:-1]]

    @property
    def engine(self) -> dict[str, Any]:
        """`pid` and `port` of the engine that runs now."""
        return self.events("engine_healthy")[-1]

    def stats(self) -> dict[str, Any]:
        """What the scripted engine has seen."""
        return httpx.get(f"http://127.0.0.1:{self.engine['port']}/stats").json()


@contextmanager
def run_container(log: Path, **settings: str) -> Iterator[Container]:
    """Start a container in front of the scripted engine, unless the settings name another one."""
    port = find_free_port()
    defaults = {
        "MODEL_ID": "scripted-model",
        "TRANSFORM_HOST": "127.0.0.1",
        "TRANSFORM_PORT": str(port),
        "ENGINE_COMMAND": scripted_engine.engine_command(),
        "ENGINE_BACKOFF_SECONDS": "0.05",
    }
    command = [sys.executable, "-m", "slacktide_transform", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **defaults, **settings}, stdout=output, stderr=output)
    try:
        yield Container(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


@pytest.fixture
def start_container(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Start containers that end with the test."""
    with ExitStack() as stack:

        def start(**settings: str) -> Container:
            log = tmp_path / f"container-{len(list(tmp_path.glob('container-*')))}.log"
            return stack.enter_context(run_container(log, **settings))

        yield start


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container for all tests that do it no harm."""
    with run_container(tmp_path_factory.mktemp("container") / "container.log") as running:
        running.await_ping()
        yield running


def chat_line(custom_id: str, text: str, **body: Any) -> bytes:
    """A request line."""
    request = {"model": "the user's alias", "messages": [{"role": "user", "content": text}], **body}
    line = {"custom_id": custom_id, "url": "/v1/chat/completions", "body": request}
    return json.dumps(line).encode() + b"\n"


@pytest.fixture(scope="session")
def chat() -> Callable[..., bytes]:
    return chat_line


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    return await_truth


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    return is_alive
