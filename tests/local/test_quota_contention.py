"""Eight processes with a hundred jobs want one pool of the emulator's DynamoDB; the one that is first in the queue is killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from quota_worker import LIMIT, MOST_JOBS, connect, now, quotas_of

from fakes.schema import create_table
from slacktide.accounts import Ledger, Reservation, jobs_charge, pool_charge
from slacktide.batch import Batch, Job, ObjectRef, Options, StatusChange
from slacktide.records import Records
from slacktide.statuses import BatchStatus, JobState
from slacktide.tickets import Queues, Ticket
from slacktide_local.environment import Credentials
from slacktide_local.ministack import health_url, ministack_command, ministack_environment
from slacktide_local.network import LOOPBACK, find_free_ports, wait_until_healthy
from slacktide_local.processes import end_process, start_process

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("quota_worker.py")
SEED = 20_261_125
JOBS, PROCESSES = 100, 8
DOOMED = 20  # the place of the job whose process is killed
LONGEST = 60  # seconds
CLOSED = Ticket("queue#together", "0", "closed", "r1-j1", "m", LIMIT, 0)


@dataclass(frozen=True)
class Emulator:
    """DynamoDB on a loopback port, with the table."""

    arguments: tuple[str, str, str]

    @property
    def table(self) -> Any:
        return connect(*self.arguments)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    (port,) = find_free_ports(1)
    endpoint, credentials = f"http://{LOOPBACK}:{port}", Credentials.create()
    environment = ministack_environment(
        port=port, temporary=tmp_path, credentials=credentials, sagemaker_url=endpoint, wait_scale=1
    )
    command = ministack_command(ROOT / ".slacktide" / "venvs" / "cloud")
    process = start_process(
        "ministack", command, environment=environment, log=tmp_path / "log", directory=tmp_path, is_tethered=True
    )
    try:
        wait_until_healthy(health_url(endpoint), process)
        emulator = Emulator((endpoint, credentials.access_key, credentials.secret_key))
        create_table(emulator.table.meta.client)
        yield emulator
    finally:
        end_process(process)


def plan(records: Records, random: Random) -> list[Job]:
    """Batches of one job each, of every priority and size, in the order in which they are to run."""
    made: list[tuple[int, str, Job]] = []
    for number in range(JOBS):
        batch_id = f"batch_{number:026d}"
        created, priority = 1_000_000 + number * 300, random.choice(("high", "normal", "low"))
        source = ObjectRef("b", "input/a.jsonl", str(number), 1)
        history = [StatusChange(BatchStatus.IN_PROGRESS, created)]
        deadline = now() + 10**6
        options = Options(priority=priority)
        records.create_batch(
            Batch(batch_id, "drop", BatchStatus.IN_PROGRESS, source, created, deadline, history, options=options)
        )
        amount = random.choice((1_000, 2_500, 4_000, LIMIT))
        job = Job(batch_id, "r1-j1", 1, "together", "m", "m", "/v1/completions", "g1", 1, 1, 1, created, prompt_bound=amount)
        records.put_job(job)
        made.append((created + {"high": -14_400, "normal": 0, "low": 14_400}[priority], batch_id, job))
    return [job for _, _, job in sorted(made, key=lambda entry: entry[:2])]


def start_workers(emulator: Emulator, jobs: list[Job], folder: Path) -> list[subprocess.Popen[bytes]]:
    """The jobs are dealt out like cards; the events of each process go to a file."""
    path = os.pathsep.join(str(ROOT / name) for name in ("layers/core", "tests"))
    workers: list[subprocess.Popen[bytes]] = []
    for number in range(PROCESSES):
        mine = [job.batch_id for job in jobs[number::PROCESSES]]
        command = [sys.executable, str(WORKER), *emulator.arguments, jobs[DOOMED].batch_id, *mine]
        with (folder / f"events-{number}").open("wb") as events, (folder / f"errors-{number}").open("wb") as errors:
            environment = {"PATH": os.defpath, "PYTHONPATH": path}
            workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=events, stderr=errors, env=environment))
    return workers


class Events:
    """What the processes have said so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> list[dict[str, Any]]:
        texts = [path.read_bytes() for path in sorted(self.folder.glob("events-*"))]
        whole = [text[: text.rfind(b"\n") + 1] for text in texts]
        return [json.loads(line) for text in whole for line in text.splitlines()]

    def wait(self, workers: list[subprocess.Popen[bytes]], name: str, count: int, until: float) -> None:
        while sum(event["event"] == name for event in self.read()) < count:
            ill = [number for number, worker in enumerate(workers) if worker.poll() not in {None, 0}]
            assert not ill, (self.folder / f"errors-{ill[0]}").read_text()
            assert time.monotonic() < until, f"no {name} in time"
            time.sleep(0.02)


def test_the_pool_is_never_exceeded_always_released_and_in_order(emulator: Emulator, tmp_path: Path) -> None:
    records = Records(emulator.table)
    jobs = plan(records, Random(SEED))  # noqa: S311 - a choice of sizes, no secret
    quotas = quotas_of(emulator.table, Ledger(emulator.table))
    closed = Reservation("closed", "r1-j1", [pool_charge("together", "m", LIMIT, LIMIT), jobs_charge("together", MOST_JOBS)], 0)
    Queues(emulator.table).take(CLOSED)
    assert quotas.ledger.reserve(closed, CLOSED)
    events, until = Events(tmp_path), time.monotonic() + LONGEST
    workers = start_workers(emulator, jobs, tmp_path)
    try:
        events.wait(workers, "ready", PROCESSES, until)
        let_go(workers)
        events.wait(workers, "queued", PROCESSES, until)
        quotas.ledger.settle(closed, [0, 0])
        let_go(workers)
        events.wait(workers, "head", 1, until)
        victim = workers[DOOMED % PROCESSES]
        victim.kill()
        victim.wait()
        for number, worker in enumerate(workers):
            if worker is not victim:
                assert worker.wait(until - time.monotonic()) == 0, (tmp_path / f"errors-{number}").read_text()
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    told = events.read()
    survivors = [job for place, job in enumerate(jobs) if place % PROCESSES != DOOMED % PROCESSES]
    granted = {event["batch_id"]: event for event in told if event["event"] == "granted"}
    assert {job.batch_id for job in survivors} <= granted.keys(), "all of them ran"
    check_order([granted[job.batch_id] for job in survivors])
    check_limits(jobs, told)
    sweep(quotas, records, jobs)


def let_go(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        assert worker.stdin
        worker.stdin.write(b"\n")
        worker.stdin.flush()


def check_order(granted: list[dict[str, Any]]) -> None:
    """None was granted before one in front of it had even asked for the last time."""
    for place, later in enumerate(granted):
        overtaken = [earlier["batch_id"] for earlier in granted[:place] if later["at"] < earlier["begun"]]
        assert overtaken == [], f"{later['batch_id']} has overtaken {overtaken}"


def check_limits(jobs: list[Job], told: list[dict[str, Any]]) -> None:
    """What surely ran at the same time was never more than there is; nor did the account ever say so."""
    amounts = {job.batch_id: job.prompt_bound or 0 for job in jobs}
    assert max(event["used"] for event in told if event["event"] == "granted") <= LIMIT
    running: set[str] = set()
    most = 0
    for event in sorted((event for event in told if event["event"] in {"granted", "ended"}), key=lambda event: event["at"]):
        running = running | {event["batch_id"]} if event["event"] == "granted" else running - {event["batch_id"]}
        assert sum(amounts[batch_id] for batch_id in running) <= LIMIT
        assert len(running) <= MOST_JOBS
        most = max(most, len(running))
    assert most > 1, "some ran side by side"


def sweep(quotas: Any, records: Records, jobs: list[Job]) -> None:
    """What the dead process left behind is given back: its jobs are given up, as a batch's end does, and sweep looks."""
    for job in jobs[DOOMED % PROCESSES :: PROCESSES]:
        records.abandon_job(records.get_job(job.batch_id, job.job_id), now(), now(), "its process died")
    for held in list(quotas.ledger.left_behind()):
        assert quotas.settle_left_behind(held, now())
    late = now() + 100
    for ticket in list(quotas.queues.lapsed(late)):
        quotas.queues.drop_lapsed(ticket, late)
    left = [
        item for item in quotas.ledger.table.scan()["Items"] if item["sk"].startswith("hold#") or item["pk"].startswith("queue#")
    ]
    assert left == []
    for charge in (pool_charge("together", "m", 0, LIMIT), jobs_charge("together", MOST_JOBS)):
        assert quotas.ledger.account(charge).used == quotas.ledger.account(charge).reserved == 0
    states = {records.get_job(job.batch_id, job.job_id).state for job in jobs}
    assert states == {JobState.SETTLED, JobState.ABANDONED}
