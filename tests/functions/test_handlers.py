"""Each handler with a real-shaped event: plumbing only, and one library call."""

import json
from typing import Any

import pytest

from fakes.stack import VERBS, Context, Stack, clear_caches, load
from fakes.world import BUCKET, NOTHING, jsonl, request
from slacktide import wiring
from slacktide.access import AccessKeys
from slacktide.batch import ObjectRef
from slacktide.errors import EventError, SettingsError
from slacktide.files import FilePart

FILE = jsonl(request("a"), request("b"), b"nonsense")
STEPS = ["plan", "follow", "submit", "poll", "collect", "assemble", "dead_letter", "announce"]


@pytest.fixture
def batch_id(stack: Stack) -> str:
    """An accepted batch."""
    assert stack.call("validate", stack.drop(FILE)) == {"batchItemFailures": []}
    (execution,) = stack.states.executions.values()
    return execution.input["batch_id"]


def test_every_function_is_tested_here() -> None:
    assert sorted([*STEPS, "validate", "sweep", "api"]) == VERBS


def test_each_step_answers_what_the_machine_reads(stack: Stack, batch_id: str) -> None:
    step: dict[str, Any] = {"v": 1, "batch_id": batch_id}
    job = step | {"job_id": "r1-j1", "cursor": None, "wait_seconds": 0}
    name = f"{batch_id}-r1-j1-a1"
    start = {"job_id": "r1-j1", "attempt": 1, "name": name}
    wanted: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("plan", step, {"has_jobs": True, "jobs": [start], "wait_seconds": 15, "is_held": False}),
        ("submit", job, {"done": False, "outcome": "submitted", "wait_seconds": 0, "cursor": "written"}),
        ("submit", job | {"cursor": "written"}, {"done": True, "outcome": "submitted", "wait_seconds": 15, "cursor": None}),
        ("follow", step | {"wait_seconds": 15}, {"settled": True, "wait_seconds": 22}),
        ("poll", job, {"done": False, "resubmit": False, "wait_seconds": 15, "progress": 1}),
        ("poll", job, {"done": True, "resubmit": False, "wait_seconds": 0, "progress": 1}),
        ("collect", job, {"done": True, "wait_seconds": 0, "cursor": None}),
        ("plan", step, {"has_jobs": False, "jobs": [], "wait_seconds": 0, "is_held": False}),
        ("assemble", step | {"cursor": None, "gave_up": False}, {"done": True, "cursor": None}),
        ("dead_letter", step | {"cursor": None}, {"done": True, "cursor": None}),
        ("announce", step, {"status": "completed"}),
    ]
    for verb, event, answer in wanted:
        assert stack.call(verb, event) == answer | {"v": 1}, verb
    assert stack.call("sweep", {}) == NOTHING
    assert len(stack.letters()) == 1


def test_the_machines_and_the_handlers_go_together(stack: Stack, batch_id: str) -> None:
    stack.run()
    assert json.loads(stack.results("manifest.json"))["counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert {execution.status for execution in stack.states.executions.values()} == {"SUCCEEDED"}
    assert [detail["data"]["status"] for detail in stack.bus.details(batch_id)][-1] == "completed"


def test_a_model_table_in_the_bucket_counts_from_validate_to_plan(stack: Stack) -> None:
    row = '[[models]]\nid = "HuggingFaceTB/SmolLM2-135M-Instruct"\naliases = ["mine"]\n'
    stack.s3.put_object(Bucket=BUCKET, Key="config/models.toml", Body=row.encode())
    stack.call("validate", stack.drop(jsonl(request("a", model="mine"), request("b", model="smollm2"))))
    stack.s3.delete_object(Bucket=BUCKET, Key="config/models.toml")
    stack.run()
    assert json.loads(stack.results("output.jsonl"))["custom_id"] == "a"
    assert json.loads(stack.results("errors.jsonl"))["error"]["code"] == "model_not_found"


def test_a_step_of_a_later_version_is_refused() -> None:
    for verb in STEPS:
        with pytest.raises(EventError, match="version 2"):
            load(verb).handler({"v": 2, "batch_id": "b"}, Context(verb))


def test_a_step_of_a_former_version_may_lack_and_have_fields(stack: Stack, batch_id: str) -> None:
    stack.run()
    for verb in STEPS:
        assert stack.call(verb, {"batch_id": batch_id, "job_id": "r1-j1", "former": 1}), verb


def test_a_bad_message_does_not_keep_the_others(stack: Stack) -> None:
    event = stack.drop(FILE)
    bad = stack.message("no event")["Records"][0] | {"messageId": "bad"}
    answer = stack.call("validate", {"Records": [bad, event["Records"][0]]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert len(stack.states.executions) == 1


def test_a_failed_message_comes_again_and_is_said(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    url = wiring.settings().input_queue_url
    stack.sqs.send_message(QueueUrl=url, MessageBody="x")
    (taken,) = stack.sqs.receive_message(QueueUrl=url)["Messages"]
    event = stack.drop(FILE)
    event["Records"][0]["receiptHandle"] = taken["ReceiptHandle"]
    stack.bus.refusals = 1
    assert stack.call("validate", event) == {"batchItemFailures": [{"itemIdentifier": "m"}]}
    assert [record.levelname for record in caplog.records if record.levelname == "ERROR"] == ["ERROR"]
    assert stack.call("validate", event) == {"batchItemFailures": []}


def test_a_call_of_the_api_creates_a_batch_that_runs(stack: Stack) -> None:
    _, key = AccessKeys(stack.table).create("name", "owner", 1)

    def call(method: str, path: str, body: dict[str, Any] | None = None, key: str | None = key) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        event = {"httpMethod": method, "path": path, "headers": headers, "body": json.dumps(body), "requestContext": {}}
        return stack.call("api", event)

    assert call("GET", "/v1/batches", key=None)["statusCode"] == 401
    new = {"bytes": len(FILE), "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    upload = json.loads(call("POST", "/openai/v1/uploads", new)["body"])["id"]
    put = stack.s3.put_object(Bucket=BUCKET, Key="uploads/part", Body=FILE)
    file_id = upload.replace("upload_", "file-")
    source = ObjectRef(BUCKET, "uploads/part", put["VersionId"], len(FILE))
    wiring.files().add_part(wiring.files().get(file_id, "owner", wiring.now()), FilePart("part_1", 1, source))
    assert call("POST", f"/openai/v1/uploads/{upload}/complete", {"part_ids": ["part_1"]})["statusCode"] == 200
    created = call("POST", "/v1/batches", {"input_file_id": file_id, "endpoint": "/v1/chat/completions"})
    assert created["statusCode"] == 201
    (message,) = stack.sqs.receive_message(QueueUrl=wiring.settings().input_queue_url)["Messages"]
    assert stack.call("validate", stack.message(message["Body"])) == {"batchItemFailures": []}
    stack.run()
    batch_id = json.loads(created["body"])["job"]["id"]
    told = json.loads(call("GET", f"/openai/v1/batches/{batch_id}")["body"])
    assert (told["status"], told["request_counts"]) == ("completed", {"total": 3, "completed": 2, "failed": 1})


def test_sweep_takes_any_event(stack: Stack, batch_id: str) -> None:
    stack.states.stop(batch_id)
    failed = {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": {"status": "ABORTED"}}
    assert stack.call("sweep", failed)["restarted"] == 1
    assert stack.call("sweep", {"source": "aws.events"})["restarted"] == 0


def test_sweep_looks_after_the_batch_that_an_event_tells_of(stack: Stack, batch_id: str) -> None:
    assert stack.call("validate", stack.drop(FILE)) == {"batchItemFailures": []}
    for execution in stack.states.running():
        stack.states.stop(execution.name)
    failed = {"source": "aws.states", "detail": {"name": f"{batch_id}-r1-j1-a1", "status": "FAILED"}}
    assert stack.call("sweep", failed)["restarted"] == 1
    assert [execution.name for execution in stack.states.running()] == [f"{batch_id}-a2"]
    assert stack.call("sweep", {"source": "aws.events"})["restarted"] == 1


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_reads_the_environment_at_import(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUCKET", "TABLE", "EVENT_BUS"):
        monkeypatch.delenv(f"SLACKTIDE_{name}", raising=False)
    assert callable(load(verb).handler)


@pytest.mark.usefixtures("aws")
def test_a_missing_environment_is_told_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUCKET", "TABLE", "EVENT_BUS"):
        monkeypatch.delenv(f"SLACKTIDE_{name}", raising=False)
    clear_caches()
    with pytest.raises(SettingsError, match="SLACKTIDE_BUCKET is not set; SLACKTIDE_TABLE is not set"):
        load("sweep").handler({}, Context("sweep"))


@pytest.mark.usefixtures("aws")
def test_the_real_wiring_makes_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BUCKET": BUCKET, "TABLE": "table", "EVENT_BUS": "bus"}.items():
        monkeypatch.setenv(f"SLACKTIDE_{name}", value)
    clear_caches()
    parts = ["deliveries", "planner", "follower", "jobs", "assembler", "dead_letters", "sweeper"]
    assert all(getattr(wiring, part)() is getattr(wiring, part)() for part in parts)
    assert list(wiring.backends()) == ["together", "openai", "sagemaker"]
    clear_caches()


def test_an_invocation_is_late_before_its_end() -> None:
    clock = wiring.clock(Context("f"))
    assert wiring.now() + 250 < clock.ends_at < wiring.now() + 300
    assert not clock.is_late
