"""One of several processes that want room for their jobs in one pool; run by test_quota_contention.py.

Prints one JSON line for each event. The process that is to die stops for ever when its job is first in the queue and there is
room for it: in front of the transaction that would reserve.
"""

import json
import signal
import sys
import time
from typing import Any

import boto3
from botocore.config import Config

from slacktide.accounts import Ledger, Reservation
from slacktide.batch import Job
from slacktide.limits import OwnerLimits
from slacktide.quotas import Granted, Pool, Quotas
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import JobState
from slacktide.tickets import Queues, Ticket

PAUSE = 0.015  # seconds for each place in the queue
RUNS = 4 * PAUSE  # seconds of a job: longer than the second in the queue waits between two looks, so that it can run beside it
LIMIT = 10_000  # tokens of the pool
MOST_JOBS = 4
TICKS = 2  # in one second: leases are whole numbers, and the test is to be quick
SETTINGS = Settings(bucket="b", table="table", event_bus="e", wait_first=1, wait_longest=1, function_timeout=1)
RENEWALS = 8  # ticks between two renewals of all tickets; a lease is 18


def connect(endpoint: str, access_key: str, secret_key: str) -> Any:
    """The table of the emulator."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 5})
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key, "region_name": "us-east-1"}
    return boto3.resource("dynamodb", endpoint_url=endpoint, config=config, **keys).Table("table")


def quotas_of(table: Any, ledger: Ledger) -> Quotas:
    pools = {"together": Pool(tokens=LIMIT, jobs=MOST_JOBS)}
    return Quotas(ledger, Queues(table), Records(table), pools, lambda _: OwnerLimits(), SETTINGS)


def now() -> int:
    return int(time.time() * TICKS)


def say(event: str, job: Job, **more: object) -> None:
    print(json.dumps({"event": event, "batch_id": job.batch_id, "at": time.monotonic(), **more}), flush=True)


class Stopping(Ledger):
    """Whoever would reserve for the doomed job stops."""

    doomed = ""

    def reserve(self, reservation: Reservation, ticket: Ticket) -> bool:
        if reservation.batch_id == self.doomed:
            print(json.dumps({"event": "head", "batch_id": self.doomed, "at": time.monotonic()}), flush=True)
            while True:
                signal.pause()
        return super().reserve(reservation, ticket)


class Worker:
    """Asks for its jobs until all of them have run."""

    def __init__(self, table: Any, batch_ids: list[str], doomed: str) -> None:
        Stopping.doomed = doomed
        self.quotas = quotas_of(table, Stopping(table))
        self.records = Records(table)
        self.waiting = [self.records.get_job(batch_id, "r1-j1") for batch_id in batch_ids]
        self.batches = {batch_id: self.records.get_batch(batch_id) for batch_id in batch_ids}
        self.running: dict[str, tuple[Job, float]] = {}  # by batch, with the time of its end
        self.renewed = self.place = 0

    def run(self) -> None:
        self.meet("ready")
        for job in self.waiting:
            assert not self.ask(job), "the pool is closed until all have a ticket"
        self.renewed = now()
        self.meet("queued")
        while self.waiting or self.running:
            self.turn()

    def meet(self, event: str) -> None:
        """Wait until all processes have come so far."""
        print(json.dumps({"event": event}), flush=True)
        sys.stdin.readline()

    def turn(self) -> None:
        """Ask for the first; end what has run for its time."""
        if now() - self.renewed >= RENEWALS:
            self.renew()
        self.place = 0
        for job in self.waiting[:1]:
            if self.ask(job):
                self.running[job.batch_id] = job, time.monotonic() + RUNS
                self.waiting.remove(job)
        for job, until in list(self.running.values()):
            if time.monotonic() >= until:
                del self.running[job.batch_id]
                self.end(job)
        time.sleep(min(0.3, PAUSE * self.place))  # as the machine waits between two looks

    def renew(self) -> None:
        """Keep the tickets of those that are not asked for now, as their own executions would by asking."""
        self.renewed = now()
        for job in self.waiting[1:]:
            self.quotas.queues.take(self.quotas._ticket(self.batches[job.batch_id], job, now()))

    def ask(self, job: Job) -> bool:
        begun = time.monotonic()
        answer = self.quotas.ask(self.batches[job.batch_id], job, now())
        if isinstance(answer, Granted):
            used = self.quotas.ledger.find(job.batch_id, job.job_id)
            assert used is not None
            say("granted", job, begun=begun, used=self.quotas.ledger.account(used.charges[0]).used)
            return True
        self.place = getattr(answer, "place", None) or 0
        return False

    def end(self, job: Job) -> None:
        say("ended", job)
        settled = self.records.update_job(job, state=JobState.SETTLED)
        self.quotas.settle(settled, now())


if __name__ == "__main__":
    endpoint, access_key, secret_key, doomed, *batch_ids = sys.argv[1:]
    Worker(connect(endpoint, access_key, secret_key), batch_ids, doomed).run()
