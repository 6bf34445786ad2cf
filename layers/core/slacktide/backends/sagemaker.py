"""SageMaker Batch Transform: the user's own GPUs, for as long as a job lasts.

Rules from the SageMaker API reference and the developer guide, "Batch transform": a job's name is unique for ever, which makes
it the idempotency key; one failed record loses its object's output, so objects are small and the container answers per line.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

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
    Uploaded,
    Work,
    stored_results,
)
from slacktide.backends.spool import Spool
from slacktide.bucket import Bucket, error_code
from slacktide.instances import is_too_big
from slacktide.keys import line_range
from slacktide.models import Model

MAX_PAYLOAD_MB = 25  # times CONCURRENT_PAYLOADS at most 100, SageMaker's limit
CONCURRENT_PAYLOADS = 4  # so that the tail of one payload overlaps the next
OBJECT_BYTES = 20_000_000
# How FailureReason begins or what it holds when instances could not be had (SageMaker developer guide, "Troubleshooting").
NO_CAPACITY = ("CapacityError", "InsufficientCapacity", "insufficient capacity", "Unable to provision")
_ENDED = frozenset({"Completed", "Failed", "Stopped"})


@dataclass(frozen=True, slots=True)
class TransformSettings:
    """How transform jobs are run in this stack. An empty `image_uri` turns the backend off."""

    stack: str
    image_uri: str
    model_data_uri: str
    models: frozenset[str]
    role_arn: str
    instance_type: str
    instance_count: int
    max_lines: int
    invocation_timeout: int  # seconds


@dataclass(frozen=True, slots=True)
class SageMaker:
    """The backend `sagemaker`; `client` is boto3's SageMaker client."""

    client: Any
    bucket: Bucket
    settings: TransformSettings

    @property
    def limits(self) -> Limits:
        """All undone lines of one model and endpoint are one job, of many small objects."""
        return Limits(object_lines=self.settings.max_lines, object_bytes=OBJECT_BYTES)

    @property
    def proves_by_listing(self) -> bool:
        """A job's name is its idempotency key: to submit it again is free."""
        return False

    def upstream_model(self, model: Model) -> str | None:
        """A model runs here when there is an image, its weights are where the parameters say, and they fit the instance type."""
        upstream = model.upstream("sagemaker")
        if upstream is None or not self.settings.image_uri or model.id not in self.settings.models:
            return None
        return None if is_too_big(model, self.settings.instance_type) else upstream.id

    def upload(self, work: Work, content: Spool) -> Uploaded:  # noqa: ARG002 - part of the protocol
        """Nothing to do: a transform job reads the bucket."""
        return Uploaded("")

    def submit(self, work: Work) -> Submitted | Full | Rejected:
        """Create the transform job; one of that name is ours, made by an earlier try whose answer was lost."""
        try:
            self.client.create_transform_job(**self._transform_job(work, self._ensure_model(work.model)))
        except ClientError as error:
            return self._refused(work, error)
        return Submitted(work.name)

    def find(self, work: Work) -> list[Found]:
        """The job of that name."""
        answer = self._describe(work)
        if answer is None:
            return []
        return [Found(work.name, answer["CreationTime"].timestamp(), answer["TransformJobStatus"] in _ENDED)]

    def poll(self, work: Work) -> Running | Ended | Displaced | Missing:
        """The job's status. A job that failed for want of instances before it finished anything never ran."""
        answer = self._describe(work)
        if answer is None:
            return Missing()
        status = answer["TransformJobStatus"]
        if status not in _ENDED:
            return Running(self._share_done(work))
        if status == "Stopped":
            return Ended("The transform job was stopped.")
        if status == "Failed":
            if _lacked_capacity(answer.get("FailureReason", "")) and not any(self._finished(work)):
                return Displaced(f"SageMaker had no {self.settings.instance_type} instance free.")
            return Ended("The transform job failed; its log is in the log group /aws/sagemaker/TransformJobs.")
        return Ended()

    def cancel(self, work: Work) -> bool:
        """Stop the job: objects that are finished keep their output."""
        answer = self._describe(work)
        if answer is None or answer["TransformJobStatus"] in _ENDED:
            return True
        if answer["TransformJobStatus"] == "InProgress":
            try:
                self.client.stop_transform_job(TransformJobName=work.name)
            except ClientError as error:
                if error_code(error) not in {"ResourceNotFound", "ValidationException"}:  # it ended in between
                    raise
        return False

    def results(
        self,
        work: Work,
        is_late: Callable[[], bool],  # noqa: ARG002 - part of the protocol
    ) -> AbstractContextManager[Iterator[Results] | None]:
        """The `.out` objects that are there, whatever the job's status."""
        return nullcontext(self._finished(work))

    def _finished(self, work: Work) -> Iterator[Results]:
        for key, size in self.bucket.list(work.output_prefix):
            lines = line_range(key)
            if key.endswith(".out") and lines is not None:
                yield stored_results(self.bucket, key, size, *lines)

    def _refused(self, work: Work, error: ClientError) -> Submitted | Full | Rejected:
        code = error_code(error)
        kind = self.settings.instance_type
        if code == "ResourceInUse":
            return Submitted(work.name)
        if code == "ResourceLimitExceeded":
            return Full(f'The quota "{kind} for transform job usage" of SageMaker in this account is used up.')
        if code in {"ValidationException", "ResourceNotFound", "AccessDeniedException"}:
            return Rejected(f"SageMaker refused the transform job ({code}); see the log of the function submit.")
        raise error

    def _ensure_model(self, model: str) -> str:
        """The name of the SageMaker model, made when it is missing; another image or other weights make another name."""
        environment = {
            "MODEL_ID": model,
            "MAX_CONCURRENT_PAYLOADS": str(CONCURRENT_PAYLOADS),
            "MAX_PAYLOAD_MB": str(MAX_PAYLOAD_MB),
        }
        container: dict[str, object] = {"Image": self.settings.image_uri, "Environment": environment}
        data = self.settings.model_data_uri
        if data.endswith(".tar.gz"):
            container["ModelDataUrl"] = data
        elif data:
            environment["MODEL_WEIGHTS_URI"] = f"{data.rstrip('/')}/{model}"
        identity = f"{model}\0{self.settings.image_uri}\0{data}\0{self.settings.role_arn}"
        name = f"slacktide-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        try:
            self.client.describe_model(ModelName=name)
        except ClientError as error:
            if error_code(error) not in {"ValidationException", "ResourceNotFound"}:
                raise
            self._create_model(name, container)
        return name

    def _create_model(self, name: str, container: dict[str, object]) -> None:
        try:
            self.client.create_model(
                ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.settings.role_arn, Tags=self._tags
            )
        except ClientError as error:
            if "already existing" not in str(error):  # another job was quicker
                raise

    def _transform_job(self, work: Work, model_name: str) -> dict[str, object]:
        bucket = f"s3://{self.bucket.name}/"
        return {
            "TransformJobName": work.name,
            "ModelName": model_name,
            "MaxConcurrentTransforms": CONCURRENT_PAYLOADS,
            "MaxPayloadInMB": MAX_PAYLOAD_MB,
            "ModelClientConfig": {
                "InvocationsTimeoutInSeconds": self.settings.invocation_timeout,
                "InvocationsMaxRetries": 3,
            },
            "Environment": {"INVOCATION_TIMEOUT_SECONDS": str(self.settings.invocation_timeout)},
            "TransformInput": {
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": bucket + work.input_prefix},
                },
                "ContentType": "application/jsonlines",
                "SplitType": "None",
            },
            "TransformOutput": {
                "S3OutputPath": bucket + work.output_prefix,
                "Accept": "application/jsonlines",
                "AssembleWith": "None",
            },
            "TransformResources": {
                "InstanceType": self.settings.instance_type,
                "InstanceCount": self.settings.instance_count,
            },
            "Tags": self._tags,
        }

    @property
    def _tags(self) -> list[dict[str, str]]:
        return [{"Key": "slacktide:stack", "Value": self.settings.stack}]

    def _describe(self, work: Work) -> dict[str, Any] | None:
        try:
            return self.client.describe_transform_job(TransformJobName=work.name)
        except ClientError as error:
            if error_code(error) in {"ResourceNotFound", "ValidationException"}:
                return None
            raise

    def _share_done(self, work: Work) -> float:
        inputs = sum(1 for _ in self.bucket.list(work.input_prefix))
        return sum(1 for _ in self._finished(work)) / max(1, inputs)


def _lacked_capacity(reason: str) -> bool:
    return any(words in reason for words in NO_CAPACITY)
