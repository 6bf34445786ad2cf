"""Keys, names of files and presigned URLs are where they must be, and nowhere else."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from api.caller import OPENAI, TOGETHER, Caller, url_of
from api.reader import paused_reader
from e2e.stack import Stack, eventually, jsonl, request

pytestmark = pytest.mark.cloud

CANARY = "canary9b1e"


def test_a_canary_is_where_it_must_be_and_nowhere_else(stack: Stack) -> None:
    with Caller.new(stack, "secretive") as caller:
        name = f"{CANARY}-name.jsonl"
        asked = caller.http.post(f"{TOGETHER}/files", data={"purpose": "batch-api", "file_name": name})
        urls = [asked.headers["location"]]
        content = jsonl([request("a", f"{CANARY}-prompt"), request("b", f"{CANARY}-prompt [[status 400]]")])
        assert httpx.put(urls[0], content=content).status_code == 200
        file_id = caller.ask("POST", f"{TOGETHER}/files/{asked.headers['x-together-file-id']}/preprocess")["id"]
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "metadata": {"mine": f"{CANARY}-metadata"}}
        headers = {"Idempotency-Key": f"{CANARY}-idempotency"}
        batch_id = caller.ask("POST", f"{OPENAI}/batches", json=body, headers=headers)["id"]
        batch = caller.wait_for_end(batch_id)
        urls += [
            caller.http.get(f"{OPENAI}/files/{batch[it]}/content").headers["location"]
            for it in ("output_file_id", "error_file_id")
        ]
        for wrong, status in (({"endpoint": CANARY}, 400), ({"input_file_id": CANARY}, 404), ({"metadata": CANARY}, 400)):
            assert caller.http.post(f"{OPENAI}/batches", json=body | wrong).status_code == status
        assert caller.http.get(f"{OPENAI}/files/{CANARY}").status_code == 404
        stranger = {"Authorization": f"Bearer slk_{'a' * 16}_{(CANARY * 5)[:43]}"}
        assert httpx.get(f"{url_of(stack)}{OPENAI}/files", headers=stranger).status_code == 401
        again = {"Idempotency-Key": f"{CANARY}-idempotency-of-the-retry"}
        retried = caller.ask("POST", f"{OPENAI}/batches/{batch_id}/retry", headers=again)["id"]
        caller.wait_for_end(retried)
        told = {
            "dead letters": stack.dead_letters(batch_id, 1),
            "events": stack.events(batch_id, 5),
            "state payloads": [payload for one in (batch_id, retried) for payload in payloads(stack, one)],
            "messages": messages(stack, caller, body),
            "queue attributes": queue_attributes(stack),
        }
        stack.sqs.send_message(QueueUrl=stack.cloud.outputs["InputQueueUrl"], MessageBody=f"no event, but {CANARY}")
        logs = {path.name: path.read_text(errors="replace") for path in stack.cloud.directory.logs.rglob("*") if path.is_file()}
        logs |= eventually(lambda: function_logs(stack), what="logs of functions")
        items = stack.records.table.scan()["Items"]

    signatures = [url.partition("X-Amz-Signature=")[2][:64] for url in urls]
    secret = caller.key.rpartition("_")[2] if "_" not in caller.key[21:] else caller.key[21:]
    assert all(len(signature) == 64 for signature in signatures)
    secrets = [secret, *signatures]
    for place, text in logs.items():
        assert not [word for word in (CANARY, *secrets) if word in text], f"the log {place}"
    for place, entries in told.items():
        assert entries, place
        assert not [word for word in (CANARY, *secrets) if word in json.dumps(entries)], place
    kept = {(item["pk"], item["sk"]): json.dumps(item, default=str) for item in items}
    assert not [key for key, text in kept.items() if any(word in text for word in secrets)], "keys are kept as hashes alone"
    named = {key: text for key, text in kept.items() if CANARY in text}
    assert {sk for _, sk in named} == {"file", "batch"}, "its name, its metadata"
    assert {(file_id, "file"), (batch_id, "batch"), (retried, "batch")} <= named.keys()
    assert not [key for key, text in named.items() if f"{CANARY}-prompt" in text or f"{CANARY}-idempotency" in text]


def payloads(stack: Stack, batch_id: str) -> list[dict[str, Any]]:
    """All that the executions of a batch were given and have handed on."""
    arns = [arn for machine in ("BatchStateMachineArn", "JobStateMachineArn") for arn in stack.executions(machine, batch_id)]
    assert len(arns) >= 2, "one of the batch, and one of each job"
    histories = [
        msgspec.to_builtins(event, enc_hook=str)
        for arn in arns
        for page in stack.states.get_paginator("get_execution_history").paginate(executionArn=arn)
        for event in page["events"]
    ]
    assert any(batch_id in json.dumps(event) for event in histories), "the histories have the payloads"
    return histories


def messages(stack: Stack, caller: Caller, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The message of a batch that is created, with all that the input queue says of it."""
    url = stack.cloud.outputs["InputQueueUrl"]
    with paused_reader(stack):
        batch_id = caller.ask("POST", f"{OPENAI}/batches", json=body, headers={"Idempotency-Key": f"{CANARY}-again"})["id"]
        everything = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        taken = eventually(lambda: stack.sqs.receive_message(QueueUrl=url, **everything).get("Messages"), what="a message")
        assert [json.loads(message["Body"]) for message in taken] == [{"v": 1, "create": {"batch_id": batch_id}}]
    return taken


def queue_attributes(stack: Stack) -> list[dict[str, str]]:
    urls = stack.sqs.list_queues()["QueueUrls"]
    return [stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"] for url in urls]


def function_logs(stack: Stack) -> dict[str, str]:
    """What the functions and the gateway wrote, by log group; nothing until the API's are there."""
    client = stack.cloud.session.client("logs")
    groups = [
        group["logGroupName"] for page in client.get_paginator("describe_log_groups").paginate() for group in page["logGroups"]
    ]
    logs = {
        group: "\n".join(
            event["message"]
            for page in client.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
        )
        for group in groups
    }
    return logs if any(group.endswith("-api") and text for group, text in logs.items()) else {}
