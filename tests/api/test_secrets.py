"""Keys, names of files and presigned URLs are where they must be, and nowhere else."""

import json

import httpx
import pytest

from api.caller import OPENAI, TOGETHER, Caller, url_of
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
        letters = stack.dead_letters(batch_id, 1)
        events = stack.events(batch_id, 5)
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
    for place, entries in {"dead letters": letters, "events": events}.items():
        assert entries, place
        assert not [word for word in (CANARY, *secrets) if word in json.dumps(entries)], place
    told = {(item["pk"], item["sk"]): json.dumps(item, default=str) for item in items}
    assert not [key for key, text in told.items() if any(word in text for word in secrets)], "keys are kept as hashes alone"
    assert {key for key, text in told.items() if CANARY in text} == {(file_id, "file"), (batch_id, "batch")}, (
        "its name, its metadata"
    )
    assert f"{CANARY}-prompt" not in told[batch_id, "batch"]


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
