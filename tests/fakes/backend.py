"""A scripted backend: it reads a job's input from the bucket and writes results there, as the real one does."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from fakes.wire import Killed, Wire, external
from slacktide.backends.protocol import (
    Displaced,
    Ended,
    Found,
    Full,
    Limits,
    Missing,
    Rejected,
    Results,
    Running,
    Submitted,
    Uploaded,
    Work,
    stored_results,
)
from slacktide.backends.spool import Spool
from slacktide.bucket import Bucket
from slacktide.keys import line_range
from slacktide.models import Model

Request = dict[str, Any]
Answer = Callable[[Request, int], list[bytes]]  # a request and its round, to the lines that are written for it


def succeed(request: Request, _: int = 1) -> list[bytes]:
    """An answer that quotes the request, with usage."""
    said = json.dumps(request["body"])
    body = {
        "choices": [{"message": {"role": "assistant", "content": f"echo {said}"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    return [result(request["custom_id"], 200, body)]


def fail(status: int, message: str = "no") -> Answer:
    """An answer with an HTTP error."""
    return lambda request, _: [result(request["custom_id"], status, {"error": {"message": message}})]


def drop(_request: Request, _round: int) -> list[bytes]:
    """No line at all."""
    return []


def result(custom_id: str | None, status: int, body: object) -> bytes:
    """A result line as a backend writes it."""
    response = {"status_code": status, "request_id": "upstream-secret-id", "body": body}
    return json.dumps({"custom_id": custom_id, "response": response, "error": None}).encode()


@dataclass
class Upstream:
    """A job as the backend knows it."""

    work: Work
    turns: int
    displaced: bool = False
    stopped: bool = False
    written: bool = False


@dataclass
class FakeBackend:
    """`answer` decides about each request; `script` about the next submissions: full, rejected, displaced, crash."""

    wire: Wire
    bucket: Bucket
    answer: Answer = succeed
    script: deque[str] = field(default_factory=deque)
    turns: int = 2  # polls until a job has ended; a big number never ends
    limits: Limits = field(default_factory=lambda: Limits(object_lines=2, object_bytes=1_000_000))
    models: frozenset[str] | None = None
    finished_when_stopped: int = 0  # objects of a stopped job that have their output
    ledger: Counter[str] = field(default_factory=Counter)  # creations by name
    jobs: dict[str, Upstream] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    proves_by_listing: bool = False

    def upstream_model(self, model: Model) -> str | None:
        return "upstream/" + model.id if self.models is None or model.id in self.models else None

    def upload(self, work: Work, content: Spool) -> Uploaded:  # noqa: ARG002
        raise AssertionError(f"{work.name} is not uploaded: it is read from the bucket")

    def find(self, work: Work) -> list[Found]:
        raise AssertionError(f"{work.name} is not looked for: its name is the idempotency key")

    @external
    def submit(self, work: Work) -> Submitted | Full | Rejected:
        if work.name in self.jobs:
            return Submitted(work.name)
        match outcome := self.script.popleft() if self.script else "ok":
            case "full":
                return Full("The quota is used up.")
            case "rejected":
                return Rejected("The backend refused the job.")
        self.ledger[work.name] += 1
        self.jobs[work.name] = Upstream(work, self.turns, displaced=outcome == "displaced")
        if outcome == "crash":
            raise Killed
        return Submitted(work.name)

    @external
    def poll(self, work: Work) -> Running | Ended | Displaced | Missing:
        job = self.jobs.get(work.name)
        if job is None:
            return Missing()
        if job.displaced:
            return Displaced("No instance was free.")
        if job.stopped:
            return Ended("The job was stopped.")
        job.turns -= 1
        if job.turns > 0:
            return Running(0.5)
        self._write(job)
        return Ended()

    @external
    def cancel(self, work: Work) -> bool:
        job = self.jobs.get(work.name)
        if job is None or job.stopped or job.written or job.displaced:
            return True
        self._write(job, self.finished_when_stopped)
        job.stopped = True
        return False

    @external
    def results(self, work: Work, is_late: Callable[[], bool]) -> AbstractContextManager[Iterator[Results] | None]:  # noqa: ARG002
        found = self.bucket.list(work.output_prefix)
        return nullcontext(stored_results(self.bucket, key, size, *(line_range(key) or (0, 0))) for key, size in list(found))

    @property
    def creations(self) -> int:
        return sum(self.ledger.values())

    def _write(self, job: Upstream, most: int | None = None) -> None:
        """Answer the objects of the job's input, at most `most` of them."""
        if job.written:
            return
        job.written = True
        for key, _ in list(self.bucket.list(job.work.input_prefix))[:most]:
            lines: list[bytes] = []
            for text in self.bucket.lines(key):
                request = json.loads(text)
                self.seen.append(request)
                lines += self.answer(request, int(request["custom_id"].split(".")[1]))
            name = key.rpartition("/")[2]
            self.bucket.write(f"{job.work.output_prefix}{name}.out", b"".join(line + b"\n" for line in lines))
