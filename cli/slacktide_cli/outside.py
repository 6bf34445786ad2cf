"""What the command line reaches of the world outside of it: a test brings its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Outside:
    """Network, waiting, and time. `transport` is httpx's; None is the real network.

    `now` is the time of day, `clock` only grows and stands still while the machine sleeps; both are in seconds.
    """

    transport: httpx.BaseTransport | None = None
    wait: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
