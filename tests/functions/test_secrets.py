"""What users write and models say is in the bucket, and nowhere else."""

import json
import logging
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from fakes.backend import Request, fail, succeed
from fakes.client import CHAT, OPENAI, Client
from fakes.stack import Stack
from fakes.world import jsonl, request
from slacktide.access import AccessKeys

CANARY = "canary7f3a"


def answer(told: Request, round_number: int) -> list[bytes]:
    line = int(told["custom_id"].rpartition(".")[2])
    kinds = {2: fail(400, f"you said {CANARY}"), 3: fail(503, f"busy with {CANARY}")}
    return kinds.get(line, succeed)(told, round_number)


CONTENT = jsonl(
    request("a", f"tell me about {CANARY}"),
    request("b", CANARY, user=CANARY),
    request("c", CANARY, metadata={CANARY: CANARY}),
    {"custom_id": f"{CANARY}\x00", "body": {}},
    f'{{"{CANARY}": '.encode(),
    request("d", CANARY, model=CANARY),
    request("e", temperature=CANARY),
    {"custom_id": "f", "url": f"/{CANARY}", "body": {}},
    f'{{"custom_id":"g","body":{{"{CANARY}":1,"{CANARY}":2}}}}'.encode(),
)
DOCUMENTS = ("receipt.json", "manifest.json", "latest.json")


@dataclass(frozen=True)
class Places:
    """Where nothing of it may be."""

    stack: Stack
    caplog: pytest.LogCaptureFixture
    capsys: pytest.CaptureFixture[str]

    def look(self) -> dict[str, list[str]]:
        """What was written to each."""
        printed, stack = self.capsys.readouterr(), self.stack
        queues = [
            stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]) for url in stack.sqs.list_queues()["QueueUrls"]
        ]
        return {
            "logs": [json.dumps(it.__dict__, default=repr) for it in self.caplog.records] + [printed.out, printed.err],
            "events": [json.dumps(entry) for entry in stack.bus.entries],
            "dead letters": stack.letters(),
            "queues": [json.dumps(queue["Attributes"]) for queue in queues],
            "payloads": [json.dumps(payload) for payload in stack.states.payloads],
            "table": [json.dumps(item, default=str) for item in stack.table.scan()["Items"]],
        }


@pytest.fixture
def places(stack: Stack, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Places:
    caplog.set_level(logging.DEBUG)
    stack.backend.answer = answer
    return Places(stack, caplog, capsys)


def find(words: list[str], seen: dict[str, list[str]]) -> dict[str, list[str]]:
    """The texts with one of the words in them, by place."""
    assert all(seen.values()), "nothing was seen in a place"
    found = {place: [text for text in texts if any(word in text for word in words)] for place, texts in seen.items()}
    return {place: texts for place, texts in found.items() if texts}


def test_a_canary_leaves_the_bucket_nowhere(stack: Stack, places: Places) -> None:
    assert stack.call("validate", stack.drop(CONTENT)) == {"batchItemFailures": []}
    stack.run()
    assert stack.call("validate", stack.message(f"no event, but {CANARY}"))["batchItemFailures"]
    stack.call("sweep", {})
    documents = {"receipt and manifest": [stack.results(name).decode() for name in DOCUMENTS]}
    assert find([CANARY], places.look() | documents) == {}
    quoted = [json.loads(line) for line in stack.results("errors.jsonl").splitlines() if CANARY.encode() in line]
    assert [line["line"] for line in quoted] == [2, 3], "the backend's words stand in the error file alone"
    assert CANARY.encode() in stack.results("output.jsonl")


def test_nor_does_that_of_a_created_batch_or_the_key_that_created_it(stack: Stack, places: Places) -> None:
    """What the queue carries, what the machines are given, what is logged of calls: ids, never what a call held."""
    places.caplog.set_level(logging.INFO)  # below it boto3 logs what it signs and sends; no function lets it
    _, key = AccessKeys(stack.table).create("name", "owner", 1)
    client = Client(stack, key)
    file_id = client.upload(CONTENT)
    body = {"input_file_id": file_id, "endpoint": CHAT, "metadata": {"mine": f"{CANARY}-metadata"}}
    created = client.send("POST", f"{OPENAI}/batches", json.dumps(body), Idempotency_Key=f"{CANARY}-idempotency")
    batch_id = created.body["id"]
    messages = [client.go_on()]
    retried = client.ask("POST", f"{OPENAI}/batches/{batch_id}/retry", {"classes": ["rejected", "transient"]}).body["id"]
    messages.append(client.go_on())
    batches = [client.batch(one) for one in (batch_id, retried)]
    assert [batch["status"] for batch in batches] == ["completed", "completed"]
    urls = [
        client.ask("GET", f"{OPENAI}/files/{batch[name]}/content").headers["Location"]
        for batch in batches
        for name in ("input_file_id", "error_file_id")
    ]
    client.ask("POST", f"{OPENAI}/batches/{batch_id}/cancel")
    assert client.ask("POST", f"{OPENAI}/batches", {"input_file_id": CANARY, "endpoint": CANARY}).status == 400
    stack.call("sweep", {})

    secret = key[21:]
    signatures = [parse_qs(urlsplit(url).query)["X-Amz-Signature"][0] for url in urls]
    seen = places.look() | {"messages": messages}
    assert find([secret, *signatures], seen) == {}
    told = find([CANARY], seen)
    assert told.keys() == {"table"}
    assert {json.loads(item)["sk"] for item in told["table"]} == {"batch"}, "the metadata of both, and nothing else"
    assert all(item.count(CANARY) == 1 for item in told["table"])
    assert all(json.loads(json.loads(message)["Body"]).keys() == {"v", "create"} for message in messages)
