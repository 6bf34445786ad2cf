"""What users write and models say is in the bucket, and nowhere else."""

import json
import logging

import pytest

from fakes.backend import Request, fail, succeed
from fakes.stack import Stack
from fakes.world import jsonl, request

CANARY = "canary7f3a"


def answer(told: Request, round_number: int) -> list[bytes]:
    line = int(told["custom_id"].rpartition(".")[2])
    kinds = {2: fail(400, f"you said {CANARY}"), 3: fail(503, f"busy with {CANARY}")}
    return kinds.get(line, succeed)(told, round_number)


def test_a_canary_leaves_the_bucket_nowhere(
    stack: Stack, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    stack.backend.answer = answer
    content = jsonl(
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
    assert stack.call("validate", stack.drop(content)) == {"batchItemFailures": []}
    stack.run()
    assert stack.call("validate", stack.message(f"no event, but {CANARY}"))["batchItemFailures"]
    stack.call("sweep", {})
    printed = capsys.readouterr()
    seen = {
        "logs": [json.dumps(record.__dict__, default=repr) for record in caplog.records] + [printed.out, printed.err],
        "events": [json.dumps(entry) for entry in stack.bus.entries],
        "dead letters": stack.letters(),
        "payloads": [json.dumps(payload) for payload in stack.states.payloads],
        "table": [json.dumps(item, default=str) for item in stack.table.scan()["Items"]],
        "receipt and manifest": [stack.results(name).decode() for name in ("receipt.json", "manifest.json", "latest.json")],
    }
    for place, texts in seen.items():
        assert texts, f"nothing was seen in the {place}"
        assert [text for text in texts if CANARY in text] == [], place
    quoted = [json.loads(line) for line in stack.results("errors.jsonl").splitlines() if CANARY.encode() in line]
    assert [line["line"] for line in quoted] == [2, 3], "the backend's words stand in the error file alone"
    assert CANARY.encode() in stack.results("output.jsonl")
