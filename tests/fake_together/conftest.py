"""A fake in this process with a clock that a test sets, and one that most tests of the server share."""

from collections.abc import Iterator

import httpx
import pytest
from server_process import KEY, Server, run_server

from fakes.clock import SettableClock
from slacktide_fake_together import FakeTogether
from slacktide_fake_together.transport import FakeTransport


@pytest.fixture
def fake(clock: SettableClock) -> FakeTogether:
    return FakeTogether(clock=clock, seed=7)


@pytest.fixture
def http(fake: FakeTogether, clock: SettableClock) -> httpx.Client:
    """A client of the fake in this process."""
    transport = FakeTransport(fake, sleep=lambda seconds: clock.advance(round(seconds)))
    return httpx.Client(transport=transport, base_url="https://api.together.ai/v1", headers={"Authorization": f"Bearer {KEY}"})


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    with run_server() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The shared server, without faults."""
    yield shared_server
    shared_server.steer("DELETE", "faults")
