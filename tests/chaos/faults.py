"""What goes wrong: kills and failures at every call of a function, and random fault scripts for the fake Together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from fakes.wire import Killed, Wire, external, refuse
from slacktide_fake_together import FakeTogether
from slacktide_fake_together.messages import Request
from slacktide_fake_together.transport import FakeTransport, read_request

UPSTREAM = "Upstream."  # how calls of the hosted backend begin on the wire
KILLS, FAILURES = 0.003, 0.003  # of all calls, before and after each
OVERLAPS = 0.003  # the same: while the function waits there, a second invocation of it runs whole
USUAL_CALLS = 50  # of one invocation; of those behind a tenth is hit, since one of hundreds of calls would never come to its end
LATE = 0.1  # of all creates: they reach the upstream when nobody waits any more
LATEST = 280  # seconds after which a late create arrives: within the settle window

Fault = dict[str, Any]


@dataclass
class ChaosWire(Wire):
    """Kills a function, fails a call of it, or lets a second invocation overlap it, at random: before the call is made, or when
    it has been made and nobody knows.
    """

    random: Random = field(default_factory=Random)
    is_calm: bool = False
    overlap: Callable[[], None] = lambda: None  # runs the second invocation; its calls are calls of its own
    overlaps: int = 0
    _is_overlapped: bool = False
    _begun: int = 0  # calls before this invocation

    @contextmanager
    def invocation(self, function: str) -> Iterator[None]:
        self._begun = len(self.calls)
        with super().invocation(function):
            yield

    def _pull(self, when: str) -> None:
        if self.is_calm:
            return
        is_long = len(self.calls) - self._begun > USUAL_CALLS
        call, draw = self.calls[-1], self.random.random() * (10 if is_long else 1)
        if draw < KILLS:
            self._dead = True
            self.killed = f"{when} {call}"
            raise Killed
        if draw < KILLS + FAILURES and not call.partition(":")[2].startswith(UPSTREAM):
            refuse("ServiceUnavailable", call)
        if KILLS + FAILURES <= draw < KILLS + FAILURES + OVERLAPS and not self._is_overlapped:
            self._is_overlapped = True
            self.overlaps += 1
            with self.aside():
                self.overlap()
            self._is_overlapped = False


@dataclass
class Secrets:
    """Secrets Manager with one secret, that of both backends."""

    wire: Wire
    key: str

    @external
    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        assert SecretId == "arn:secret"
        return {"SecretString": self.key}


@dataclass
class Network(httpx.BaseTransport):
    """The way to the fake, which speaks both dialects: over the wire; some creates arrive when nobody waits any more."""

    fake: FakeTogether
    wire: Wire
    random: Random
    sleep: Callable[[float], None]
    later: Callable[[int, Callable[[], None]], None]  # seconds from now, and what happens then

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.wire.before(f"{UPSTREAM}{request.method}")
        try:
            return self._send(request)
        finally:
            self.wire.after()

    def _send(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/batches") and self.random.random() < LATE:
            late: Request = read_request(request)
            self.later(self.random.randint(1, LATEST), lambda: self._arrive(late))
            raise httpx.ReadTimeout("No answer came.", request=request)
        return FakeTransport(self.fake, sleep=self.sleep).handle_request(request)

    def _arrive(self, late: Request) -> None:
        self.fake.handle(late)


def script_noise(random: Random) -> list[Fault]:
    """Faults of single calls that go on all the time; few of them, so that things come to an end."""
    faults: list[Fault] = []
    for call, kinds in CALLS.items():
        for kind in random.sample(ANY + kinds, 3):
            most = 0.15 if call in {"create", "cancel"} else 0.06  # made seldom, and what they do matters most
            faults.append({"probability": random.uniform(0.002, most), **kind, "call": call, "times": None})
    random.shuffle(faults)
    return faults


def script_batches(random: Random) -> list[Fault]:
    """Faults of whole batches, and of their lines."""
    faults = random.sample(ENDS, 5) + random.sample(LINES, 5)
    return [{**fault, "times": None, "probability": random.uniform(0.02, 0.15)} for fault in faults]


def script_outage(random: Random) -> Fault:
    """Nothing works, or nothing can be cancelled, for up to three hours."""
    call = random.choice(("*", "*", "cancel"))
    return {**random.choice(OUTAGES), "call": call, "times": None, "seconds": random.randint(60, 10_800)}


QUOTE = "The request {prompt} cannot be served."
OUTAGES: list[Fault] = [
    {"kind": "status", "status": 503, "message": QUOTE},
    {"kind": "status", "status": 502, "body": "html", "message": QUOTE},
    {"kind": "status", "status": 429, "retry_after": 120},
    {"kind": "refuse"},
    {"kind": "timeout", "accepted": False},
    {"kind": "drop", "accepted": True},
]
ANY: list[Fault] = [
    {"kind": "status", "status": 429, "retry_after": 2, "message": QUOTE},
    {"kind": "status", "status": 429},
    {"kind": "status", "status": 500, "accepted": True, "message": QUOTE},
    {"kind": "status", "status": 503, "retry_after": 1},
    {"kind": "status", "status": 504, "accepted": True, "body": "html"},
    {"kind": "status", "status": 200, "accepted": True, "body": "html"},
    {"kind": "status", "status": 408, "accepted": True},
    {"kind": "status", "status": 502, "body": "empty"},
    {"kind": "timeout", "accepted": True},
    {"kind": "timeout", "accepted": False},
    {"kind": "drop", "accepted": True},
    {"kind": "drop", "accepted": False},
    {"kind": "refuse"},
    {"kind": "delay", "seconds_late": 3},
    {"kind": "cut", "at": 0.5},
]
_STATUS: list[Fault] = [
    {"kind": "fields", "set": {"status": "PAUSED"}},
    {"kind": "fields", "set": {"status": None, "progress": 3}},
    {"kind": "fields", "set": {"progress": 0}},
    {"kind": "fields", "set": {"progress": "many"}},
    {"kind": "fields", "remove": ["status"]},
    {"kind": "fields", "remove": ["created_at"]},
    {"kind": "fields", "remove": ["id"]},
]
# What each call can meet beside ANY. A refusal with 4xx never hides an acceptance: that would be a lie, not a fault.
CALLS: dict[str, list[Fault]] = {
    "upload_url": [{"kind": "status", "status": 413}],
    "upload": [{"kind": "status", "status": 413}, {"kind": "fields", "remove": ["id"]}],
    "put": [{"kind": "status", "status": 403, "message": QUOTE}],
    "preprocess": [{"kind": "status", "status": 404}],
    "get_file": [{"kind": "status", "status": 404}, {"kind": "fields", "remove": ["bytes"]}],
    "delete_file": [{"kind": "status", "status": 404}],
    "content": [
        {"kind": "status", "status": 404},
        {"kind": "cut", "at": 0.1},
        {"kind": "cut", "at": 0.9},
        {"kind": "cut", "at": 0.7, "honest": False, "probability": 0.01},  # three of the same in a row are taken for the file
        {"kind": "slow", "bytes_per_second": 300},
    ],
    "create": [
        {"kind": "status", "status": 400, "message": QUOTE},
        {"kind": "status", "status": 402},
        {"kind": "status", "status": 404},
        {"kind": "status", "status": 409, "accepted": True},
        {"kind": "fields", "remove": ["id"]},
        {"kind": "fields", "set": {"id": 7}},
        {"kind": "timeout", "accepted": True},
        {"kind": "drop", "accepted": True},
    ],
    "list_batches": [*_STATUS, {"kind": "fields", "remove": ["input_file_id"]}],
    "get_batch": [*_STATUS, {"kind": "status", "status": 404}],
    "cancel": [*_STATUS, {"kind": "status", "status": 404}, {"kind": "status", "status": 409}],
}
ENDS: list[Fault] = [
    {"kind": "stuck", "at": 0.0},
    {"kind": "stuck", "at": 0.6},
    {"kind": "end", "status": "FAILED", "files": False, "message": QUOTE},
    {"kind": "end", "status": "FAILED", "at": 0.5},
    {"kind": "end", "status": "EXPIRED", "at": 0.7},
    {"kind": "end", "status": "CANCELLED", "at": 0.3},
    {"kind": "end", "status": "COMPLETED", "files": False},
]
LINES: list[Fault] = [
    {"kind": "lines", "what": what, "share": share, "status": status, "message": QUOTE}
    for what, share, status in (
        ("error", 0.2, 500),
        ("error", 1.0, 429),
        ("status", 0.2, 0),
        ("status", 0.2, 400),
        ("status", 0.3, 503),
        ("body_error", 0.2, 200),
        ("null_body", 0.2, 200),
        ("missing", 0.2, 200),
        ("duplicate", 0.2, 200),
        ("contradicted", 0.2, 400),
        ("contradicted", 0.2, 503),
        ("foreign", 0.2, 200),
        ("malformed", 0.2, 200),
    )
]
