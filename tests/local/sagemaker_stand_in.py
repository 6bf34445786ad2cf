"""The stand-in as tests use it: a real process, boto3's own clients, and short ways to run a job."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

ROLE = "arn:aws:iam::000000000000:role/transform"
CONTAINER = Path(__file__).with_name("steered_container.py")
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
DEADLINE = 30.0  # seconds; far above what anything here takes, so that a busy machine turns nothing red
FINAL = {"Completed", "Failed", "Stopped"}
numbers = count(1)


def wait_until(condition: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and return it; fail after DEADLINE seconds."""
    limit = time.monotonic() + DEADLINE
    while time.monotonic() < limit:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE:.0f} s: {condition}")


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class StandIn:
    """A running stand-in, an S3 bucket, and a model named `model`."""

    process: subprocess.Popen[str]
    url: str
    s3: Any
    bucket: str
    log: Path
    sagemaker: Any = field(init=False)

    def __post_init__(self) -> None:
        self.sagemaker = self.connect()
        container = {"Image": "image", "Environment": {"FROM": "model", "MODEL": "yes"}}
        self.sagemaker.create_model(ModelName="model", PrimaryContainer=container, ExecutionRoleArn=ROLE)

    def connect(self) -> Any:
        """A client that makes one attempt, so that a test sees each answer."""
        config = Config(retries={"total_max_attempts": 1})
        return boto3.client("sagemaker", endpoint_url=self.url, config=config, **CREDENTIALS)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """A call of the control endpoints."""
        answer = httpx.request(method, f"{self.url}/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, objects: Mapping[str, bytes]) -> str:
        """Write input objects below a new prefix, and return the job's name, which is also the prefix."""
        name = f"job-{next(numbers)}"
        for key, body in objects.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"in/{name}/{key}", Body=body)
        return name

    def describe_request(self, name: str, **changes: Any) -> dict[str, Any]:
        """A good CreateTransformJob request for a prefix, with members replaced."""
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/in/{name}/"}
        request: dict[str, Any] = {
            "TransformJobName": name,
            "ModelName": "model",
            "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "application/jsonlines"},
            "TransformOutput": {"S3OutputPath": f"s3://{self.bucket}/out/{name}", "Accept": "application/jsonlines"},
            "TransformResources": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
        }
        return request | changes

    def create(self, objects: Mapping[str, bytes], **changes: Any) -> str:
        """Start a job on these objects; its name."""
        name = self.put(objects)
        self.sagemaker.create_transform_job(**self.describe_request(name, **changes))
        return name

    def status(self, name: str) -> str:
        return self.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]

    def wait(self, name: str) -> dict[str, Any]:
        """The job's description once it has ended."""
        wait_until(lambda: self.status(name) in FINAL)
        return self.sagemaker.describe_transform_job(TransformJobName=name)

    def run(self, objects: Mapping[str, bytes], **changes: Any) -> dict[str, Any]:
        """Run a job to its end; its description."""
        return self.wait(self.create(objects, **changes))

    def outputs(self, name: str) -> dict[str, bytes]:
        """What lies below the job's output path: name → content."""
        prefix = f"out/{name}/"
        rows = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        keys = [row["Key"] for row in rows]
        return {key[len(prefix) :]: self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def payloads(self, name: str) -> list[dict[str, Any]]:
        """The ledger's payloads of a job."""
        return [row for row in self.ask("GET", "ledger")["payloads"] if row["job"] == name]

    def containers(self, name: str) -> list[dict[str, Any]]:
        """The containers of a job that run now."""
        return [row for row in self.ask("GET", "containers") if row["job"] == name]


@contextmanager
def start_stand_in(s3_url: str, s3: Any, bucket: str, *options: str, log: Path) -> Iterator[StandIn]:
    """Start the stand-in's process on a free port, and end it."""
    command = [sys.executable, "-m", "slacktide_local.sagemaker", "--s3-endpoint", s3_url, "--retry-delay", "0.01"]
    command += ["--container-command", shlex.join([sys.executable, "-S", str(CONTAINER)]), *options]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with (
        log.open("a") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        line = process.stdout.readline()
        assert line, log.read_text()
        try:
            yield StandIn(process, f"http://127.0.0.1:{json.loads(line)['port']}", s3, bucket, log)
        finally:
            process.terminate()
