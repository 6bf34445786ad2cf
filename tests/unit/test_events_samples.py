"""The sample events have the shapes that the functions really get, and they read them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from slacktide.access import AccessKey
from slacktide.api.app import ROUTES
from slacktide.api.calls import Call, read_body
from slacktide.api.openai_objects import BatchCreate
from slacktide.events import Created, Dropped, create_message, read_event, read_execution
from slacktide.ids import BATCH_ID
from slacktide.steps import read_step
from template.document import read_template

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "events"

# The state that calls the function, and its machine.
STEPS = {
    "plan": ("batch", "Plan round"),
    "follow": ("batch", "Follow round"),
    "assemble": ("batch", "Assemble"),
    "dead_letter": ("batch", "Dead-letter"),
    "announce": ("batch", "Announce"),
    "submit": ("job", "Submit"),
    "poll": ("job", "Poll"),
    "collect": ("job", "Collect"),
}


def read(name: str) -> dict[str, Any]:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_every_function_has_a_sample() -> None:
    functions = {path.parent.name for path in ROOT.glob("functions/*/app.py")}
    samples = {path.stem for path in EVENTS.glob("*.json")}
    others = {"validate-cancel", "validate-create", "sweep-execution"}
    assert samples - others == functions
    assert samples >= others


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("validate", "input/evaluations/2026-11 Größen + 5%.jsonl"),
        ("validate-cancel", "input/evaluations/2026-11.jsonl.cancel"),
    ],
)
def test_a_message_of_the_input_queue_holds_one_dropped_object(name: str, key: str) -> None:
    (record,) = read(name)["Records"]
    assert record["eventSource"] == "aws:sqs"
    assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
    bucket = json.loads(record["body"])["detail"]["bucket"]["name"]
    dropped = read_event(record["body"], bucket)
    assert isinstance(dropped, Dropped)
    assert dropped.key == key
    assert dropped.version_id
    assert dropped.etag


def test_a_message_of_the_input_queue_tells_of_a_created_batch() -> None:
    (record,) = read("validate-create")["Records"]
    assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
    created = read_event(record["body"], "any")
    assert isinstance(created, Created)
    assert record["body"] == create_message(created.batch_id)


def test_a_call_of_the_api_is_read() -> None:
    event = read("api")
    headers = {name.lower(): value for name, value in event["headers"].items()}
    call = Call(AccessKey("k", "name", "owner", "", 0), event["path"], headers, {}, read_body(event))
    assert event["requestContext"]["path"] == f"/prod{event['path']}"
    assert any(route.method == event["httpMethod"] and route.path == event["path"] for route in ROUTES)
    assert call.json(BatchCreate).endpoint == "/v1/chat/completions"
    assert call.attempt.retry_count == 0


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_the_fields_that_its_state_sends(name: str) -> None:
    machine, state = STEPS[name]
    definition = json.loads((ROOT / "statemachine" / f"{machine}.asl.json").read_text())
    assert set(read(name)) == set(definition["States"][state]["Arguments"]["Payload"])


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_readable(name: str) -> None:
    event = read(name)
    step = read_step(event)
    assert BATCH_ID.fullmatch(step.batch_id)
    assert {field: getattr(step, field) for field in event} == event


@pytest.mark.parametrize("name", [name for name, (machine, _) in STEPS.items() if machine == "job"])
def test_a_step_of_a_job_names_it(name: str) -> None:
    assert read_step(read(name)).job == "r1-j1"


def test_sweep_is_called_by_its_schedule() -> None:
    event = read("sweep")
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
    assert read_execution(event) is None


def test_sweep_is_called_for_the_execution_of_the_sample() -> None:
    template = read_template()
    pattern = template["Resources"]["SweepFunction"]["Properties"]["Events"]["DeadExecution"]["Properties"]["Pattern"]
    event = read("sweep-execution")
    assert event["source"] in pattern["source"]
    assert event["detail-type"] in pattern["detail-type"]
    assert event["detail"]["status"] in pattern["detail"]["status"]
    machine = event["detail"]["stateMachineArn"].rpartition(":")[2]
    assert any(machine.startswith(resource["Ref"]) for resource in pattern["detail"]["stateMachineArn"])
    assert event["detail"]["executionArn"] == event["resources"][0]
    assert read_execution(event) == event["detail"]["name"]
    assert BATCH_ID.fullmatch(event["detail"]["name"])
