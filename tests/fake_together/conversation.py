"""Short ways to talk to the fake."""

import hashlib
import json

import httpx

from slacktide_fake_together import FakeTogether
from slacktide_fake_together.transport import FakeTransport

CHAT = "/v1/chat/completions"
TEN = [f"line-{number}" for number in range(10)]


def upload(http: httpx.Client, content: bytes) -> str:
    answer = http.post("/files/upload", data={"purpose": "batch-api"}, files={"file": ("in.jsonl", content)})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def create(http: httpx.Client, content: bytes, **more: str) -> str:
    answer = http.post("/batches", json={"endpoint": CHAT, "input_file_id": upload(http, content), **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["job"]["id"]


def get(http: httpx.Client, batch_id: str) -> dict:
    return http.get(f"/batches/{batch_id}").json()


def read(http: httpx.Client, file_id: str) -> list[dict]:
    return [json.loads(line) for line in http.get(f"/files/{file_id}/content").content.splitlines()]


def change(fake: FakeTogether, **settings: object) -> None:
    answer = httpx.Client(transport=FakeTransport(fake)).post("http://fake/_control/settings", json=settings)
    assert answer.status_code == 200, answer.text


def find_file_of(content: bytes) -> dict[str, str]:
    return {
        "purpose": "batch-api",
        "file_name": "in.jsonl",
        "file_type": "jsonl",
        "checksum": hashlib.sha256(content).hexdigest(),
    }
