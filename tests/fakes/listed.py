"""A hosted backend in process: files by content, jobs without an idempotency key, a list of jobs, and scripted faults."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from fakes.backend import Answer, Request, succeed
from fakes.clock import SettableClock
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
    Unknown,
    Uploaded,
    Work,
)
from slacktide.backends.spool import Spool
from slacktide.bucket import Bucket
from slacktide.errors import BackendError
from slacktide.models import Model


@dataclass
class Listed:
    """A job as the backend knows it. `is_seen_from`: from when on it is listed and known."""

    upstream_id: str
    file_id: str
    created_at: int
    is_seen_from: int
    turns: int
    cancels: int = 0  # how often it was asked to stop
    state: str = "running"  # running | completed | cancelled | displaced
    done: int = 0  # lines that were answered, and are billed


@dataclass
class FakeHosted:
    """The backend `together`. `creates`, `polls` and `uploads` script the next calls; the rest goes well.

    creates: full, rejected, lost (created, the answer is not), dropped (not created, which nobody knows), late:<seconds> (as
    lost, and not to be seen before), crash (created, then the function is gone), displaced. polls: missing, silent (no word
    of progress), forget (the job is not known any more from then on). uploads: full, rejected.
    """

    wire: Wire
    bucket: Bucket
    clock: SettableClock
    answer: Answer = succeed
    creates: deque[str] = field(default_factory=deque)
    polls: deque[str] = field(default_factory=deque)
    uploads: deque[str] = field(default_factory=deque)
    turns: int = 2  # polls until a job has ended
    share: float = 0.5  # of a job that runs
    done_when_stopped: int = 0  # lines of a cancelled job that were answered
    cancels_needed: int = 1  # how often a job is asked until it has ended; a big number: it never does
    is_down: bool = False  # neither lists nor files can be had
    limits: Limits = field(default_factory=lambda: Limits(object_lines=2, object_bytes=1_000_000))
    models: frozenset[str] | None = None
    files: dict[str, list[Request]] = field(default_factory=dict)
    jobs: dict[str, Listed] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    proves_by_listing: bool = True

    def upstream_model(self, model: Model) -> str | None:
        return "hosted/" + model.id if self.models is None or model.id in self.models else None

    def upload(self, work: Work, content: Spool) -> Uploaded | Full | Rejected:  # noqa: ARG002
        text = b"".join(content.rewind())
        self.wire.before("FakeHosted.upload")
        try:
            return self._take(text)
        finally:
            self.wire.after()

    def _take(self, text: bytes) -> Uploaded | Full | Rejected:
        self.calls["upload"] += 1
        match self.uploads.popleft() if self.uploads else "ok":
            case "full":
                return Full("The backend has no room for files now.", 40)
            case "rejected":
                return Rejected("The backend refused the file.")
        file_id = "file-" + hashlib.sha256(text).hexdigest()[:12]
        self.files[file_id] = [json.loads(line) for line in text.splitlines()]
        return Uploaded(file_id)

    @external
    def submit(self, work: Work) -> Submitted | Full | Rejected | Unknown:
        self.calls["submit"] += 1
        assert work.file_id in self.files, "a job of a file that is not there"
        outcome, _, seconds = (self.creates.popleft() if self.creates else "ok").partition(":")
        match outcome:
            case "full":
                return Full("The backend has no room for jobs now.", 40)
            case "rejected":
                return Rejected("The backend refused the job.")
            case "dropped":
                return Unknown("The backend did not answer.")
        now = self.clock()
        job = Listed(f"up-{len(self.jobs) + 1}", work.file_id, now, now + int(seconds or 0), self.turns)
        self.jobs[job.upstream_id] = job
        if outcome == "displaced":
            job.state = "displaced"
        if outcome == "crash":
            raise Killed
        return Unknown("The backend did not answer.") if outcome in {"lost", "late"} else Submitted(job.upstream_id)

    @external
    def find(self, work: Work) -> list[Found]:
        self.calls["find"] += 1
        if self.is_down:
            raise BackendError("the backend has no list now: 503")
        seen = [job for job in self.jobs.values() if job.file_id == work.file_id and job.is_seen_from <= self.clock()]
        return [Found(job.upstream_id, job.created_at, job.state != "running") for job in seen]

    @external
    def poll(self, work: Work) -> Running | Ended | Displaced | Missing:
        self.calls["poll"] += 1
        assert work.upstream_id is not None
        scripted = self.polls.popleft() if self.polls else "ok"
        if scripted == "silent":
            return Running(None)
        if scripted == "forget":
            del self.jobs[work.upstream_id]
        job = self.jobs.get(work.upstream_id)
        if job is None or scripted == "missing":
            return Missing()
        job.turns -= 1
        if job.state == "running" and job.turns <= 0:
            job.state, job.done = "completed", len(self.files[job.file_id])
        if job.state == "running":
            return Running(self.share)
        if job.state == "displaced":
            return Displaced("The backend had no room for its tokens.")
        return Ended("The job was cancelled." if job.state == "cancelled" else None)

    @external
    def cancel(self, work: Work) -> bool:
        self.calls["cancel"] += 1
        assert work.upstream_id is not None, "which of them?"
        job = self.jobs.get(work.upstream_id)
        if job is None or job.state != "running":
            return True
        job.cancels += 1
        if job.cancels >= self.cancels_needed:
            job.state, job.done = "cancelled", self.done_when_stopped
        return False

    @external
    def results(self, work: Work, is_late: Callable[[], bool]) -> AbstractContextManager[Iterator[Results] | None]:  # noqa: ARG002
        if work.upstream_id is None:
            return nullcontext(iter(()))
        self.calls["results"] += 1
        if self.is_down:
            raise BackendError("the backend has no files now: 503")
        job = self.jobs[work.upstream_id]
        return nullcontext(self._answers(self.files[job.file_id][: job.done]))

    def _answers(self, requests: list[Request]) -> Iterator[Results]:
        for request in requests:
            _, round_number, line = request["custom_id"].rsplit(".", 2)
            lines = list(self.answer(request, int(round_number)))
            yield Results(int(line), int(line), sum(map(len, lines)), partial(iter, lines))

    @property
    def creations(self) -> int:
        return len(self.jobs)

    @property
    def billed(self) -> Counter[str]:
        """How often each line was answered, by its round and number."""
        done = (request for job in self.jobs.values() for request in self.files[job.file_id][: job.done])
        return Counter(request["custom_id"].partition(".")[2] for request in done)

    @property
    def live(self) -> list[str]:
        """The jobs that still run."""
        return [job.upstream_id for job in self.jobs.values() if job.state == "running"]
