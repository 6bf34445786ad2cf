"""Fault scripts: what goes wrong, which call or batch it meets, and how often.

Every kind takes `times` (default 1; null: for ever), `skip` (calls that pass first), `probability` (seeded), `match` (part of the
path of a call, or of the first custom_id of a batch) and `seconds` (how long after it was scripted it is in force).
"""

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, Literal, TypeVar

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Call = Literal[
    "upload_url", "put", "preprocess", "upload", "list_files", "get_file", "delete_file", "content",
    "create", "list_batches", "get_batch", "cancel", "whoami", "*",
]  # fmt: skip


class Fault(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True, kw_only=True):
    """When a fault is met."""

    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    skip: Natural = 0
    probability: Share = 1.0
    match: str = ""
    seconds: float | None = None


class CallFault(Fault, frozen=True):
    """A fault of one call."""

    call: Call = "*"


class Status(CallFault, frozen=True, tag="status"):
    """The answer is this one; with `accepted` the call was carried out all the same."""

    status: int = 503
    body: Literal["json", "html", "text", "empty"] = "json"
    message: str = "Scripted error of the fake Together."
    code: str | None = None
    retry_after: float | None = None
    accepted: bool = False


class Timeout(CallFault, frozen=True, tag="timeout"):
    """No answer comes."""

    accepted: bool = True


class Drop(CallFault, frozen=True, tag="drop"):
    """The connection ends without an answer."""

    accepted: bool = True


class Refuse(CallFault, frozen=True, tag="refuse"):
    """No connection is made. A server cannot refuse one call alone, so over sockets it is a drop before acceptance."""


class Delay(CallFault, frozen=True, kw_only=True, tag="delay"):
    """The answer comes late."""

    seconds_late: float


class Fields(CallFault, frozen=True, tag="fields"):
    """Members of the answer are set or removed: of a job, of the `job` of a created one, or of each element of a list."""

    set: dict[str, Any] = {}
    remove: tuple[str, ...] = ()


class Cut(CallFault, frozen=True, tag="cut"):
    """Only the first part of the body comes. `honest`: Content-Length tells the full size, so that it shows."""

    at: Share = 0.5
    honest: bool = True


class Slow(CallFault, frozen=True, kw_only=True, tag="slow"):
    """The body trickles."""

    bytes_per_second: Annotated[float, msgspec.Meta(gt=0)]


class BatchFault(Fault, frozen=True):
    """A fault of a whole batch, met when it is created."""


class Stuck(BatchFault, frozen=True, tag="stuck"):
    """The batch stays in progress when this share is done, until it is cancelled or expires."""

    at: Share = 0.5


class End(BatchFault, frozen=True, kw_only=True, tag="end"):
    """The batch ends like this when a share is done. Without `files` its results are lost, though paid for."""

    status: Literal["FAILED", "EXPIRED", "CANCELLED", "COMPLETED"]
    at: Share | None = None  # by default FAILED at once, COMPLETED when all is done, the others half-way
    files: bool = True
    message: str | None = None


class Lines(BatchFault, frozen=True, kw_only=True, tag="lines"):
    """Some lines come back wrong: a share of them, so many, or those whose custom_id contains a text; by default all."""

    what: Literal["error", "status", "body_error", "null_body", "missing", "duplicate", "contradicted", "foreign", "malformed"]
    share: Share = 1.0
    count: Natural | None = None
    containing: str | None = None
    status: int = 500
    message: str = "Scripted error of the fake Together."


Scripted = Status | Timeout | Drop | Refuse | Delay | Fields | Cut | Slow | Stuck | End | Lines
Wanted = TypeVar("Wanted", bound=Fault)
DEFAULT_END = {"FAILED": 0.0, "COMPLETED": 1.0, "EXPIRED": 0.5, "CANCELLED": 0.5}


def read_faults(value: object) -> list[Scripted]:
    """One fault or a list of them, from JSON or TOML values; msgspec.ValidationError says what is wrong."""
    return msgspec.convert(value if isinstance(value, Sequence) else [value], list[Scripted])


class _Pending:
    """A fault that is still to come."""

    def __init__(self, fault: Fault, since: float) -> None:
        self.fault, self.since = fault, since
        self.left, self.to_skip = fault.times, fault.skip

    def is_over(self, now: float) -> bool:
        return self.left == 0 or (self.fault.seconds is not None and now - self.since >= self.fault.seconds)

    def is_met(self, random: Random) -> bool:
        """Whether it strikes now; used up once if so."""
        if self.to_skip:
            self.to_skip -= 1
            return False
        if self.fault.probability < 1 and random.random() >= self.fault.probability:
            return False
        self.left = None if self.left is None else self.left - 1
        return True


class Faults:
    """What is still to come, in the order in which it was scripted."""

    def __init__(self, random: Random) -> None:
        self._pending: list[_Pending] = []
        self._random = random

    def add(self, faults: Sequence[Fault], now: float) -> None:
        self._pending.extend(_Pending(fault, now) for fault in faults)

    def clear(self) -> None:
        self._pending.clear()

    def export(self) -> list[Any]:
        """The faults that are still to come, with the times that are left."""
        return [{**msgspec.to_builtins(entry.fault), "times": entry.left} for entry in self._pending if entry.left != 0]

    def take_call(self, call: str, path: str, now: float) -> CallFault | None:
        """The first fault that meets this call."""
        found = self._take(CallFault, path, now, call=call, most=1)
        return found[0] if found else None

    def take_batch(self, first_id: str, now: float) -> list[BatchFault]:
        """All faults that meet a new batch: one may get stuck and lose lines."""
        return self._take(BatchFault, first_id, now)

    def _take(
        self, kind: type[Wanted], text: str, now: float, *, call: str | None = None, most: int | None = None
    ) -> list[Wanted]:
        self._pending = [entry for entry in self._pending if not entry.is_over(now)]
        found: list[Wanted] = []
        for entry in self._pending:
            fault = entry.fault
            if not isinstance(fault, kind) or fault.match not in text or len(found) == most:
                continue
            if isinstance(fault, CallFault) and fault.call not in {call, "*"}:
                continue
            if entry.is_met(self._random):
                found.append(fault)
        return found
