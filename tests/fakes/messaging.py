"""An event bus and a queue as lists, with the failures that hide in a 200."""
# ruff: noqa: N803 - the names of arguments are boto3's

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from fakes.wire import Wire, external


@dataclass
class FakeEvents:
    """EventBridge: `refusals` is how many of the next entries are not taken."""

    wire: Wire
    entries: list[dict[str, Any]] = field(default_factory=list)
    refusals: int = 0

    @external
    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.refusals:
            self.refusals -= 1
            return {"FailedEntryCount": len(Entries), "Entries": [{"ErrorCode": "ThrottlingException"}]}
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}

    def details(self, batch_id: str | None = None) -> list[dict[str, Any]]:
        """The details of the events of batches, each once, in the order of their sequence."""
        details = [json.loads(entry["Detail"]) for entry in self.entries if entry["DetailType"].startswith("Batch ")]
        known = {detail["metadata"]["event_id"]: detail for detail in details}
        wanted = [detail for detail in known.values() if batch_id in {None, detail["data"]["batch_id"]}]
        return sorted(wanted, key=lambda detail: detail["data"]["sequence"])

    def notices(self) -> list[tuple[str, str]]:
        """The detail types of the events of jobs, each once, with the job."""
        told = [(entry["DetailType"], json.loads(entry["Detail"])["data"]) for entry in self.entries]
        return sorted({(kind, data["job_id"]) for kind, data in told if "job_id" in data})


@dataclass
class FakeQueue:
    """SQS: `failures` holds, for each of the next calls, the ids that are not taken."""

    wire: Wire
    bodies: list[str] = field(default_factory=list)
    failures: deque[set[str]] = field(default_factory=deque)
    calls: list[list[str]] = field(default_factory=list)
    visibilities: list[int] = field(default_factory=list)

    @external
    def send_message_batch(self, *, Entries: list[dict[str, str]], **_: Any) -> dict[str, Any]:
        assert 1 <= len(Entries) <= 10, "SQS takes 1 to 10 entries"
        assert len({entry["Id"] for entry in Entries}) == len(Entries), "ids of entries differ"
        failed = self.failures.popleft() if self.failures else set()
        self.calls.append([entry["Id"] for entry in Entries])
        self.bodies += [entry["MessageBody"] for entry in Entries if entry["Id"] not in failed]
        return {"Failed": [{"Id": entry["Id"]} for entry in Entries if entry["Id"] in failed]}

    @external
    def send_message(self, *, MessageBody: str, **_: Any) -> None:
        self.bodies.append(MessageBody)

    @external
    def change_message_visibility(self, *, VisibilityTimeout: int, **_: Any) -> None:
        self.visibilities.append(VisibilityTimeout)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]
