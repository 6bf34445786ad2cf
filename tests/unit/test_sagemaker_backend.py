"""The backend sagemaker over a scripted client: one job for one name, and every expected failure is a value."""
# ruff: noqa: N803 - the names of arguments are boto3's

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError

from fakes.wire import refuse
from fakes.world import BUCKET, World
from slacktide.backends.protocol import (
    Displaced,
    Ended,
    Found,
    Full,
    Missing,
    Rejected,
    Running,
    Submitted,
    Uploaded,
    Work,
)
from slacktide.backends.sagemaker import CONCURRENT_PAYLOADS, MAX_PAYLOAD_MB, OBJECT_BYTES, SageMaker, TransformSettings
from slacktide.backends.spool import Spool
from slacktide.codes import Code
from slacktide.models import shipped_models
from slacktide.routes import Routes
from slacktide.validation import Checker

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
WORK = Work("slacktide-x-r1-j1-a1", MODEL, "/v1/chat/completions", "b/input/", "b/raw-1/")
CREATED = datetime(2026, 9, 21, tzinfo=UTC)
SETTINGS = TransformSettings("stack", "image", "", frozenset({MODEL}), "role", "ml.g6.xlarge", 2, 256, 3_600)


@dataclass
class FakeSageMaker:
    """The five calls; `failures` are raised first, by call."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, deque[tuple[str, str]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.failures.get(call):
            code, message = self.failures[call].popleft()
            refuse(code, call, message)

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        self._note("describe_model")
        return self.models[ModelName] if ModelName in self.models else self._missing("model")

    def create_model(self, **model: Any) -> None:
        self._note("create_model")
        self.models[model["ModelName"]] = model

    def create_transform_job(self, **job: Any) -> None:
        self._note("create_transform_job")
        if job["TransformJobName"] in self.jobs:
            refuse("ResourceInUse", "CreateTransformJob", "Job name must be unique")
        self.jobs[job["TransformJobName"]] = job | {"TransformJobStatus": "InProgress", "CreationTime": CREATED}

    def describe_transform_job(self, TransformJobName: str) -> dict[str, Any]:
        self._note("describe_transform_job")
        return self.jobs[TransformJobName] if TransformJobName in self.jobs else self._missing("job")

    def stop_transform_job(self, TransformJobName: str) -> None:
        self._note("stop_transform_job")
        self.jobs[TransformJobName]["TransformJobStatus"] = "Stopping"

    def _missing(self, what: str) -> NoReturn:
        refuse("ValidationException", "Describe", f"Could not find {what}")


@pytest.fixture
def client() -> FakeSageMaker:
    return FakeSageMaker()


@pytest.fixture
def backend(world: World, client: FakeSageMaker) -> SageMaker:
    return SageMaker(client, world.bucket, SETTINGS)


def ended(client: FakeSageMaker, status: str, reason: str = "") -> None:
    client.jobs[WORK.name] |= {"TransformJobStatus": status, "FailureReason": reason}


def test_a_model_that_cannot_fit_the_instance_type_does_not_run_here(client: FakeSageMaker, world: World) -> None:
    big, small = "meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"

    def runs(instance_type: str) -> list[str]:
        settings = replace(SETTINGS, models=frozenset({big, small, MODEL}), instance_type=instance_type)
        backend = SageMaker(client, world.bucket, settings)
        return [name for name in (big, small, MODEL) if backend.upstream_model(shipped_models().models[name]) is not None]

    assert runs("ml.g4dn.xlarge") == [MODEL]
    assert runs("ml.g6.xlarge") == [small, MODEL]
    assert runs("ml.g6e.12xlarge") == [big, small, MODEL]
    assert runs("ml.p2.xlarge") == []
    assert runs("ml.new.xlarge") == [big, small, MODEL], "what is not known is given a try"


def test_its_lines_are_refused_before_anything_runs_where_nothing_else_can_run_them(client: FakeSageMaker, world: World) -> None:
    big = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
    backend = SageMaker(client, world.bucket, replace(SETTINGS, models=frozenset({big})))
    routes = Routes(shipped_models(), {"sagemaker": backend})
    found = Checker(routes.models.find, routes.route).resolve_model(big, "/v1/chat/completions")
    assert isinstance(found, tuple)
    code, message = found
    assert code == Code.NO_BACKEND_FOR_MODEL
    assert "TransformInstanceType" in message


class TestSubmit:
    def test_the_job_is_what_the_container_expects(self, backend: SageMaker, client: FakeSageMaker) -> None:
        assert backend.submit(WORK) == Submitted(WORK.name)
        job = client.jobs[WORK.name]
        assert job["TransformInput"] == {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/b/input/"}},
            "ContentType": "application/jsonlines",
            "SplitType": "None",
        }
        assert job["TransformOutput"]["S3OutputPath"] == f"s3://{BUCKET}/b/raw-1/"
        assert job["TransformOutput"]["AssembleWith"] == "None"
        assert "BatchStrategy" not in job, "the whole object is one payload"
        assert job["Environment"] == {"INVOCATION_TIMEOUT_SECONDS": "3600"}
        assert job["TransformResources"] == {"InstanceType": "ml.g6.xlarge", "InstanceCount": 2}
        assert job["ModelName"] in client.models

    def test_payloads_keep_sagemakers_limits(self) -> None:
        assert MAX_PAYLOAD_MB * CONCURRENT_PAYLOADS <= 100
        assert OBJECT_BYTES < MAX_PAYLOAD_MB * 1_000_000

    def test_a_name_that_is_in_use_is_adopted(self, backend: SageMaker, client: FakeSageMaker) -> None:
        assert backend.submit(WORK) == backend.submit(WORK) == Submitted(WORK.name)
        assert len(client.jobs) == 1

    def test_its_name_is_its_proof_and_the_bucket_its_input(self, backend: SageMaker) -> None:
        assert not backend.proves_by_listing
        with Spool.temporary() as content:
            assert backend.upload(WORK, content) == Uploaded("")
        backend.submit(WORK)
        assert backend.find(WORK) == [Found(WORK.name, CREATED.timestamp(), has_ended=False)]

    def test_a_used_up_quota_is_said_with_its_name(self, backend: SageMaker, client: FakeSageMaker) -> None:
        client.failures["create_transform_job"] = deque([("ResourceLimitExceeded", "limit is 0")])
        answer = backend.submit(WORK)
        assert isinstance(answer, Full)
        assert '"ml.g6.xlarge for transform job usage"' in answer.reason

    @pytest.mark.parametrize("code", ["ValidationException", "ResourceNotFound", "AccessDeniedException"])
    def test_what_will_never_work_is_rejected_in_our_words(self, backend: SageMaker, client: FakeSageMaker, code: str) -> None:
        client.failures["create_transform_job"] = deque([(code, "canary")])
        answer = backend.submit(WORK)
        assert isinstance(answer, Rejected)
        assert code in answer.reason
        assert "canary" not in answer.reason

    @pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "ServiceUnavailable"])
    def test_anything_else_is_tried_again_by_the_machine(self, backend: SageMaker, client: FakeSageMaker, code: str) -> None:
        client.failures["create_transform_job"] = deque([(code, "")])
        with pytest.raises(ClientError):
            backend.submit(WORK)

    def test_the_model_is_made_once(self, backend: SageMaker, client: FakeSageMaker) -> None:
        for number in range(3):
            backend.submit(rename(number))
        assert client.calls.count("create_model") == 1
        (model,) = client.models.values()
        assert model["PrimaryContainer"]["Environment"]["MODEL_ID"] == MODEL
        assert model["ExecutionRoleArn"] == "role"

    def test_two_that_make_the_model_at_once(self, backend: SageMaker, client: FakeSageMaker) -> None:
        client.failures["create_model"] = deque([("ValidationException", "Cannot create already existing model")])
        assert backend.submit(WORK) == Submitted(WORK.name)

    def test_another_image_is_another_model(self, world: World, client: FakeSageMaker) -> None:
        for number, change in enumerate(({"image_uri": "new"}, {"model_data_uri": "s3://w"}, {"role_arn": "r2"}, {})):
            fields = {name: getattr(SETTINGS, name) for name in TransformSettings.__dataclass_fields__}
            SageMaker(client, world.bucket, TransformSettings(**fields | change)).submit(rename(number))
        assert len(client.models) == 4

    @pytest.mark.parametrize(
        ("uri", "data", "weights"),
        [
            ("s3://w/model.tar.gz", "s3://w/model.tar.gz", None),
            ("s3://w/models/", None, f"s3://w/models/{MODEL}"),
            ("", None, None),
        ],
    )
    def test_weights(self, world: World, client: FakeSageMaker, uri: str, data: str | None, weights: str | None) -> None:
        fields = {name: getattr(SETTINGS, name) for name in TransformSettings.__dataclass_fields__}
        SageMaker(client, world.bucket, TransformSettings(**fields | {"model_data_uri": uri})).submit(WORK)
        container = next(iter(client.models.values()))["PrimaryContainer"]
        assert container.get("ModelDataUrl") == data
        assert container["Environment"].get("MODEL_WEIGHTS_URI") == weights


def rename(number: int) -> Work:
    return Work(f"job-{number}", WORK.model, WORK.endpoint, WORK.input_prefix, WORK.output_prefix)


class TestPoll:
    @pytest.mark.parametrize("status", ["InProgress", "Stopping", "SomethingNew"])
    def test_it_runs_until_it_says_that_it_has_ended(
        self, world: World, backend: SageMaker, client: FakeSageMaker, status: str
    ) -> None:
        backend.submit(WORK)
        ended(client, status)
        for number in range(4):
            world.bucket.write(f"b/input/{number:09d}-{number:09d}.jsonl", b"x")
        assert backend.poll(WORK) == Running(0)
        world.bucket.write("b/raw-1/000000001-000000001.jsonl.out", b"x")
        assert backend.poll(WORK) == Running(0.25)

    @pytest.mark.parametrize(("status", "said"), [("Completed", None), ("Stopped", "stopped"), ("Failed", "failed")])
    def test_ends(self, backend: SageMaker, client: FakeSageMaker, status: str, said: str | None) -> None:
        backend.submit(WORK)
        ended(client, status, "AlgorithmError: canary")
        answer = backend.poll(WORK)
        assert isinstance(answer, Ended)
        assert said is None or said in (answer.reason or "")
        assert "canary" not in (answer.reason or "")

    @pytest.mark.parametrize(
        "reason", ["CapacityError: Unable to provision requested ML compute capacity", "InsufficientCapacity"]
    )
    def test_no_capacity_is_not_an_end(self, world: World, backend: SageMaker, client: FakeSageMaker, reason: str) -> None:
        backend.submit(WORK)
        ended(client, "Failed", reason)
        assert isinstance(backend.poll(WORK), Displaced)
        world.bucket.write("b/raw-1/000000001-000000002.jsonl.out", b"x")
        assert isinstance(backend.poll(WORK), Ended), "it ran, so its results count"

    def test_a_job_that_is_unknown_is_missing(self, backend: SageMaker) -> None:
        assert backend.poll(WORK) == Missing()
        assert backend.find(WORK) == []

    def test_a_failing_describe_is_no_end(self, backend: SageMaker, client: FakeSageMaker) -> None:
        client.failures["describe_transform_job"] = deque([("ThrottlingException", "")])
        with pytest.raises(ClientError):
            backend.poll(WORK)


class TestCancel:
    def test_it_is_confirmed_only_when_it_has_ended(self, backend: SageMaker, client: FakeSageMaker) -> None:
        backend.submit(WORK)
        assert not backend.cancel(WORK)
        assert not backend.cancel(WORK)
        assert client.calls.count("stop_transform_job") == 1, "it is stopping already"
        ended(client, "Stopped")
        assert backend.cancel(WORK)

    def test_what_never_was_is_ended(self, backend: SageMaker) -> None:
        assert backend.cancel(WORK)

    def test_an_end_in_between_is_no_failure(self, backend: SageMaker, client: FakeSageMaker) -> None:
        backend.submit(WORK)
        client.failures["stop_transform_job"] = deque([("ValidationException", "not in progress"), ("ThrottlingException", "")])
        assert not backend.cancel(WORK)
        with pytest.raises(ClientError):
            backend.cancel(WORK)


def test_results_are_the_objects_that_are_there(world: World, backend: SageMaker) -> None:
    for name in ("000000003-000000004.jsonl.out", "000000001-000000002.jsonl.out", "stray.txt", "000000005-000000006.jsonl"):
        world.bucket.write(f"b/raw-1/{name}", name[8:10].encode())
    with backend.results(WORK, lambda: False) as results:
        found = [(it.first, it.last, it.size, list(it.lines())) for it in results or ()]
    assert found == [(1, 2, 2, [b"1-"]), (3, 4, 2, [b"3-"])]


def test_a_model_runs_where_image_and_weights_are(world: World, client: FakeSageMaker) -> None:
    model = shipped_models().models["smollm2"]
    fields = {name: getattr(SETTINGS, name) for name in TransformSettings.__dataclass_fields__}
    for change, found in (({}, MODEL), ({"image_uri": ""}, None), ({"models": frozenset()}, None)):
        assert SageMaker(client, world.bucket, TransformSettings(**fields | change)).upstream_model(model) == found


def test_one_object_has_at_most_the_lines_of_the_setting(backend: SageMaker) -> None:
    assert (backend.limits.object_lines, backend.limits.job_requests) == (256, None)
