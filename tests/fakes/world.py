"""Slacktide in one process: the real library and the real state machines over fakes, driven to the end of every batch."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from fakes.backend import FakeBackend
from fakes.clock import SettableClock
from fakes.listed import FakeHosted
from fakes.machines import TURNS, FakeStates, TaskFailedError
from fakes.messaging import FakeEvents, FakeQueue
from fakes.s3 import FakeS3
from fakes.table import FakeTable
from fakes.wire import Killed, Wire
from slacktide import assembly, collection, intake
from slacktide.accounts import Ledger
from slacktide.assembly import Assembler
from slacktide.backends.protocol import Backend
from slacktide.batch import Batch
from slacktide.bucket import Bucket
from slacktide.cancelling import Canceller
from slacktide.clock import Clock
from slacktide.creation import Creator
from slacktide.dead_letters import DeadLetters
from slacktide.deliveries import Deliveries
from slacktide.executions import Executions
from slacktide.files import Files
from slacktide.following import Follower
from slacktide.intake import Intake
from slacktide.jobs import Jobs
from slacktide.limits import LimitRecords, Limits, OwnerLimits
from slacktide.model_tables import ModelTables
from slacktide.models import ModelTable, shipped_models
from slacktide.notifications import Announcer
from slacktide.planning import Planner
from slacktide.quotas import Pool, Quotas
from slacktide.records import Records
from slacktide.retrying import RetryInput
from slacktide.routes import Routes
from slacktide.settings import Settings
from slacktide.slots import Slots
from slacktide.sources import Sources
from slacktide.steps import Announcement, Step, read_step
from slacktide.sweeping import Sweeper
from slacktide.tickets import Queues

BUCKET = "slacktide-bucket"
SETTINGS = Settings(bucket=BUCKET, table="table", event_bus="bus", function_timeout=900, input_queue_url="input")
MACHINE = "arn:aws:states:us-east-1:1:stateMachine:"
SWEEP_SECONDS = 300
VISIBILITY_SECONDS = 960
NOTHING = {
    "restarted": 0,
    "unannounced": 0,
    "stopped": 0,
    "sent": 0,
    "removed": 0,
    "released": 0,
}  # what a sweep did that found nothing to do


def jsonl(*requests: Any) -> bytes:
    """Requests as a file; bytes stand for themselves."""
    return b"".join((entry if isinstance(entry, bytes) else json.dumps(entry).encode()) + b"\n" for entry in requests)


def request(custom_id: str, prompt: str = "hello", **body: Any) -> dict[str, Any]:
    """A good chat request."""
    content = {"model": "smollm2", "messages": [{"role": "user", "content": prompt}]}
    return {"custom_id": custom_id, "body": content | body}


@dataclass
class World:
    """Everything, with a clock of its own. `hurry` makes every looping step stop as soon as it may."""

    clock: SettableClock = field(default_factory=SettableClock)
    wire: Wire = field(default_factory=Wire)
    settings: Settings = SETTINGS
    models: ModelTable = field(default_factory=shipped_models)
    hurry: bool = False
    has_hosted: bool = False
    aws: Callable[["World"], tuple[Any, Any]] | None = None  # other clients of S3 and of the table, for example moto's
    pools: dict[str, Pool] = field(default_factory=lambda: {"together": Pool(tokens=SETTINGS.together_enqueued_tokens)})
    limits: OwnerLimits | None = field(default_factory=OwnerLimits)  # of every owner; None: those in the table
    invocations: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.s3, self.table = self.aws(self) if self.aws else (FakeS3(self.wire, self.clock), FakeTable(self.wire))
        self.bus = FakeEvents(self.wire)
        self.queue = FakeQueue(self.wire)
        self.bucket = Bucket(self.s3, BUCKET)
        # What a backend does in the bucket is no call of a function.
        self.backend = FakeBackend(self.wire, Bucket(self.s3.unwired() if isinstance(self.s3, FakeS3) else self.s3, BUCKET))
        self.records = Records(self.table)
        self.states = FakeStates(self.wire, self.clock, self.functions())
        self.executions = Executions(self.states, MACHINE + "batch", MACHINE + "job")
        self.hosted = FakeHosted(self.wire, self.backend.bucket, self.clock)
        self.backends: dict[str, Backend] = {"sagemaker": self.backend}
        if self.has_hosted:
            self.backends = {"together": self.hosted, "sagemaker": self.backend}
        self.routes = Routes(self.models, self.backends)
        self.tables = ModelTables(self.bucket, self.models, self.backends)
        self.quotas = Quotas(Ledger(self.table), Queues(self.table), self.records, self.pools, self.limits_of, self.settings)
        self.batch_slots = Slots(Ledger(self.table), Queues(self.table), self.records, self.limits_of, self.settings)
        self.announcer = Announcer(self.bus, "bus", self.bucket, self.records, self.clock)
        self.canceller = Canceller(self.records, self.announcer, self.clock)
        self.files = Files(self.table)
        self.sources = Sources(self.bucket, self.settings)
        self.retries = RetryInput(self.bucket, self.records, self.files, self.sources)
        self.creator = Creator(self.records, self.queue, "input", self.clock)
        self.intake = Intake(
            self.bucket,
            self.records,
            self.sources,
            self.retries,
            self.announcer,
            self.executions,
            self.tables,
            self.quotas,
            self.settings,
            self.clock,
        )
        self.deliveries = Deliveries(self.intake, self.canceller, self.queue, self.settings)
        self.planner = Planner(
            self.bucket, self.records, self.executions, self.announcer, self.tables, self.batch_slots, self.settings, self.clock
        )
        self.follower = Follower(self.records, self.executions, self.announcer, self.settings, self.clock)
        self.jobs = Jobs(self.bucket, self.records, self.backends, self.tables, self.quotas, self.settings)
        self.assembler = Assembler(self.bucket, self.records, self.announcer, self.settings, self.clock)
        self.dead_letters = DeadLetters(self.bucket, self.records, self.queue, "dead-letters")
        self.sweeper = Sweeper(
            self.records,
            self.files,
            self.creator,
            self.bucket,
            self.executions,
            self.announcer,
            self.backends,
            self.quotas,
            self.batch_slots,
            self.settings,
            self.clock,
        )

    def limits_of(self, owner: str) -> OwnerLimits:
        return Limits(LimitRecords(self.table), self.settings).of(owner) if self.limits is None else self.limits

    # The functions, as functions/*/app.py calls the library

    def functions(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        def step(call: Callable[[Step], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
            return lambda event: msgspec.to_builtins(call(read_step(event)))

        return {
            "plan": step(lambda to: self.planner.plan(to.batch_id)),
            "follow": step(lambda to: self.follower.follow(to.batch_id, to.wait_seconds)),
            "submit": step(
                lambda to: self.jobs.submit(
                    to.batch_id, to.job, clock=self.invocation_clock, cursor=to.cursor, wait_seconds=to.wait_seconds
                )
            ),
            "poll": step(lambda to: self.jobs.poll(to.batch_id, to.job, now=self.clock(), wait_seconds=to.wait_seconds)),
            "collect": step(
                lambda to: self.jobs.collect(
                    to.batch_id, to.job, clock=self.invocation_clock, cursor=to.cursor, wait_seconds=to.wait_seconds
                )
            ),
            "assemble": step(
                lambda to: self.assembler.assemble(to.batch_id, cursor=to.cursor, is_late=self.is_late, gave_up=to.gave_up)
            ),
            "dead_letter": step(lambda to: self.dead_letters.send(to.batch_id, cursor=to.cursor, is_late=self.is_late)),
            "announce": step(lambda to: Announcement(self.announcer.conclude(to.batch_id).status)),
            "sweep": lambda _: self.sweeper.sweep(),
        }

    def is_late(self) -> bool:
        return self.hurry

    @property
    def invocation_clock(self) -> Clock:
        return Clock(self.clock, 0 if self.hurry else float("inf"))

    # What a user does

    def drop(self, content: bytes, path: str = "a.jsonl", **metadata: str) -> dict[str, Any]:
        """Put a file into the drop zone; answers the event that S3 would send."""
        key = f"input/{path}"
        named = {name.replace("_", "-"): value for name, value in metadata.items()}
        put = self.s3.put_object(Bucket=BUCKET, Key=key, Body=content, Metadata=named)
        return self.event(key, put["ETag"], put["VersionId"])

    def event(self, key: str, etag: str, version_id: str | None) -> dict[str, Any]:
        thing = {"key": key, "size": 1, "etag": etag.strip('"'), "sequencer": "1"}
        if version_id is not None:
            thing["version-id"] = version_id
        return {
            "version": "0",
            "id": "1",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "time": self.clock.utc().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "detail": {"version": "0", "bucket": {"name": BUCKET}, "object": thing, "reason": "PutObject"},
        }

    # What AWS does

    def deliver(self, event: dict[str, Any], *, receives: int = 5) -> bool:
        """Hand the event to validate, as often as the queue does; the rest of the world goes on in between."""
        for count in range(1, receives + 1):
            try:
                with self.wire.invocation("validate"):
                    self.deliveries.handle(self.record(event, count), invocation=f"invocation-{next(self.invocations)}")
            except (Exception, Killed):
                self.run_until(self.clock() + VISIBILITY_SECONDS)
            else:
                return True
        return False

    def record(self, event: dict[str, Any], receives: int = 1) -> dict[str, Any]:
        return {
            "messageId": "m",
            "receiptHandle": "r",
            "body": json.dumps(event),
            "attributes": {"ApproximateReceiveCount": str(receives)},
            "eventSource": "aws:sqs",
        }

    def run_until(self, time: int) -> None:
        """Let executions go on until a time, with sweeps in between."""
        for _ in range(TURNS):
            due = min((execution.wakes_at for execution in self.states.running()), default=time)
            if due >= time or self.clock() >= time:
                break
            self.states.step()
        self.clock.advance_to(time)

    def run(self) -> None:
        """Go on until every batch has ended and every event is sent."""
        for _ in range(TURNS):
            if self.states.step():
                continue
            if not list(self.records.open_batches()) and not list(self.records.abandoned_jobs()):
                return
            self.clock.advance(SWEEP_SECONDS)
            self.sweep()
        raise AssertionError("the batches do not come to an end")

    def sweep(self) -> dict[str, int] | None:
        """One scheduled run of sweep; None when it was killed."""
        try:
            return self.states.invoke("sweep", {})
        except TaskFailedError as failure:
            if not isinstance(failure.__cause__, Killed):
                raise
            return None

    def process(self, content: bytes, path: str = "a.jsonl", **metadata: str) -> "Outcome":
        """Drop a file and go on to its end."""
        assert self.deliver(self.drop(content, path, **metadata)), "the queue gave the message up"
        self.run()
        return self.outcome()

    def batches(self) -> list[Batch]:
        keys = [key for key in self.table.items if key[1] == "batch"]
        return [self.records.get_batch(pk) for pk, _ in keys]

    def latest(self) -> dict[str, Any]:
        """`latest.json` of the only input."""
        (key,) = (key for key in self.s3.keys("output/") if key.endswith("latest.json"))
        return json.loads(self.s3.data(key))

    def outcome(self) -> "Outcome":
        """What became of the only batch."""
        (batch,) = self.batches()
        return Outcome.of(self, batch.batch_id)


@dataclass(frozen=True)
class Outcome:
    """The results of a batch as its user reads them."""

    batch: Batch
    output: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    manifest: dict[str, Any]
    receipt: dict[str, Any]
    latest: dict[str, Any]
    raw: tuple[bytes, bytes]

    @classmethod
    def of(cls, world: World, batch_id: str) -> "Outcome":
        batch = world.records.get_batch(batch_id)
        results = batch.results
        raw = world.bucket.read(results.output), world.bucket.read(results.errors)
        output, errors = ([json.loads(line) for line in text.splitlines()] for text in raw)
        manifest, receipt = json.loads(world.bucket.read(results.manifest)), json.loads(world.bucket.read(results.receipt))
        latest = json.loads(world.bucket.read(f"output/{results.path}/latest.json"))
        return cls(batch, output, errors, manifest, receipt, latest, raw)

    @property
    def codes(self) -> dict[int, str]:
        """The code of each line in the error file."""
        return {line["line"]: line["error"]["code"] for line in self.errors}


def force_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes so small that a handful of lines takes many invocations of every looping step."""
    monkeypatch.setattr(assembly, "CHECK_EVERY", 1)
    monkeypatch.setattr(collection, "PART_LINES", 1)
    monkeypatch.setattr("slacktide.parts.PART_LINES", 2)
    monkeypatch.setattr("slacktide.uploads.PART_BYTES", 300)
    monkeypatch.setattr("slacktide.dead_letters.BATCH_ENTRIES", 1)
    monkeypatch.setattr("slacktide.dead_letters.SENDERS", 1)


def force_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of batches that are the same in every run: the first is all a."""
    letters = iter("abcdefghijklmnopqrstuvwxyz234567")
    monkeypatch.setattr(intake, "new_batch_id", lambda: "batch_" + next(letters) * 26)
