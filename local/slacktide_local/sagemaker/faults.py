"""Scripted conditions: what goes wrong in a real account, ordered by a test through `POST /_control/faults`.

    {"kind": "quota", "times": 2}                          CreateTransformJob answers ResourceLimitExceeded
    {"kind": "error", "action": "DescribeTransformJob", "code": "ThrottlingException", "message": "Rate exceeded"}
    {"kind": "capacity", "delay_seconds": 0.5}             the job is accepted, and fails with a CapacityError
    {"kind": "drop_after_accept", "answer": "500"}         the job is created; the caller sees a 500, or by default
                                                           a closed "connection"
    {"kind": "stall"}                                      the job stays InProgress until /_control/release or a stop

Every kind takes `times` (default 1) and `name_contains` (default: every name). Note that boto3 itself retries a 500 and
a closed connection, and then sees ResourceInUse; a client with `retries={"total_max_attempts": 1}` sees the error.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

Times = Annotated[int, msgspec.Meta(ge=1)]


class Fault(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True, kw_only=True):
    """A condition that is met `times` times, by calls whose name contains `name_contains`."""

    times: Times = 1
    name_contains: str = ""


class Quota(Fault, frozen=True, tag="quota"):
    """The account's quota for the instance type is too small for the job."""

    limit: int = 0
    utilization: int = 0


class Refusal(Fault, frozen=True, tag="error"):
    """An action answers with this error."""

    action: str
    code: str
    message: str = "Scripted error of the local SageMaker stand-in."
    status: int = 400


class Capacity(Fault, frozen=True, tag="capacity"):
    """No machine of this type is free; SageMaker finds out after it accepted the job."""

    delay_seconds: float = 0.2
    reason: str = (
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
    )


class DropAfterAccept(Fault, frozen=True, tag="drop_after_accept"):
    """The job is created, and the answer is lost."""

    answer: Literal["connection", "500"] = "connection"


class Stall(Fault, frozen=True, tag="stall"):
    """The job stays InProgress and starts no container."""


Scripted = Quota | Refusal | Capacity | DropAfterAccept | Stall
Kind = TypeVar("Kind", Quota, Refusal, Capacity, DropAfterAccept, Stall)


def read_faults(body: bytes) -> list[Scripted]:
    """One fault, or a list of them, from JSON; msgspec.ValidationError says what is wrong."""
    return (
        msgspec.json.decode(body, type=list[Scripted])
        if body.lstrip()[:1] == b"["
        else [msgspec.json.decode(body, type=Scripted)]
    )


def format_quota(fault: Quota, *, instance_type: str, count: int) -> str:
    """AWS's message for a quota of transform jobs that is used up, with the quota's name."""
    return (
        f"The account-level service limit '{instance_type} for transform job usage' is {fault.limit} Instances, with"
        f" current utilization of {fault.utilization} Instances and a request delta of {count} Instances. Please use"
        " AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS"
        " support to request an increase for this quota."
    )


class Faults:
    """The conditions that are still to come, in the order in which they were scripted."""

    def __init__(self) -> None:
        self._pending: list[Scripted] = []

    def add(self, faults: list[Scripted]) -> None:
        self._pending.extend(faults)

    def clear(self) -> None:
        self._pending.clear()

    def export(self) -> list[Scripted]:
        return list(self._pending)

    def take(self, kind: type[Kind], name: str, *, action: str | None = None) -> Kind | None:
        """The first pending condition of a kind that fits the name (and the action), used up once; None without one."""
        for place, fault in enumerate(self._pending):
            if not isinstance(fault, kind) or fault.name_contains not in name:
                continue
            if isinstance(fault, Refusal) and fault.action != action:
                continue
            left = fault.times - 1
            self._pending[place : place + 1] = [msgspec.structs.replace(fault, times=left)] if left else []
            return fault
        return None
