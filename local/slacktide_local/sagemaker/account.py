"""What exists: the models and transform jobs of one account in one Region, in memory."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from slacktide_local.sagemaker.errors import ApiError, not_found, validation
from slacktide_local.sagemaker.objects import InputObject, Location

JobStatus = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]
FINAL: frozenset[JobStatus] = frozenset({"Completed", "Failed", "Stopped"})

# ModelClientConfig: "The default value is 600" and "The default value is 3".
DEFAULT_TIMEOUT_SECONDS = 600
DEFAULT_MAX_RETRIES = 3


@dataclass(frozen=True)
class Model:
    """A model: the CreateModel request, its ARN and when it was made (seconds since the epoch)."""

    request: Mapping[str, Any]
    arn: str
    created: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        return self.request["ModelName"]

    @property
    def role(self) -> str:
        """The execution role's ARN: only named, since IAM is not modelled."""
        return self.request["ExecutionRoleArn"]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All container definitions; Batch Transform serves the primary one, or the only one of Containers."""
        primary = self.request.get("PrimaryContainer")
        return [primary] if primary else list(self.request.get("Containers", []))


@dataclass
class Job:
    """A transform job: what was asked for, and how far it is. Times are seconds since the epoch.

    `stopping` is set by StopTransformJob, `released` ends a scripted stall.
    """

    request: Mapping[str, Any]
    arn: str
    model: Model
    inputs: list[InputObject]
    created: float = field(default_factory=time.time)
    status: JobStatus = "InProgress"
    failure_reason: str | None = None
    started: float | None = None
    finished: float | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.request["TransformJobName"]

    @property
    def source(self) -> Location:
        return Location.parse(self.request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])

    @property
    def target(self) -> Location:
        return Location.parse(self.request["TransformOutput"]["S3OutputPath"])

    @property
    def instance_count(self) -> int:
        return self.request["TransformResources"]["InstanceCount"]

    @property
    def invocation_timeout(self) -> int:
        """Seconds that one invocation may take."""
        return self.request.get("ModelClientConfig", {}).get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS)

    @property
    def max_retries(self) -> int:
        """How often a payload is sent again after the first try."""
        return self.request.get("ModelClientConfig", {}).get("InvocationsMaxRetries", DEFAULT_MAX_RETRIES)

    @property
    def environment(self) -> dict[str, str]:
        """The container's variables: the model's, and over them the job's."""
        return {**self.model.containers[0].get("Environment", {}), **self.request.get("Environment", {})}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every invocation: the content types that the job names."""
        named = {
            "Content-Type": self.request["TransformInput"].get("ContentType"),
            "Accept": self.request["TransformOutput"].get("Accept"),
        }
        return {name: value for name, value in named.items() if value}

    def end(self, status: JobStatus, reason: str | None = None) -> None:
        """Take the final status; FailureReason has at most 1,024 characters."""
        self.status = status
        self.failure_reason = reason[:1024] if reason else None
        self.finished = time.time()


class Account:
    """Models by name and jobs by name; a job's name is taken for ever, a model's until it is deleted."""

    def __init__(self, *, region: str, account_id: str) -> None:
        self.models: dict[str, Model] = {}
        self.jobs: dict[str, Job] = {}
        self._arn = f"arn:aws:sagemaker:{region}:{account_id}"

    def format_arn(self, kind: Literal["model", "transform-job"], name: str) -> str:
        return f"{self._arn}:{kind}/{name.lower()}"

    def get_model(self, name: str) -> Model:
        """The model, or ValidationException in AWS's words."""
        if model := self.models.get(name):
            return model
        raise validation(f'Could not find model "{self.format_arn("model", name)}".')

    def get_job(self, name: str) -> Job:
        """The job, or ResourceNotFound."""
        if job := self.jobs.get(name):
            return job
        raise not_found()

    def refuse_taken_name(self, name: str) -> None:
        """Raise ResourceInUse for a job name that was ever used (CreateTransformJob: the name must be unique)."""
        if name in self.jobs:
            arn = self.format_arn("transform-job", name)
            raise ApiError(
                "ResourceInUse",
                f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
            )
