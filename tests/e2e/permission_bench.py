"""A deployed stack in which nothing runs by itself, so that each function is called when the test wants it."""

import base64
import io
import json
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from e2e.stack import Stack, jsonl, requests
from slacktide.access import AccessKeys
from slacktide.batch import Batch, Job
from slacktide.ids import RequestId
from slacktide.records import Records
from template.document import FUNCTION, ROOT, Document, read_template, resources

MIXED = [*requests(2), "rubbish"]
ASSEMBLE_TIMEOUT = 6  # seconds; half of them is for work
NOTHING = json.dumps({"StartAt": "Nothing", "States": {"Nothing": {"Type": "Pass", "End": True}}})
# Stands in front of each function: the emulator ends the process of a function that raises, and the next call would wait for
# another; and what befell a message is told to nobody. Without the mark the event passes as it is.
TELLER = """
import logging
import traceback
import app

class Notes(logging.Handler):
    # What the API logs and answers as a plain 500.
    def emit(self, record):
        if record.exc_info:
            self.last = "".join(traceback.format_exception(*record.exc_info))

notes = Notes()
logging.getLogger("slacktide").addHandler(notes)

def handler(event, context):
    if not event.pop("tell", False):
        return app.handler(event, context)
    try:
        answer = app.handler(event, context)
    except Exception:
        return {"failure": traceback.format_exc()}
    if isinstance(answer, dict) and answer.get("statusCode") == 500:
        return {"failure": notes.last}
    failures = [] if not hasattr(app, "processor") else app.processor.exceptions
    return {"failure": "".join(traceback.format_exception(failures[0][1]))} if failures else {"answer": answer}
"""


Form = dict[str, str | bytes]  # texts, and the bytes of the one file


class CallFailedError(Exception):
    """A function raised, or could not handle its message."""


@dataclass(frozen=True)
class Workbench:
    """A deployed stack in which nothing runs by itself: rules and queue are off, and the machines do nothing.

    `functions` has the deployed name of each function by its logical id.
    """

    stack: Stack
    functions: dict[str, str]
    records: Records

    @classmethod
    def set_up(cls, stack: Stack, names: dict[str, str]) -> "Workbench":
        """Put the teller in front of each function; assembling may take a short time only, so that it can run out of it."""
        for function, name in names.items():
            source = resources(read_template(), FUNCTION)[function]["CodeUri"]
            packed = pack({"app.py": (ROOT / source / "app.py").read_text(), "teller.py": TELLER})
            stack.functions.update_function_code(FunctionName=name, ZipFile=packed)
            timeout = {"Timeout": ASSEMBLE_TIMEOUT} if function == "AssembleFunction" else {}
            stack.functions.update_function_configuration(FunctionName=name, Handler="teller.handler", **timeout)
        return cls(stack, names, stack.records)

    def call(self, function: str, payload: Document) -> dict[str, Any]:
        """Call a function and wait for its answer. Raises CallFailedError with its traceback."""
        answer = self.stack.functions.invoke(FunctionName=self.functions[function], Payload=json.dumps(payload | {"tell": True}))
        result = json.loads(answer["Payload"].read())
        if "answer" not in result:
            raise CallFailedError(f"{function}: {result.get('failure', result)}")
        return result["answer"]

    def step(self, function: str, batch_id: str, **more: object) -> dict[str, Any]:
        """Call a function as a state machine does."""
        return self.call(function, {"v": 1, "batch_id": batch_id, **more})

    def deliver(self, event: Document, receipt: str = "none") -> None:
        """Hand an event to validate as the input queue does. Raises CallFailedError."""
        record = {
            "messageId": "a-message",
            "receiptHandle": receipt,
            "body": json.dumps(event),
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:input",
        }
        self.call("ValidateFunction", {"Records": [record]})

    def drop(self, lines: list[Any] | None = None) -> Document:
        """Write an object that nobody is told of; answers the event that tells of it."""
        key = f"input/{time.monotonic_ns()}.jsonl"
        return self.overwrite(key, jsonl(MIXED if lines is None else lines))

    def overwrite(self, key: str, content: bytes) -> Document:
        put = self.stack.s3.put_object(Bucket=self.stack.bucket, Key=key, Body=content)
        thing = {"key": key, "etag": put["ETag"].strip('"'), "version-id": put["VersionId"]}
        return {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "time": "2099-01-01T00:00:00Z",  # behind the making of any batch, so that a cancel marker is later than it
            "detail": {"bucket": {"name": self.stack.bucket}, "object": thing},
        }

    def ask(self, owner: str, method: str, path: str, body: Document | None = None, form: Form | None = None) -> dict[str, Any]:
        """Call the API as API Gateway does, with a new key. Raises CallFailedError for a 500; other answers are as they are."""
        _, key = AccessKeys(self.records.table).create(f"{time.monotonic_ns()}", owner, 1, requests_per_second=1_000)
        headers, content = {"Authorization": f"Bearer {key}"}, json.dumps(body).encode() if body is not None else b""
        if form is not None:
            kind, content = encode_form(form)
            headers["Content-Type"] = kind
        text = base64.b64encode(content).decode()
        event = {"httpMethod": method, "path": path, "headers": headers, "body": text, "isBase64Encoded": True}
        return self.call("ApiFunction", event | {"requestContext": {}})

    def told(self, owner: str, method: str, path: str, body: Document | None = None, form: Form | None = None) -> Any:
        """The same; answers the body of an answer that is a good one."""
        answer = self.ask(owner, method, path, body, form)
        assert answer["statusCode"] in {200, 201}, answer
        return json.loads(answer["body"])

    def follow(self, answer: dict[str, Any], method: str = "GET", content: bytes | None = None) -> bytes:
        """Go where an answer leads: the URL is good for what the role may that signed it. Raises CallFailedError."""
        assert answer["statusCode"] == 302, answer
        (url,) = answer["multiValueHeaders"]["Location"] if "multiValueHeaders" in answer else [answer["headers"]["Location"]]
        fetched = httpx.request(method, url, content=content)
        if fetched.status_code != 200:
            raise CallFailedError(f"{method}: {fetched.status_code} {fetched.text}")
        return fetched.content

    # A new batch, brought to a stage

    def queued(self, lines: list[Any] | None = None) -> Batch:
        event = self.drop(lines)
        self.deliver(event)
        (batch_id,) = self.records.batches_of_input(event["detail"]["object"]["key"])
        return self.records.get_batch(batch_id)

    def planned(self) -> Job:
        batch = self.queued()
        assert self.step("PlanFunction", batch.batch_id)["has_jobs"]
        return self.records.jobs(batch.batch_id)[0]

    def written(self) -> Job:
        """A job whose input is written."""
        job = self.planned()
        assert self.step("SubmitFunction", job.batch_id, job_id=job.job_id)["cursor"] == "written"
        return job

    def submitted(self) -> Job:
        """A job that SageMaker is at, with an answer to each of its lines."""
        job = self.written()
        self.step("SubmitFunction", job.batch_id, job_id=job.job_id, cursor="written")
        (job,) = self.records.jobs(job.batch_id)
        assert job.upstream_id, job.reason
        answers = [
            {
                "custom_id": str(RequestId(job.batch_id, job.round, line)),
                "response": {"status_code": 200, "body": {"choices": []}},
                "error": None,
            }
            for line in range(job.first, job.last + 1)
        ]
        name = job.keys.input_object(job.first, job.last).rpartition("/")[2]
        self.stack.s3.put_object(Bucket=self.stack.bucket, Key=f"{job.keys.raw(job.submission)}{name}.out", Body=jsonl(answers))
        return job

    def assembled(self) -> Batch:
        """A batch with a manifest and an error in its error file."""
        batch = self.queued()
        assert self.step("AssembleFunction", batch.batch_id, gave_up=True)["done"]
        return self.records.get_batch(batch.batch_id)

    def forget(self) -> None:
        """Drop every record, so that sweep has but one batch to look after."""
        table = self.records.table
        for item in table.scan()["Items"]:
            table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})


def encode_form(form: Form) -> tuple[str, bytes]:
    """A form as clients send it: its content type, and its bytes."""
    files = {name: ("a.jsonl", value) for name, value in form.items() if isinstance(value, bytes)}
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    request = httpx.Request("POST", "http://localhost", data=texts, files=files)
    return request.headers["content-type"], request.read()


def pack(files: dict[str, str]) -> bytes:
    """A function's code as Lambda takes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@dataclass(frozen=True)
class Switches:
    """What makes a stack run by itself: rules, the input queue, the machines, and transform jobs."""

    stack: Stack
    definitions: dict[str, str]

    @classmethod
    def of(cls, stack: Stack) -> "Switches":
        machines = [stack.cloud.outputs[name] for name in ("BatchStateMachineArn", "JobStateMachineArn")]
        return cls(stack, {arn: stack.states.describe_state_machine(stateMachineArn=arn)["definition"] for arn in machines})

    def turn_off(self) -> None:
        self._turn(on=False)
        for arn in self.definitions:
            self.stack.states.update_state_machine(stateMachineArn=arn, definition=NOTHING)
        self.stack.control("faults", {"kind": "stall", "times": 1_000_000})

    @contextmanager
    def on(self) -> Generator[None, None, None]:
        """Everything as it was deployed, for the length of a block."""
        self.stack.control("faults", method="DELETE")
        for arn, definition in self.definitions.items():
            self.stack.states.update_state_machine(stateMachineArn=arn, definition=definition)
        self._turn(on=True)
        try:
            yield
        finally:
            self.turn_off()

    def _turn(self, *, on: bool) -> None:
        events = self.stack.cloud.session.client("events")
        change = events.enable_rule if on else events.disable_rule
        for rule in events.list_rules()["Rules"]:
            change(Name=rule["Name"])
        for mapping in self.stack.functions.list_event_source_mappings()["EventSourceMappings"]:
            self.stack.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)
