"""Loopback addresses: free ports, and waiting for a server to be healthy."""

import socket
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

from slacktide_local.errors import StartFailedError
from slacktide_local.processes import Process, wait_for_end

LOOPBACK = "127.0.0.1"
_BETWEEN_PROBES = 0.05  # seconds


def find_free_ports(count: int) -> list[int]:
    """Return different ports that nothing on the loopback address listens on."""
    with ExitStack() as held:  # all are held until the last is found, so that they differ
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def is_healthy(url: str, *, timeout: float = 2.0) -> bool:
    """Whether a GET of the address is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 - our own loopback address
            return response.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def wait_until_healthy(url: str, process: Process, *, timeout: float = 30.0) -> None:
    """Wait until the server answers; raises StartFailedError with the end of its log when it ends or stays silent."""
    until = time.monotonic() + timeout
    while not is_healthy(url):
        if wait_for_end(process, timeout=_BETWEEN_PROBES):
            raise StartFailedError.of(process, "ended while it was starting")
        if time.monotonic() > until:
            raise StartFailedError.of(process, f"did not answer at {url} within {timeout:.0f} s")
