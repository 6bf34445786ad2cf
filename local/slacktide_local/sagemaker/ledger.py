"""What happened, for tests to count: every call, every accepted job, every container start, every payload sent."""

import time
from collections import Counter, deque
from typing import Any

import msgspec

# A cloud that is kept running is polled for days; the newest entries are the ones that anyone looks at.
KEPT = 100_000


class Call(msgspec.Struct, frozen=True):
    """One API call: the name in its request and `ok` or the error's code."""

    time: float
    action: str
    name: str
    outcome: str


class ContainerStart(msgspec.Struct, frozen=True):
    """A container process that was started for an instance of a job (instances count from 0)."""

    job: str
    instance: int
    pid: int


class Payload(msgspec.Struct, frozen=True):
    """One try (from 1) to send one object; `status` is the HTTP status, or null without an answer."""

    job: str
    key: str
    instance: int
    attempt: int
    bytes: int
    status: int | None


class Ledger:
    """The newest entries of each kind, and how many jobs were accepted under each name."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._starts: deque[ContainerStart] = deque(maxlen=KEPT)
        self._payloads: deque[Payload] = deque(maxlen=KEPT)
        self._created: Counter[str] = Counter()

    def note_call(self, action: str, name: str, outcome: str) -> None:
        self._calls.append(Call(time.time(), action, name, outcome))

    def note_created(self, name: str) -> None:
        self._created[name] += 1

    def note_start(self, start: ContainerStart) -> None:
        self._starts.append(start)

    def note_payload(self, payload: Payload) -> None:
        self._payloads.append(payload)

    def export(self) -> dict[str, Any]:
        """The ledger as JSON values: `calls, created, container_starts, payloads`."""
        return {
            "calls": msgspec.to_builtins(list(self._calls)),
            "created": dict(self._created),
            "container_starts": msgspec.to_builtins(list(self._starts)),
            "payloads": msgspec.to_builtins(list(self._payloads)),
        }
