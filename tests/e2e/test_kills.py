"""Whatever is killed, the batch goes on to its end, nothing is lost, and no job is created twice."""

import json
import os
import signal
from pathlib import Path

import pytest

from e2e.stack import Stack, eventually, jsonl, request, requests
from slacktide.statuses import BatchStatus, JobState


def test_an_engine_killed_in_mid_job_is_started_again_and_all_answers_come(stack: Stack, tmp_path: Path) -> None:
    marker = tmp_path / "killed-once"
    lines = [request(f"r{number}", f"word {number}") for number in range(1, 21)]
    lines[12] = request("killer", f"[[exit once {marker}]] after all")

    batch, results = stack.run("engine-killed.jsonl", jsonl(lines))

    assert marker.exists(), "the engine was not killed"
    assert batch.status == "completed"
    assert results.answers.keys() == set(range(1, 21))
    assert [job.round for job in stack.jobs(batch.batch_id)] == [1], "the payload is retried within the job"


def test_a_job_execution_stopped_after_its_submit_is_attached_again(stack: Stack) -> None:
    stack.control("faults", {"kind": "stall"})
    key = stack.drop("job-stopped.jsonl", jsonl(requests(4)))
    batch_id = stack.wait_for_batch(key)[0]
    eventually(lambda: states(stack, batch_id) == [JobState.RUNNING], what="a running job")

    (execution,) = stack.executions("JobStateMachineArn", batch_id)
    stack.states.stop_execution(executionArn=execution, cause="a test")
    eventually(lambda: stack.jobs(batch_id)[0].attempt == 2, what="a second attempt")
    stack.control("release", {})
    batch = stack.wait_for_end(batch_id)

    assert batch.status == "completed"
    assert len(stack.results(batch).output) == 4
    assert list(stack.created_jobs(batch_id).values()) == [1]
    assert sorted(stack.executions("JobStateMachineArn", batch_id).values()) == ["ABORTED", "SUCCEEDED"]


def states(stack: Stack, batch_id: str) -> list[JobState]:
    return [job.state for job in stack.jobs(batch_id)]


def test_a_batch_whose_execution_was_stopped_is_brought_to_its_end_by_sweep(stack: Stack) -> None:
    stack.control("faults", {"kind": "stall"})
    key = stack.drop("batch-stopped.jsonl", jsonl(requests(4)))
    batch_id = stack.wait_for_batch(key)[0]
    eventually(lambda: states(stack, batch_id) == [JobState.RUNNING], what="a running job")

    (execution,) = stack.executions("BatchStateMachineArn", batch_id)
    stack.states.stop_execution(executionArn=execution, cause="a test")
    stack.control("release", {})
    batch = stack.wait_for_end(batch_id)

    assert batch.status == "completed"
    assert batch.attempt == 2
    assert len(stack.results(batch).output) == 4
    assert list(stack.created_jobs(batch_id).values()) == [1]


def test_a_validator_killed_in_mid_file_is_followed_by_another_under_the_same_batch_id(stack: Stack) -> None:
    stack.run("warm-up.jsonl", jsonl(requests(1)))  # so that the validator has a process to be killed
    content = jsonl([request(f"r{number}", "word " * 20_000) for number in range(500)])
    key = stack.drop("validator-killed.jsonl", content)
    batch_id = stack.wait_for_batch(key)[0]
    for pid in workers(stack, "validate"):
        os.kill(pid, signal.SIGKILL)
    assert stack.batch(batch_id).status is BatchStatus.VALIDATING, "the validator was quicker than this test"

    batch = stack.wait_for_end(batch_id)

    assert stack.batch_ids(key) == [batch_id]
    assert batch.status == "completed"
    assert len(stack.results(batch).output) == 500


def workers(stack: Stack, verb: str) -> list[int]:
    """The processes in which the emulator of this stack runs a function."""
    marks = (f"GATEWAY_PORT={stack.cloud.endpoint.rpartition(':')[2]}", "AWS_LAMBDA_FUNCTION_NAME=")
    name = "".join(word.title() for word in verb.split("_")) + "Function"
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended while we looked, or is not ours
            continue
        function = next((entry for entry in variables if entry.startswith(marks[1])), "")
        if marks[0] in variables and name in function:
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("answer", ["connection", "500"])
def test_a_create_whose_answer_is_lost_makes_one_job(stack: Stack, answer: str) -> None:
    stack.control("faults", {"kind": "drop_after_accept", "answer": answer})
    batch, results = stack.run(f"lost-{answer}.jsonl", jsonl(requests(2)))

    assert len(results.output) == 2
    assert list(stack.created_jobs(batch.batch_id).values()) == [1]


def test_a_full_quota_is_waited_for(stack: Stack) -> None:
    stack.control("faults", {"kind": "quota", "times": 2})
    batch, results = stack.run("quota.jsonl", jsonl(requests(2)))

    assert batch.status == "completed"
    assert len(results.output) == 2
    assert list(stack.created_jobs(batch.batch_id).values()) == [1]


def test_a_job_that_found_no_capacity_is_submitted_again_under_a_new_name(stack: Stack) -> None:
    stack.control("faults", {"kind": "capacity"})
    batch, results = stack.run("capacity.jsonl", jsonl(requests(2)))

    assert batch.status == "completed"
    assert len(results.output) == 2
    assert sorted(name[-2:] for name in stack.created_jobs(batch.batch_id)) == ["a1", "a2"]
    assert [job.round for job in stack.jobs(batch.batch_id)] == [1], "it uses up no step of the route"


def test_a_quota_that_stays_full_ends_at_the_deadline_with_its_reason(stack: Stack) -> None:
    stack.control("faults", {"kind": "quota", "times": 1_000, "name_contains": "slacktide"})
    try:
        batch, results = stack.run("no-quota.jsonl", jsonl(requests(2)), **{"completion-window": "20s"})
    finally:
        stack.control("faults", method="DELETE")

    assert batch.status == "expired"
    assert set(results.codes.values()) == {"batch_expired"}
    assert "transform job usage" in (stack.jobs(batch.batch_id)[0].reason or "")
    receipt = json.loads(stack.read(results.manifest["receipt"]["key"]))
    assert receipt["jobs"][0]["submissions"] == 1
