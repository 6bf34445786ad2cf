"""The hosted backend through the real template, machines and functions, against the fake Together: whatever goes wrong there,
every line has one end, and none is paid for twice."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from e2e.conftest import HOSTED_MODEL
from e2e.stack import Results, Stack, eventually, jsonl, request
from e2e.test_kills import states, workers
from fake_together.server_process import KEY, Server
from slacktide.batch import Batch, Job
from slacktide.statuses import JobNotice, JobState
from slacktide_fake_together import Settings
from slacktide_fake_together.ledger import BatchEntry, find_paid_twice
from slacktide_local.hosted import SECRET
from slacktide_local.processes import find_session

DEFAULTS = {name: getattr(Settings(), name) for name in ("lines_per_second", "cancelling_seconds")}


@dataclass
class Bench:
    """The stack and what it takes for Together, of which it looks only at what has happened since a test began."""

    stack: Stack
    upstream: Server
    calls_before: int

    def script(self, *faults: dict[str, Any], **settings: object) -> None:
        self.upstream.steer("POST", "settings", settings)
        self.upstream.steer("POST", "faults", list(faults))

    def drop(self, name: str, lines: int, **options: str) -> str:
        """Drop a file for the hosted model; answers the id of its batch."""
        content = jsonl(request(f"r{number}", f"word {number}", model=HOSTED_MODEL) for number in range(1, lines + 1))
        return self.stack.wait_for_batch(self.stack.drop(f"hosted/{name}", content, **options))[0]

    def finish(self, batch_id: str) -> tuple[Batch, Results]:
        """Wait for the end of a batch; every line is accounted for, and none was paid for twice."""
        batch = self.stack.wait_for_end(batch_id)
        results = self.stack.results(batch)
        paid_twice = find_paid_twice(self.billed(batch_id), identity=lambda custom_id: custom_id.rpartition(".")[2])
        assert paid_twice == {}
        return batch, results

    def billed(self, batch_id: str) -> list[BatchEntry]:
        """The upstream batches of a batch, as their bill says when they have all ended."""
        entries = msgspec.convert(self.upstream.steer("POST", "run-out")["batches"], list[BatchEntry])
        return [entry for entry in entries if any(custom_id.startswith(batch_id) for custom_id in entry.custom_ids)]

    def calls(self, name: str) -> list[int | None]:
        """The status of each call of a name since the test began; None is no answer."""
        calls = self.upstream.steer("GET", "ledger")["calls"][self.calls_before :]
        return [call["status"] for call in calls if call["call"] == name]

    def jobs(self, batch_id: str) -> list[Job]:
        return self.stack.jobs(batch_id)

    def wait_for_progress(self, batch_id: str) -> None:
        eventually(lambda: any(job.progress for job in self.jobs(batch_id)), what="a job that has done something")


def routes(jobs: list[Job]) -> list[tuple[str, int]]:
    """Backend and lines of each job."""
    return [(job.backend, job.total) for job in jobs]


@pytest.fixture
def bench(stack: Stack, upstream: Server) -> Iterator[Bench]:
    yield Bench(stack, upstream, len(upstream.steer("GET", "ledger")["calls"]))
    upstream.steer("DELETE", "faults")
    upstream.steer("POST", "settings", DEFAULTS)
    stack.control("faults", method="DELETE")


def test_a_create_that_is_throttled_twice_makes_one_job(bench: Bench) -> None:
    bench.script({"kind": "status", "call": "create", "status": 429, "retry_after": 1, "times": 2})
    batch_id = bench.drop("throttled.jsonl", 4)
    batch, results = bench.finish(batch_id)

    assert batch.status == "completed"
    assert results.answers == {line: f"word {line}" for line in range(1, 5)}
    assert bench.calls("create") == [429, 429, 201]
    assert len(bench.billed(batch_id)) == 1


@pytest.mark.parametrize("fault", [{"kind": "drop"}, {"kind": "status", "status": 503}], ids=["dropped", "503"])
def test_a_create_that_is_accepted_and_not_answered_makes_one_job(bench: Bench, fault: dict[str, Any]) -> None:
    bench.script({**fault, "call": "create", "accepted": True})
    batch_id = bench.drop(f"unanswered-{fault['kind']}.jsonl", 4)
    batch, results = bench.finish(batch_id)

    assert batch.status == "completed"
    assert results.answers.keys() == {1, 2, 3, 4}
    assert len(bench.calls("create")) == 1
    assert bench.calls("list_batches"), "it is found in the list"
    assert len(bench.billed(batch_id)) == 1


def test_a_create_that_is_never_accepted_is_made_again_after_the_settle_window(bench: Bench) -> None:
    bench.script({"kind": "drop", "call": "create", "accepted": False})
    batch_id = bench.drop("lost.jsonl", 4)
    batch, _ = bench.finish(batch_id)

    (job,) = bench.jobs(batch_id)
    assert (batch.status, batch.completed) == ("completed", 4)
    assert bench.calls("create") == [None, 201]
    assert job.submission == 2
    assert job.submitted_at - job.created_at >= 4, "the window"


def test_a_function_killed_between_create_and_its_record_makes_one_job(bench: Bench) -> None:
    bench.script({"kind": "delay", "call": "create", "seconds_late": 20})
    batch_id = bench.drop("submit-killed.jsonl", 4)
    eventually(lambda: bench.calls("create"), what="a job upstream")
    assert bench.jobs(batch_id)[0].upstream_id is None, "the function was quicker than this test"
    for pid in workers(bench.stack, "submit"):
        os.kill(pid, signal.SIGKILL)
    batch, results = bench.finish(batch_id)

    assert batch.status == "completed"
    assert results.answers.keys() == {1, 2, 3, 4}
    assert len(bench.calls("create")) == 1
    assert len(bench.billed(batch_id)) == 1


def test_what_expires_half_done_is_finished_by_the_fallback(bench: Bench) -> None:
    bench.script({"kind": "end", "status": "EXPIRED", "at": 0.5, "times": 2})
    batch_id = bench.drop("expired.jsonl", 8)
    batch, results = bench.finish(batch_id)

    assert batch.status == "completed"
    assert results.answers.keys() == set(range(1, 9))
    assert routes(bench.jobs(batch_id)) == [("together", 8), ("together", 4), ("sagemaker", 2)]
    assert sum(len(entry.billed) for entry in bench.billed(batch_id)) == 6


def test_a_job_that_is_stuck_gives_way_to_the_fallback_at_the_cut_off(bench: Bench) -> None:
    bench.script({"kind": "stuck", "at": 0.5}, cancelling_seconds=1)
    batch_id = bench.drop("stuck.jsonl", 8, **{"completion-window": "40s"})
    batch, results = bench.finish(batch_id)

    first, second = bench.jobs(batch_id)
    assert batch.status == "completed"
    assert results.answers.keys() == set(range(1, 9))
    assert routes([first, second]) == [("together", 8), ("sagemaker", 4)]
    assert [entry.status for entry in bench.billed(batch_id)] == ["CANCELLED"]
    assert first.settled_at <= second.created_at, "never live at both"


def test_a_batch_that_is_cancelled_in_the_middle_keeps_what_is_done(bench: Bench) -> None:
    bench.script(lines_per_second=5, cancelling_seconds=1)
    batch_id = bench.drop("cancelled.jsonl", 200)
    bench.wait_for_progress(batch_id)
    bench.stack.drop("hosted/cancelled.jsonl.cancel", b"")
    batch, results = bench.finish(batch_id)

    (entry,) = bench.billed(batch_id)
    assert batch.status == "cancelled"
    assert entry.status == "CANCELLED"
    assert 0 < len(results.output) == len(entry.billed) < 200
    assert set(results.codes.values()) == {"batch_cancelled"}


def test_a_key_that_is_rotated_in_the_middle_is_read_again(bench: Bench) -> None:
    bench.script(lines_per_second=5)
    batch_id = bench.drop("rotated.jsonl", 30)
    bench.wait_for_progress(batch_id)
    secrets = bench.stack.cloud.session.client("secretsmanager")
    secrets.put_secret_value(SecretId=SECRET, SecretString="another-key")
    bench.upstream.steer("POST", "keys", {"keys": ["another-key"]})
    try:
        batch, _ = bench.finish(batch_id)
    finally:
        secrets.put_secret_value(SecretId=SECRET, SecretString=KEY)
        bench.upstream.steer("POST", "keys", {"keys": [KEY]})

    assert (batch.status, batch.completed) == ("completed", 30)
    assert 401 in bench.calls("get_batch"), "the old key was not tried any more"
    assert routes(bench.jobs(batch_id)) == [("together", 30)]


def test_an_upstream_that_is_down_for_a_while_is_waited_for(bench: Bench) -> None:
    bench.script(lines_per_second=5)
    batch_id = bench.drop("down.jsonl", 20)
    bench.wait_for_progress(batch_id)
    bench.script({"kind": "status", "call": "*", "status": 503, "body": "html", "seconds": 6, "times": None})
    batch, _ = bench.finish(batch_id)

    assert (batch.status, batch.completed) == ("completed", 20)
    assert 503 in bench.calls("get_batch")
    assert routes(bench.jobs(batch_id)) == [("together", 20)]


def test_an_upstream_that_is_down_at_first_is_waited_for(bench: Bench) -> None:
    bench.script({"kind": "status", "call": "*", "status": 503, "seconds": 6, "times": None})
    batch_id = bench.drop("down-at-first.jsonl", 4)
    eventually(lambda: states(bench.stack, batch_id) == [JobState.WAITING], what="a job that waits")
    batch, _ = bench.finish(batch_id)

    assert (batch.status, batch.completed) == ("completed", 4)
    assert bench.calls("create") == [201]


def test_a_fallback_without_quota_loses_only_what_the_hosted_side_left_undone(bench: Bench) -> None:
    bench.script({"kind": "end", "status": "EXPIRED", "at": 0.5, "times": 2})
    bench.stack.control("faults", {"kind": "quota", "times": 1_000, "name_contains": "slacktide"})
    batch_id = bench.drop("no-fallback.jsonl", 8, **{"completion-window": "30s"})
    batch, results = bench.finish(batch_id)

    *_, last = bench.jobs(batch_id)
    assert batch.status == "expired"
    assert len(results.output) == 6
    assert set(results.codes.values()) == {"batch_expired"}
    assert last.backend == "sagemaker"
    assert "transform job usage" in (last.reason or "")


def test_a_second_job_that_shows_up_late_is_stopped_and_told_of(bench: Bench) -> None:
    """The list does not have the accepted job until the window is over, so another is made."""
    bench.script(
        {"kind": "drop", "call": "create", "accepted": True},
        {"kind": "fields", "call": "list_batches", "set": {"input_file_id": "file-of-somebody"}, "seconds": 6, "times": None},
        {"kind": "stuck", "at": 0, "times": 1},
        lines_per_second=1,
    )
    batch_id = bench.drop("late.jsonl", 8)
    batch = bench.stack.wait_for_end(batch_id)

    (job,) = bench.jobs(batch_id)
    entries = bench.billed(batch_id)
    assert (batch.status, batch.completed) == ("completed", 8)
    assert job.submission == 2
    assert [notice.kind for notice in job.notices] == [JobNotice.REPEATED]
    assert [entry.status for entry in entries] == ["CANCELLED", "COMPLETED"]
    assert find_paid_twice(entries) == {}


def test_the_key_stands_in_no_file_of_the_local_cloud_and_on_no_command_line_of_it(bench: Bench) -> None:
    batch_id = bench.drop("kept.jsonl", 1)
    bench.finish(batch_id)
    cloud = bench.stack.cloud
    files = [path for path in cloud.directory.path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    sessions = [pid for process in cloud.state.processes for pid in find_session(process.pid)]
    command_lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in sessions]

    assert files == []
    assert len(command_lines) >= 2
    assert not any(KEY in line for line in command_lines)
