"""How jobs run: payloads, retries, outputs, instances, container health, and the end that each leads to."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from sagemaker_stand_in import StandIn, wait_until

from slacktide_local.sagemaker.account import Job, Model

MB = 1024 * 1024
NO_RETRY = {"InvocationsMaxRetries": 0}


def test_every_object_is_one_payload_and_gets_one_output(stand_in: StandIn) -> None:
    objects = {"000000001-000000002.jsonl": b'{"a": 1}\n{"b": 2}\n', "000000003-000000003.jsonl": b'{"c": 3}\n'}
    job = stand_in.run(objects)
    assert job["TransformJobStatus"] == "Completed"
    assert "FailureReason" not in job
    outputs = stand_in.outputs(job["TransformJobName"])
    assert outputs == {f"{key}.out": body.upper() for key, body in objects.items()}
    sent = [(row["bytes"], row["attempt"]) for row in stand_in.payloads(job["TransformJobName"])]
    assert sorted(sent) == sorted((len(body), 1) for body in objects.values())


def test_the_prefix_is_a_key_name_prefix(stand_in: StandIn) -> None:
    """Every key that begins with it, and no other; an object below a folder keeps the folder."""
    name = stand_in.put({"a1": b"one", "a2/b": b"two", "c": b"three", "a3/": b""})
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{stand_in.bucket}/in/{name}/a"}
    request = stand_in.describe_request(name, TransformInput={"DataSource": {"S3DataSource": source}})
    stand_in.sagemaker.create_transform_job(**request)
    assert stand_in.wait(name)["TransformJobStatus"] == "Completed"
    assert stand_in.outputs(name) == {"a1.out": b"ONE", "a2/b.out": b"TWO"}


def test_a_job_tells_its_times_and_what_was_asked_for(stand_in: StandIn) -> None:
    job = stand_in.run({"a": b"ok"}, MaxPayloadInMB=7, Environment={"A": "b"})
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert job["TransformJobArn"].endswith(f":transform-job/{job['TransformJobName']}")
    assert (job["ModelName"], job["MaxPayloadInMB"], job["Environment"]) == ("model", 7, {"A": "b"})


def test_the_jobs_environment_wins_over_the_models(stand_in: StandIn) -> None:
    name = stand_in.create({"a": b"env"}, Environment={"FROM": "job", "JOB": "yes"}, MaxPayloadInMB=5)
    stand_in.wait(name)
    seen = json.loads(stand_in.outputs(name)["a.out"])
    assert (seen["FROM"], seen["MODEL"], seen["JOB"]) == ("job", "yes", "yes")
    assert (seen["SAGEMAKER_BATCH"], seen["SAGEMAKER_MAX_PAYLOAD_IN_MB"]) == ("true", "5")
    assert "AWS_SECRET_ACCESS_KEY" not in seen  # the machine's own environment stays outside


def test_the_content_types_of_the_job_are_sent(stand_in: StandIn) -> None:
    name = stand_in.create({"a": b"headers"})
    stand_in.wait(name)
    headers = json.loads(stand_in.outputs(name)["a.out"])
    assert (headers["Content-Type"], headers["Accept"]) == ("application/jsonlines", "application/jsonlines")


def test_a_retry_sends_the_whole_payload_again(stand_in: StandIn, tmp_path: Path) -> None:
    body = b"fail 2\n" + b"x" * 5000
    job = stand_in.run({"a": body}, Environment={"RECORD": str(tmp_path)})
    assert job["TransformJobStatus"] == "Completed"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [body] * 3
    assert [row["status"] for row in stand_in.payloads(job["TransformJobName"])] == [503, 503, 200]
    assert stand_in.outputs(job["TransformJobName"]) == {"a.out": body.upper()}


@pytest.mark.parametrize(("config", "tries"), [({}, 4), ({"InvocationsMaxRetries": 1}, 2), (NO_RETRY, 1)])
def test_retries_are_three_unless_the_job_says_otherwise(stand_in: StandIn, config: dict[str, int], tries: int) -> None:
    job = stand_in.run({"a": b"status 500"}, ModelClientConfig=config)
    assert job["TransformJobStatus"] == "Failed"
    assert [row["attempt"] for row in stand_in.payloads(job["TransformJobName"])] == list(range(1, tries + 1))


@pytest.mark.parametrize("act", [b"status 400", b"status 500", b"status 302", b"drop"])
def test_one_failed_payload_fails_the_job_and_keeps_the_other_outputs(stand_in: StandIn, act: bytes) -> None:
    """No `.out` for its object; objects before and after it are kept."""
    job = stand_in.run({"a": b"ok a", "b": act, "c": b"ok c"}, ModelClientConfig=NO_RETRY)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert stand_in.outputs(job["TransformJobName"]) == {"a.out": b"OK A", "c.out": b"OK C"}


def test_an_invocation_that_takes_too_long_is_given_up(stand_in: StandIn) -> None:
    config = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 1}
    job = stand_in.run({"a": b"hang", "b": b"ok"}, ModelClientConfig=config)
    assert job["TransformJobStatus"] == "Failed"
    assert [row["status"] for row in stand_in.payloads(job["TransformJobName"])] == [None, None, 200]
    assert list(stand_in.outputs(job["TransformJobName"])) == ["b.out"]


def test_an_invocation_has_600_seconds_unless_the_job_says_otherwise() -> None:
    model = Model({"ModelName": "model"}, "arn")
    assert Job({"TransformJobName": "a"}, "arn", model, []).invocation_timeout == 600
    assert Job({"ModelClientConfig": {"InvocationsTimeoutInSeconds": 5}}, "arn", model, []).invocation_timeout == 5


def test_a_payload_over_the_limit_fails_unsent(stand_in: StandIn) -> None:
    job = stand_in.run({"fits": b"x" * MB, "over": b"x" * (MB + 1)}, MaxPayloadInMB=1)
    assert job["TransformJobStatus"] == "Failed"
    assert "over has 1048577 bytes, over MaxPayloadInMB 1" in job["FailureReason"]
    assert list(stand_in.outputs(job["TransformJobName"])) == ["fits.out"]
    assert [row["bytes"] for row in stand_in.payloads(job["TransformJobName"])] == [MB]


def test_the_limit_is_6_mb_unless_the_job_says_otherwise(stand_in: StandIn) -> None:
    job = stand_in.run({"fits": b"x" * 6 * MB, "over": b"x" * (6 * MB + 1)})
    assert job["TransformJobStatus"] == "Failed"
    assert list(stand_in.outputs(job["TransformJobName"])) == ["fits.out"]


def test_payloads_go_out_one_by_one_unless_the_job_says_otherwise(stand_in: StandIn) -> None:
    objects = {str(number): b"most\n" + bytes([number]) for number in range(5)}
    name = stand_in.create(objects)
    stand_in.wait(name)
    assert set(stand_in.outputs(name).values()) == {b"1"}


def test_payloads_go_out_as_many_at_a_time_as_the_job_says(stand_in: StandIn) -> None:
    meeting = {str(number): b"meet 3\n" + bytes([number]) for number in range(3)}
    job = stand_in.run(meeting, MaxConcurrentTransforms=3)
    assert job["TransformJobStatus"] == "Completed"
    capped = stand_in.create({str(number): b"most\n" + bytes([number]) for number in range(8)}, MaxConcurrentTransforms=3)
    stand_in.wait(capped)
    assert max(int(most) for most in stand_in.outputs(capped).values()) == 3


def test_what_the_job_leaves_out_the_container_is_asked_for(stand_in: StandIn) -> None:
    offered = json.dumps({"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1})
    objects = {"a": b"meet 2\na", "b": b"meet 2\nb", "over": b"x" * (MB + 1)}
    job = stand_in.run(objects, Environment={"PARAMETERS": offered})
    assert "over MaxPayloadInMB 1" in job["FailureReason"]
    assert list(stand_in.outputs(job["TransformJobName"])) == ["a.out", "b.out"]


def test_a_container_that_asks_for_too_much_fails_the_job(stand_in: StandIn) -> None:
    offered = json.dumps({"MaxConcurrentTransforms": 10, "MaxPayloadInMB": 20})
    job = stand_in.run({"a": b"ok"}, Environment={"PARAMETERS": offered})
    assert job["TransformJobStatus"] == "Failed"
    assert "10 * 20 = 200 cannot exceed 100 MB" in job["FailureReason"]


def test_objects_spread_over_the_instances_and_stay_on_theirs(stand_in: StandIn) -> None:
    objects = {str(number): b"fail 1\n" + bytes([number]) for number in range(6)}
    resources = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 3}
    job = stand_in.run(objects, TransformResources=resources)
    assert job["TransformJobStatus"] == "Completed"
    name = job["TransformJobName"]
    starts = [row for row in stand_in.ask("GET", "ledger")["container_starts"] if row["job"] == name]
    assert sorted(row["instance"] for row in starts) == [0, 1, 2]
    assert len({row["pid"] for row in starts}) == 3
    homes = {(row["key"], row["instance"]) for row in stand_in.payloads(name)}
    assert len(homes) == 6  # two tries for each of six objects, and each at one instance
    assert sorted(instance for _, instance in homes) == [0, 0, 1, 1, 2, 2]


def test_a_container_that_is_never_healthy_fails_the_job(start: Callable[..., StandIn]) -> None:
    own = start("--health-timeout", "1")
    job = own.run({"a": b"ok"}, Environment={"PING_STATUS": "503"})
    assert job["TransformJobStatus"] == "Failed"
    assert "failed to respond to ping" in job["FailureReason"]
    assert "TransformStartTime" not in job
    assert own.outputs(job["TransformJobName"]) == {}


def test_a_ping_must_be_answered_within_two_seconds(start: Callable[..., StandIn]) -> None:
    own = start("--health-timeout", "4")
    job = own.run({"a": b"ok"}, Environment={"PING_DELAY": "2.2"})
    assert "failed to respond to ping" in job["FailureReason"]


def test_a_container_that_exits_fails_the_job_at_once(stand_in: StandIn) -> None:
    """With the 30 minutes of AWS as the limit, so a wait for them would be seen."""
    job = stand_in.run({"a": b"ok"}, Environment={"EXIT_CODE": "3"})
    assert job["TransformJobStatus"] == "Failed"
    assert "exited with code 3" in job["FailureReason"]


def test_a_container_that_dies_with_a_payload_fails_the_job(stand_in: StandIn) -> None:
    job = stand_in.run({"a": b"ok", "b": b"die", "c": b"ok"})
    assert job["TransformJobStatus"] == "Failed"
    assert list(stand_in.outputs(job["TransformJobName"])) == ["a.out"]


def test_a_stopped_job_stores_no_output_of_unfinished_objects(stand_in: StandIn, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    name = stand_in.create({"a": b"ok", "b": f"wait {gate}".encode(), "c": b"ok"})
    wait_until(lambda: stand_in.outputs(name))
    assert stand_in.status(name) == "InProgress"
    stand_in.sagemaker.stop_transform_job(TransformJobName=name)
    assert stand_in.status(name) in {"Stopping", "Stopped"}
    gate.touch()
    job = stand_in.wait(name)
    assert job["TransformJobStatus"] == "Stopped"
    assert job["TransformEndTime"]
    assert list(stand_in.outputs(name)) == ["a.out"]


def test_a_stop_is_seen_as_stopping_until_the_containers_are_gone(stand_in: StandIn) -> None:
    """The container is frozen, so that it ends only when the grace is over."""
    name = stand_in.create({"a": b"hang"})
    wait_until(lambda: "TransformStartTime" in stand_in.sagemaker.describe_transform_job(TransformJobName=name))
    stand_in.ask("POST", "kill", {"target": "container", "job": name, "signal": "STOP"})
    stand_in.sagemaker.stop_transform_job(TransformJobName=name)
    assert stand_in.status(name) == "Stopping"
    stand_in.sagemaker.stop_transform_job(TransformJobName=name)  # changes nothing
    stand_in.ask("POST", "kill", {"target": "container", "job": name, "signal": "KILL"})
    assert stand_in.wait(name)["TransformJobStatus"] == "Stopped"


def test_a_job_that_is_stopped_while_its_containers_end_is_stopped(stand_in: StandIn) -> None:
    """Its objects are finished, and so their outputs stay."""
    name = stand_in.create({"a": b"ok"}, Environment={"STUBBORN": "1"})
    wait_until(lambda: stand_in.outputs(name))
    stand_in.sagemaker.stop_transform_job(TransformJobName=name)
    stand_in.ask("POST", "kill", {"target": "container", "job": name})
    assert stand_in.wait(name)["TransformJobStatus"] == "Stopped"
    assert list(stand_in.outputs(name)) == ["a.out"]


def test_a_job_that_ended_cannot_be_stopped(stand_in: StandIn) -> None:
    name = stand_in.run({"a": b"ok"})["TransformJobName"]
    with pytest.raises(ClientError, match="the transform job is in status Completed"):
        stand_in.sagemaker.stop_transform_job(TransformJobName=name)
    assert stand_in.status(name) == "Completed"


def test_jobs_are_listed_by_name_status_and_page(stand_in: StandIn) -> None:
    first = stand_in.run({"a": b"ok"})["TransformJobName"]
    names = [first]
    for number in range(2):
        name = f"{first}-more-{number}"
        stand_in.sagemaker.create_transform_job(**stand_in.describe_request(first, TransformJobName=name))
        names.append(name)
        stand_in.wait(name)
    pages = stand_in.sagemaker.get_paginator("list_transform_jobs").paginate(
        NameContains=first, StatusEquals="Completed", SortBy="CreationTime", PaginationConfig={"PageSize": 2}
    )
    found = [[row["TransformJobName"] for row in page["TransformJobSummaries"]] for page in pages]
    assert found == [[names[2], names[1]], [names[0]]]
    assert stand_in.sagemaker.list_transform_jobs(StatusEquals="Failed", NameContains=first)["TransformJobSummaries"] == []
