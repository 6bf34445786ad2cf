"""The deployed stack as the tests look at it: files in, results, messages, executions, and the stand-in's ledger."""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import httpx
import msgspec
import pytest

from slacktide.batch import Batch, Job
from slacktide.keys import ResultKeys, input_path, latest
from slacktide.records import Records
from slacktide_local.accounting import ResultLine, find_unaccounted
from slacktide_local.cloud import LocalCloud

PATIENCE = 90  # seconds until a batch must have ended on a busy machine
MODEL = "smollm2"


def request(custom_id: str, text: str = "hello", **body: object) -> dict[str, object]:
    """A good line."""
    return {"custom_id": custom_id, "body": {"model": MODEL, "messages": [{"role": "user", "content": text}], **body}}


def requests(count: int, text: str = "hello") -> list[dict[str, object]]:
    return [request(f"r{number}", f"{text} {number}") for number in range(1, count + 1)]


def jsonl(lines: Iterable[Mapping[str, object] | str]) -> bytes:
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode()


def eventually(look: Callable[[], Any], *, what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer of `look`; fails the test when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := look():
            return answer
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {seconds} s")


@dataclass(frozen=True)
class Results:
    """The files of an ended batch."""

    manifest: dict[str, Any]
    output: list[ResultLine]
    errors: list[ResultLine]

    @property
    def answers(self) -> dict[int, str]:
        """The first words of each answer, by line."""
        return {line.line: line.response.body["choices"][0]["message"]["content"] for line in self.output if line.response}

    @property
    def codes(self) -> dict[int, str]:
        return {line.line: line.error.code for line in self.errors if line.error}


@dataclass
class Stack:
    """The deployed stack as a user and an operator see it."""

    cloud: LocalCloud
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        session = self.cloud.session
        self.s3 = session.client("s3")
        self.sqs = session.client("sqs")
        self.states = session.client("stepfunctions")
        self.functions = session.client("lambda")
        self.bucket = self.cloud.environment["SLACKTIDE_BUCKET"]

    @property
    def records(self) -> Records:
        credentials = self.cloud.state.credentials
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=self.cloud.endpoint,
            region_name="us-east-1",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
        )
        return Records(resource.Table(self.cloud.outputs["TableName"]))

    def drop(self, name: str, content: bytes, **metadata: str) -> str:
        """Drop a file below input/; answers its key."""
        key = f"input/{name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, Metadata=metadata)
        return key

    def read_json(self, key: str) -> dict[str, Any] | None:
        try:
            return json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except self.s3.exceptions.NoSuchKey:
            return None

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def batch_ids(self, key: str) -> list[str]:
        """The batches that were made of an input key, oldest first."""
        return list(self.records.batches_of_input(key))[::-1]

    def batch(self, batch_id: str) -> Batch:
        return self.records.get_batch(batch_id)

    def jobs(self, batch_id: str) -> list[Job]:
        return self.records.jobs(batch_id)

    def wait_for_batch(self, key: str, *, count: int = 1) -> list[str]:
        """The ids of the batches of a key, as soon as there are `count`."""
        return eventually(lambda: ids if len(ids := self.batch_ids(key)) >= count else None, what=f"{count} batches of {key}")

    def wait_for_end(self, batch_id: str, seconds: float = PATIENCE) -> Batch:
        """The batch when its status is final and told of."""

        def ended() -> Batch | None:
            batch = self.batch(batch_id)
            return batch if batch.status.is_final and batch.announced == batch.sequence else None

        return eventually(ended, what=f"the end of {batch_id}", seconds=seconds)

    def run(self, name: str, content: bytes, **metadata: str) -> tuple[Batch, Results]:
        """Drop a file and wait for the end of its batch, then account for every line."""
        key = self.drop(name, content, **metadata)
        batch = self.wait_for_end(self.wait_for_batch(key)[-1])
        return batch, self.results(batch)

    def results(self, batch: Batch) -> Results:
        """The results of an ended batch; every line is accounted for, and the manifest's digests are true."""
        keys = ResultKeys(input_path(batch.input.key), batch.batch_id)
        manifest = self.read_json(keys.manifest)
        assert manifest is not None, "no manifest"
        files: dict[str, list[ResultLine]] = {}
        for name in ("output", "errors"):
            content = self.read(manifest[name]["key"])
            check_digest(content, manifest[name])
            files[name] = [msgspec.json.decode(line, type=ResultLine) for line in content.splitlines()]
        results = Results(manifest, **files)
        letters = self.dead_letters(batch.batch_id, len(results.errors))
        problems = find_unaccounted(
            batch.total,
            output=results.output,
            errors=results.errors,
            dead_letters=[letter["line"] for letter in letters],
        )
        assert problems == []
        assert manifest["status"] == batch.status
        assert manifest["counts"] == {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
        return results

    def latest(self, key: str) -> dict[str, Any] | None:
        return self.read_json(latest(input_path(key)))

    def dead_letters(self, batch_id: str, count: int) -> list[dict[str, Any]]:
        """The dead letters of a batch, once for each line."""
        eventually(lambda: self._received(batch_id, "SLACKTIDE_DLQ_URL") >= count, what=f"{count} dead letters")
        found = self.messages[f"SLACKTIDE_DLQ_URL {batch_id}"]
        return list({message["line"]: message for message in found}.values())

    def events(self, batch_id: str, count: int) -> list[dict[str, Any]]:
        """The first `count` events of a batch, without repeats, in the order of their sequence."""
        eventually(lambda: self._received(batch_id, "SLACKTIDE_EVENTS_QUEUE_URL") >= count, what=f"{count} events")
        found = {event["detail"]["data"]["sequence"]: event for event in self.messages[f"SLACKTIDE_EVENTS_QUEUE_URL {batch_id}"]}
        return [found[sequence] for sequence in sorted(found)]

    def _received(self, batch_id: str, queue: str) -> int:
        """Take what is on a queue; answers how many different messages of this batch have come so far."""
        url = self.cloud.environment[queue]
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            body = json.loads(message["Body"])
            of = body["batch_id"] if "batch_id" in body else body["detail"]["data"]["batch_id"]
            if "line" in body or "sequence" in body["detail"]["data"]:  # others tell of a job
                self.messages[f"{queue} {of}"].append(body)
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        found = self.messages[f"{queue} {batch_id}"]
        return len({body.get("line") or body["detail"]["data"]["sequence"] for body in found})

    def control(self, path: str, body: object | None = None, *, method: str | None = None) -> Any:
        """Ask the SageMaker stand-in: its ledger, its faults."""
        method = method or ("GET" if body is None else "POST")
        answer = httpx.request(method, f"{self.cloud.sagemaker_url}/_control/{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    def created_jobs(self, batch_id: str) -> dict[str, int]:
        """How often CreateTransformJob was accepted for each name of a batch."""
        created = self.control("ledger")["created"]
        return {name: count for name, count in created.items() if batch_id.removeprefix("batch_") in name}

    def executions(self, machine: str, batch_id: str) -> dict[str, str]:
        """The executions of a batch on a machine (its output's name) with their statuses."""
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=self.cloud.outputs[machine])
        return {
            execution["executionArn"]: execution["status"]
            for page in pages
            for execution in page["executions"]
            if execution["name"].startswith(batch_id)
        }


def check_digest(content: bytes, entry: Mapping[str, Any]) -> None:
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert len(content) == entry["bytes"]
    assert content.count(b"\n") == entry["lines"]
