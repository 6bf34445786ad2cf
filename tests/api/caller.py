"""Somebody who calls the HTTP API of a deployed stack, as a client does: over its address, with a key."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from e2e.stack import PATIENCE, Stack, eventually, jsonl
from slacktide.access import AccessKey, AccessKeys
from slacktide_local.network import LOOPBACK

OPENAI, TOGETHER = "/openai/v1", "/v1"
CHAT = "/v1/chat/completions"
FINAL = {"completed", "failed", "expired", "cancelled"}


@dataclass(frozen=True)
class Caller:
    """`http` calls the API with the key of `owner`; redirects are not followed."""

    stack: Stack
    owner: str
    key: str
    http: httpx.Client

    @classmethod
    @contextmanager
    def new(cls, stack: Stack, owner: str, **options: Any) -> Generator["Caller", None, None]:
        _, key = create_key(stack, owner, **options)
        with httpx.Client(base_url=url_of(stack), headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
            yield cls(stack, owner, key, http)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The answer of a call that must be answered well."""
        answer = self.http.request(method, path, **options)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def upload(self, content: bytes, name: str = "a.jsonl") -> str:
        """Upload a file; answers its id."""
        return self.ask("POST", f"{OPENAI}/files", data={"purpose": "batch"}, files={"file": (name, content)})["id"]

    def create(self, lines: list[Any], **more: object) -> str:
        """Create a batch; answers its id."""
        body = {"input_file_id": self.upload(jsonl(lines)), "endpoint": CHAT, **more}
        return self.ask("POST", f"{OPENAI}/batches", json=body)["id"]

    def batch(self, batch_id: str) -> dict[str, Any]:
        return self.ask("GET", f"{OPENAI}/batches/{batch_id}")

    def run(self, lines: list[Any], **more: object) -> dict[str, Any]:
        """Create a batch and wait for its end."""
        return self.wait_for_end(self.create(lines, **more))

    def wait_for_end(self, batch_id: str, seconds: float = PATIENCE) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            batch = self.batch(batch_id)
            return batch if batch["status"] in FINAL else None

        return eventually(ended, what=f"the end of {batch_id}", seconds=seconds)

    def read(self, file_id: str) -> bytes:
        """The content of a file."""
        answer = self.http.get(f"{OPENAI}/files/{file_id}/content", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.content


def url_of(stack: Stack) -> str:
    return stack.cloud.environment["SLACKTIDE_API_URL"]


def keys_of(stack: Stack) -> AccessKeys:
    return AccessKeys(stack.records.table)


def create_key(stack: Stack, owner: str, **options: Any) -> tuple[AccessKey, str]:
    """A new key of an owner."""
    return keys_of(stack).create(f"{owner}-{time.monotonic_ns()}", owner, int(time.time()), **options)


def is_error(answer: httpx.Response) -> bool:
    """Whether an answer is an error in the shape that both clients read."""
    error = answer.json().get("error")
    return (
        400 <= answer.status_code < 500
        and error is not None
        and set(error) == {"message", "type", "param", "code"}
        and bool(error["message"])
        and LOOPBACK not in answer.text
    )
