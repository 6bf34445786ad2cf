"""Scripted conditions and the ledger: what a test of the pipeline leans on."""

import json

import httpx
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from sagemaker_stand_in import StandIn, wait_until


def test_a_quota_is_met_as_often_as_scripted(stand_in: StandIn) -> None:
    name = stand_in.put({"a": b"ok"})
    stand_in.ask("POST", "faults", {"kind": "quota", "times": 2, "name_contains": name})
    resources = {"InstanceType": "ml.g6e.xlarge", "InstanceCount": 2}
    request = stand_in.describe_request(name, TransformResources=resources)
    for _ in range(2):
        with pytest.raises(stand_in.sagemaker.exceptions.ResourceLimitExceeded) as refused:
            stand_in.sagemaker.create_transform_job(**request)
        assert "'ml.g6e.xlarge for transform job usage' is 0 Instances" in str(refused.value)
        assert "a request delta of 2 Instances" in str(refused.value)
    stand_in.sagemaker.create_transform_job(**request)  # the refused name was not taken
    assert stand_in.wait(name)["TransformJobStatus"] == "Completed"
    assert stand_in.ask("GET", "ledger")["created"][name] == 1


def test_missing_capacity_fails_the_job_later(stand_in: StandIn) -> None:
    name = stand_in.put({"a": b"ok"})
    stand_in.ask("POST", "faults", {"kind": "capacity", "name_contains": name, "delay_seconds": 0.3})
    stand_in.sagemaker.create_transform_job(**stand_in.describe_request(name))
    assert stand_in.status(name) == "InProgress"
    job = stand_in.wait(name)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("CapacityError: Unable to provision requested ML compute capacity.")
    assert name not in {row["job"] for row in stand_in.ask("GET", "ledger")["container_starts"]}


@pytest.mark.parametrize("answer", ["connection", "500"])
def test_an_accepted_job_goes_on_when_its_answer_is_lost(stand_in: StandIn, answer: str) -> None:
    name = stand_in.put({"a": b"ok"})
    stand_in.ask("POST", "faults", {"kind": "drop_after_accept", "answer": answer, "name_contains": name})
    request = stand_in.describe_request(name)
    with pytest.raises(ConnectionClosedError if answer == "connection" else ClientError):
        stand_in.sagemaker.create_transform_job(**request)
    with pytest.raises(stand_in.sagemaker.exceptions.ResourceInUse):
        stand_in.sagemaker.create_transform_job(**request)
    assert stand_in.wait(name)["TransformJobStatus"] == "Completed"
    assert stand_in.ask("GET", "ledger")["created"][name] == 1


def test_a_stalled_job_goes_on_when_it_is_released(stand_in: StandIn) -> None:
    name = stand_in.put({"a": b"ok"})
    stand_in.ask("POST", "faults", {"kind": "stall", "name_contains": name})
    stand_in.sagemaker.create_transform_job(**stand_in.describe_request(name))
    stand_in.run({"a": b"ok"})  # another job overtakes it
    assert stand_in.status(name) == "InProgress"
    assert stand_in.containers(name) == []
    assert stand_in.ask("POST", "release", {"job": name}) == {"released": [name]}
    assert stand_in.wait(name)["TransformJobStatus"] == "Completed"


def test_a_stalled_job_can_be_stopped(stand_in: StandIn) -> None:
    name = stand_in.put({"a": b"ok"})
    stand_in.ask("POST", "faults", {"kind": "stall", "name_contains": name})
    stand_in.sagemaker.create_transform_job(**stand_in.describe_request(name))
    stand_in.sagemaker.stop_transform_job(TransformJobName=name)
    assert stand_in.wait(name)["TransformJobStatus"] == "Stopped"
    assert stand_in.outputs(name) == {}


def test_any_action_can_answer_with_an_error(stand_in: StandIn) -> None:
    name = stand_in.run({"a": b"ok"})["TransformJobName"]
    fault = {
        "kind": "error",
        "action": "DescribeTransformJob",
        "code": "ThrottlingException",
        "message": "Rate exceeded",
    }
    stand_in.ask("POST", "faults", fault | {"name_contains": name})
    assert stand_in.sagemaker.list_transform_jobs(NameContains=name)["TransformJobSummaries"]
    with pytest.raises(ClientError, match=r"\(ThrottlingException\).*Rate exceeded"):
        stand_in.status(name)
    assert stand_in.status(name) == "Completed"


def test_scripted_conditions_can_be_seen_and_dropped(stand_in: StandIn) -> None:
    stand_in.ask("POST", "faults", [{"kind": "stall", "name_contains": "x-"}, {"kind": "quota", "name_contains": "x-"}])
    assert [row["kind"] for row in stand_in.ask("GET", "faults")] == ["stall", "quota"]
    assert stand_in.ask("DELETE", "faults") == []


@pytest.mark.parametrize("body", ["", "{}", '{"kind": "rain"}', '{"kind": "quota", "times": 0}', '{"kind": "stall", "x": 1}'])
def test_a_condition_that_is_none_is_refused(stand_in: StandIn, body: str) -> None:
    answer = httpx.post(f"{stand_in.url}/_control/faults", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_ledger_has_every_call_with_its_outcome(stand_in: StandIn) -> None:
    name = stand_in.run({"a": b"ok"})["TransformJobName"]
    with pytest.raises(ClientError):
        stand_in.sagemaker.create_transform_job(**stand_in.describe_request(name))
    rows = [row for row in stand_in.ask("GET", "ledger")["calls"] if row["name"] == name]
    calls = [(row["action"], row["outcome"]) for row in rows if row["action"] != "DescribeTransformJob"]
    assert calls == [("CreateTransformJob", "ok"), ("CreateTransformJob", "ResourceInUse")]
    assert ("DescribeTransformJob", "ok") in [(row["action"], row["outcome"]) for row in rows]


def test_no_payload_shows_in_logs_ledger_or_description(stand_in: StandIn) -> None:
    objects = {"a": b"ok canary-in-a-prompt", "b": b"status 500\ncanary-in-a-prompt"}
    job = stand_in.run(objects, ModelClientConfig={"InvocationsMaxRetries": 0})
    assert job["TransformJobStatus"] == "Failed"
    log = stand_in.log.read_text()
    assert job["TransformJobName"] in log
    seen = log + json.dumps(stand_in.ask("GET", "ledger")) + json.dumps(job, default=str)
    assert "canary" not in seen.lower()


def test_an_engine_and_a_container_can_be_killed(stand_in: StandIn) -> None:
    name = stand_in.create({"a": b"hang"}, Environment={"CHILD": "1"})
    engines = wait_until(lambda: [pid for row in stand_in.containers(name) for pid in row["children"]])
    assert stand_in.ask("POST", "kill", {"target": "engine", "job": name}) == {"killed": engines}
    wait_until(lambda: "TransformStartTime" in stand_in.sagemaker.describe_transform_job(TransformJobName=name))
    (container,) = stand_in.containers(name)
    assert stand_in.ask("POST", "kill", {"target": "container", "job": name}) == {"killed": [container["pid"]]}
    assert stand_in.wait(name)["TransformJobStatus"] == "Failed"
