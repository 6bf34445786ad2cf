"""200 calls inside of the function at the same moment: none is answered with a 5xx, and what may happen once happens once.

The function is the real one with its real clients, over the emulator's DynamoDB, S3 and SQS; what is not here is the gateway. So
that others come between each look and each write, all calls wait in front of the operation that decides.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from api.caller import CHAT, OPENAI, Caller
from api.fleet import Answer, Call, Fleet
from api.reader import paused_reader
from e2e.stack import Stack, jsonl, request
from slacktide.access import RATE_WINDOW
from slacktide.events import create_message
from slacktide.statuses import BatchStatus

CLIENTS = 200
BATCHES = f"{OPENAI}/batches"
LOOK, WRITE, UPDATE, CREATE = "GetItem", "PutItem", "UpdateItem", "TransactWriteItems"
ORIGINAL, RETRY = {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def fleet(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with paused_reader(stack), Fleet.launched(stack, CLIENTS, tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture
def busy(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Caller]:
    """Somebody whose batches nobody runs: it is the API that is under load."""
    with Caller.new(stack, f"busy-{request.node.name}") as caller:
        yield caller


def creation(caller: Caller, **more: object) -> dict[str, Any]:
    return {"input_file_id": caller.upload(jsonl([request("a")])), "endpoint": CHAT, **more}


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def ids(answers: list[Answer]) -> set[str]:
    assert statuses(answers) == {200: CLIENTS}, [answer.body for answer in answers if answer.status != 200][:3]
    return {answer.body["id"] for answer in answers}


def batches_of(caller: Caller) -> set[str]:
    batches = list(caller.stack.records.batches_of_owner(caller.owner))
    assert all(batch.is_sent for batch in batches)
    return {batch.batch_id for batch in batches}


def sent(stack: Stack) -> Counter[str]:
    """How many messages are in the input queue, by their bodies; it is empty afterwards."""
    url, bodies = stack.cloud.outputs["InputQueueUrl"], Counter[str]()
    while messages := stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        bodies.update(message["Body"] for message in messages)
    return bodies


def test_two_hundred_clients_list_and_create(fleet: Fleet, busy: Caller, stack: Stack) -> None:
    new = creation(busy)
    sent(stack)
    calls = [Call("POST", BATCHES, new | {"metadata": {"client": str(number)}}, ORIGINAL) for number in range(CLIENTS)]
    answers = fleet.send(busy, calls, CREATE)
    created = ids(answers)
    assert len(created) == CLIENTS, "each call with its own metadata is a batch of its own"
    assert max(answer.most for answer in answers) == CLIENTS, "all of them were inside at once"
    assert batches_of(busy) == created
    assert sent(stack) == {create_message(batch_id): 1 for batch_id in created}
    lists = [Call("GET", f"{OPENAI}/files") if number % 2 else Call("GET", f"{BATCHES}?limit=5") for number in range(CLIENTS)]
    listed = fleet.send(busy, lists, LOOK)
    assert statuses(listed) == {200: CLIENTS}
    assert {len(answer.body["data"]) for answer in listed[1::2]} == {1}
    assert {tuple(batch["id"] for batch in answer.body["data"]) for answer in listed[::2]} == {tuple(sorted(created)[:-6:-1])}


@pytest.mark.parametrize("headers", [{"Idempotency-Key": "key"}, RETRY, {}], ids=["a key", "retries", "silent ones"])
def test_one_create_that_comes_two_hundred_times(headers: dict[str, str], fleet: Fleet, busy: Caller) -> None:
    (batch_id,) = ids(fleet.send(busy, [Call("POST", BATCHES, creation(busy), headers)] * CLIENTS, CREATE))
    assert batches_of(busy) == {batch_id}


def test_two_hundred_equal_creates_on_purpose(fleet: Fleet, busy: Caller) -> None:
    created = ids(fleet.send(busy, [Call("POST", BATCHES, creation(busy), ORIGINAL)] * CLIENTS, CREATE))
    assert len(created) == CLIENTS
    assert batches_of(busy) == created


def test_originals_and_their_retries(fleet: Fleet, busy: Caller) -> None:
    """A hundred clients with calls of their own, whose first try and its retry arrive together."""
    new = creation(busy)
    bodies = [new | {"metadata": {"client": str(number)}} for number in range(CLIENTS // 2)]
    calls = [Call("POST", BATCHES, body, headers) for body in bodies for headers in (ORIGINAL, RETRY)]
    answers = fleet.send(busy, calls, CREATE)
    assert len(ids(answers)) == CLIENTS // 2
    assert [answer.body["id"] for answer in answers[::2]] == [answer.body["id"] for answer in answers[1::2]]
    assert batches_of(busy) == ids(answers)


def test_a_rate_holds(fleet: Fleet, stack: Stack) -> None:
    rate = 5
    with Caller.new(stack, "hasty", requests_per_second=rate) as hasty:
        answers = fleet.send(hasty, [Call("GET", f"{OPENAI}/models")] * CLIENTS, UPDATE)
    passed = statuses(answers)[200]
    assert statuses(answers) == {200: passed, 429: CLIENTS - passed}
    assert rate * RATE_WINDOW <= passed <= 2 * rate * RATE_WINDOW, "what one window lets through, or two"


def test_a_batch_that_everybody_cancels(fleet: Fleet, busy: Caller, stack: Stack) -> None:
    batch_id = busy.ask("POST", BATCHES, json=creation(busy))["id"]
    answers = fleet.send(busy, [Call("POST", f"{BATCHES}/{batch_id}/cancel")] * CLIENTS, UPDATE)
    assert ids(answers) == {batch_id}
    assert {answer.body["status"] for answer in answers} == {"cancelling"}
    history = [change.status for change in stack.batch(batch_id).history]
    assert history == [BatchStatus.VALIDATING, BatchStatus.CANCELLING]


def test_a_file_that_everybody_deletes(fleet: Fleet, busy: Caller) -> None:
    file_id = busy.upload(b"{}\n")
    answers = fleet.send(busy, [Call("DELETE", f"{OPENAI}/files/{file_id}")] * CLIENTS, WRITE)
    assert statuses(answers) == {200: 1, 404: CLIENTS - 1}


def test_an_upload_that_everybody_completes(fleet: Fleet, busy: Caller) -> None:
    new = {"bytes": 6, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    path = f"{OPENAI}/uploads/{busy.ask('POST', f'{OPENAI}/uploads', json=new)['id']}"
    parts = [busy.ask("POST", f"{path}/parts", files={"data": ("data", b"{}\n")})["id"] for _ in range(2)]
    answers = fleet.send(busy, [Call("POST", f"{path}/complete", {"part_ids": parts})] * CLIENTS, WRITE)
    assert len(ids(answers)) == 1
    assert {answer.body["status"] for answer in answers} == {"completed"}
    (file_id,) = {answer.body["file"]["id"] for answer in answers}
    assert busy.read(file_id) == b"{}\n{}\n"
