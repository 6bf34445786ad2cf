"""What the stand-in refuses, and in which words: the rules of CreateModel and CreateTransformJob, through boto3."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from sagemaker_stand_in import ROLE, StandIn


def refuse(stand_in: StandIn, action: str, **request: Any) -> dict[str, str]:
    """The error of a call that must be refused: Code and Message as boto3 shows them."""
    with pytest.raises(ClientError) as refused:
        getattr(stand_in.sagemaker, action)(**request)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return refused.value.response["Error"]


def refuse_job(stand_in: StandIn, **changes: Any) -> str:
    """The message of the ValidationException for a good request with members replaced; no job comes of it."""
    name = stand_in.put({"a": b"ok"})
    request = stand_in.describe_request(name, **changes)
    error = refuse(stand_in, "create_transform_job", **request)
    assert error["Code"] == "ValidationException"
    assert request["TransformJobName"] not in stand_in.ask("GET", "ledger")["created"]
    return error["Message"]


@pytest.mark.parametrize("name", ["-a", "a-", "a_b", "a.b", "ü", "a" * 64, f"a{'-' * 62}b"])
def test_job_name_must_fit_the_pattern_and_63_characters(stand_in: StandIn, name: str) -> None:
    assert "at 'transformJobName' failed to satisfy constraint" in refuse_job(stand_in, TransformJobName=name)


def test_job_name_may_be_63_characters_with_hyphens(stand_in: StandIn) -> None:
    name = stand_in.put({"a": b"ok"})
    longest = f"{name}--{'a' * 63}"[:63]
    request = stand_in.describe_request(name, TransformJobName=longest)
    stand_in.sagemaker.create_transform_job(**request)
    assert stand_in.wait(longest)["TransformJobStatus"] == "Completed"


@pytest.mark.parametrize("name", ["-a", "a_b", "a" * 64])
def test_model_name_must_fit_the_pattern_and_63_characters(stand_in: StandIn, name: str) -> None:
    container = {"Image": "image"}
    error = refuse(stand_in, "create_model", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert error["Code"] == "ValidationException"
    assert "at 'modelName' failed to satisfy constraint" in error["Message"]


def test_job_name_is_taken_for_ever(stand_in: StandIn) -> None:
    """Also after the job has ended, and whatever the second request asks for."""
    job = stand_in.run({"a": b"ok"})
    again = stand_in.describe_request(job["TransformJobName"], MaxConcurrentTransforms=2)
    error = refuse(stand_in, "create_transform_job", **again)
    assert error["Code"] == "ResourceInUse"
    assert job["TransformJobArn"] in error["Message"]
    with pytest.raises(stand_in.sagemaker.exceptions.ResourceInUse):
        stand_in.sagemaker.create_transform_job(**again)
    assert stand_in.ask("GET", "ledger")["created"][job["TransformJobName"]] == 1


def test_ten_requests_at_once_make_one_job(stand_in: StandIn) -> None:
    name = stand_in.put({"a": b"ok"})
    request = stand_in.describe_request(name)

    def create(_number: int) -> str:
        try:
            stand_in.sagemaker.create_transform_job(**request)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "created"

    with ThreadPoolExecutor(10) as pool:
        answers = sorted(pool.map(create, range(10)))
    assert answers == ["ResourceInUse"] * 9 + ["created"]
    assert stand_in.wait(name)["TransformJobStatus"] == "Completed"


def test_model_must_exist(stand_in: StandIn) -> None:
    assert 'Could not find model "arn:aws:sagemaker:' in refuse_job(stand_in, ModelName="nobody")


def test_input_must_exist(stand_in: StandIn) -> None:
    request = stand_in.describe_request("no-input")
    error = refuse(stand_in, "create_transform_job", **request)
    assert error["Code"] == "ValidationException"
    assert "No S3 objects found under S3 URL" in error["Message"]


def test_max_payload_is_at_most_100_mb(stand_in: StandIn) -> None:
    assert "MaxPayloadInMB is 101" in refuse_job(stand_in, MaxPayloadInMB=101)
    assert stand_in.run({"a": b"ok"}, MaxPayloadInMB=100)["TransformJobStatus"] == "Completed"


@pytest.mark.parametrize("members", [(51, 2), (2, 51), (17, None)])
def test_payload_times_concurrency_is_at_most_100_mb(stand_in: StandIn, members: tuple[int, int | None]) -> None:
    """17 at a time at the default of 6 MB make 102 MB."""
    concurrent, size = members
    changes = {"MaxConcurrentTransforms": concurrent} | ({"MaxPayloadInMB": size} if size else {})
    assert "cannot exceed 100 MB" in refuse_job(stand_in, **changes)
    fitting = {"MaxConcurrentTransforms": 50, "MaxPayloadInMB": 2}
    assert stand_in.run({"a": b"ok"}, **fitting)["TransformJobStatus"] == "Completed"


def test_invocation_timeout_is_at_most_an_hour(stand_in: StandIn) -> None:
    message = refuse_job(stand_in, ModelClientConfig={"InvocationsTimeoutInSeconds": 3601})
    assert "Value '3601' at 'modelClientConfig.invocationsTimeoutInSeconds' failed to satisfy constraint" in message
    longest = stand_in.run({"a": b"ok"}, ModelClientConfig={"InvocationsTimeoutInSeconds": 3600})
    assert longest["TransformJobStatus"] == "Completed"


def test_retries_are_at_most_three(stand_in: StandIn) -> None:
    message = refuse_job(stand_in, ModelClientConfig={"InvocationsMaxRetries": 4})
    assert "Member must have value less than or equal to 3" in message


def test_environment_of_a_job_has_at_most_16_variables(stand_in: StandIn) -> None:
    message = refuse_job(stand_in, Environment={f"V{number}": "secret" for number in range(17)})
    assert "Member must have length less than or equal to 16" in message
    assert "secret" not in message


def test_environment_names_must_fit_the_pattern(stand_in: StandIn) -> None:
    assert "at 'environment.key' failed" in refuse_job(stand_in, Environment={"2X": "y"})


@pytest.mark.parametrize("kind", ["ml.p4d.24xlarge", "ml.p5.48xlarge", "ml.t3.medium", "g5.xlarge"])
def test_instance_types_without_batch_transform_are_refused(stand_in: StandIn, kind: str) -> None:
    message = refuse_job(stand_in, TransformResources={"InstanceType": kind, "InstanceCount": 1})
    assert f"Value '{kind}' at 'transformResources.instanceType'" in message


@pytest.mark.parametrize("family", ["g4dn", "g5", "g6", "g6e", "p2", "p3", "m5", "c5"])
def test_instance_types_with_batch_transform_are_accepted(stand_in: StandIn, family: str) -> None:
    resources = {"InstanceType": f"ml.{family}.{'2xlarge' if family == 'p3' else 'xlarge'}", "InstanceCount": 1}
    job = stand_in.run({"a": b"ok"}, TransformResources=resources)
    assert job["TransformResources"] == resources


def test_instances_are_at_most_100(stand_in: StandIn) -> None:
    resources = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 101}
    assert "InstanceCount is 101; the maximum is 100" in refuse_job(stand_in, TransformResources=resources)


def test_model_data_source_is_refused_when_the_job_is_created(stand_in: StandIn) -> None:
    """CreateModel takes it, since other uses of a model do."""
    source = {"S3Uri": "s3://data/weights/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "image", "ModelDataSource": {"S3DataSource": source}}
    stand_in.sagemaker.create_model(ModelName="streamed", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert "ModelDataSource" in refuse_job(stand_in, ModelName="streamed")


@pytest.mark.parametrize("kind", ["ManifestFile", "AugmentedManifestFile"])
def test_other_sources_than_a_prefix_are_refused_clearly(stand_in: StandIn, kind: str) -> None:
    source = {"S3DataType": kind, "S3Uri": "s3://data/in/"}
    message = refuse_job(stand_in, TransformInput={"DataSource": {"S3DataSource": source}})
    assert message == "The local SageMaker stand-in does not do S3DataType other than S3Prefix: name a key prefix."


@pytest.mark.parametrize(
    ("member", "value"),
    [("SplitType", "Line"), ("SplitType", "RecordIO"), ("CompressionType", "Gzip")],
)
def test_splitting_and_unpacking_are_refused_clearly(stand_in: StandIn, member: str, value: str) -> None:
    good = stand_in.describe_request("x")["TransformInput"]
    assert "The local SageMaker stand-in does not do" in refuse_job(stand_in, TransformInput=good | {member: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"BatchStrategy": "SingleRecord"},
        {"BatchStrategy": "MultiRecord"},
        {"MaxPayloadInMB": 0},
        {"DataProcessing": {"JoinSource": "Input"}},
        {"DataCaptureConfig": {"DestinationS3Uri": "s3://data/x"}},
    ],
)
def test_what_the_stand_in_does_not_do_is_refused(stand_in: StandIn, changes: dict[str, Any]) -> None:
    assert next(iter(changes)) in refuse_job(stand_in, **changes)


def test_output_must_be_in_s3(stand_in: StandIn) -> None:
    message = refuse_job(stand_in, TransformOutput={"S3OutputPath": "https://data/out"})
    assert "'https://data/out' is not an S3 URI" in message


def test_models_can_be_described_listed_and_deleted(stand_in: StandIn) -> None:
    container = {"Image": "image", "Environment": {"A": "b"}}
    made = stand_in.sagemaker.create_model(ModelName="short", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    described = stand_in.sagemaker.describe_model(ModelName="short")
    assert described["PrimaryContainer"] == container
    assert described["ModelArn"] == made["ModelArn"]
    assert "short" in [row["ModelName"] for row in stand_in.sagemaker.list_models()["Models"]]
    stand_in.sagemaker.delete_model(ModelName="short")
    for action in ("describe_model", "delete_model"):
        error = refuse(stand_in, action, ModelName="short")
        assert (error["Code"], error["Message"]) == (
            "ValidationException",
            f'Could not find model "{made["ModelArn"]}".',
        )


def test_a_model_is_not_created_twice(stand_in: StandIn) -> None:
    again = {"ModelName": "model", "PrimaryContainer": {"Image": "image"}, "ExecutionRoleArn": ROLE}
    error = refuse(stand_in, "create_model", **again)
    assert error["Code"] == "ValidationException"
    assert "Cannot create already existing model" in error["Message"]


@pytest.mark.parametrize(
    ("request_members", "says"),
    [
        ({"ExecutionRoleArn": ROLE}, "PrimaryContainer"),
        ({"PrimaryContainer": {"Image": "image"}}, "ExecutionRoleArn"),
        ({"PrimaryContainer": {"Mode": "SingleModel"}, "ExecutionRoleArn": ROLE}, "Image"),
        ({"Containers": [{"Image": "a"}, {"Image": "b"}], "ExecutionRoleArn": ROLE}, "pipelines"),
    ],
)
def test_a_model_needs_a_container_an_image_and_a_role(stand_in: StandIn, request_members: dict[str, Any], says: str) -> None:
    error = refuse(stand_in, "create_model", ModelName="incomplete", **request_members)
    assert error["Code"] == "ValidationException"
    assert says in error["Message"]


@pytest.mark.parametrize("action", ["describe_transform_job", "stop_transform_job"])
def test_an_unknown_job_is_not_found(stand_in: StandIn, action: str) -> None:
    with pytest.raises(stand_in.sagemaker.exceptions.ResourceNotFound):
        getattr(stand_in.sagemaker, action)(TransformJobName="nobody")


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("SageMaker.CreateEndpoint", b"{}", "UnknownOperationException"),
        ("SageMaker.DescribeModel", b"{", "SerializationException"),
        ("SageMaker.DescribeModel", b"[]", "SerializationException"),
        ("SageMaker.DescribeModel", b"{}", "ValidationException"),
        ("SageMaker.DescribeModel", b'{"ModelName": 5}', "ValidationException"),
        ("SageMaker.DescribeModel", b'{"ModelName": "model", "Colour": "red"}', "ValidationException"),
    ],
)
def test_a_request_that_does_not_fit_the_api_model_is_refused(stand_in: StandIn, target: str, body: bytes, code: str) -> None:
    answer = httpx.post(stand_in.url, content=body, headers={"X-Amz-Target": target})
    assert (answer.status_code, answer.json()["__type"]) == (400, code)
