"""Slacktide's HTTP API as the command line sees it: what it has is scripted, who asks is checked, and storage is another host."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from slacktide_cli.outside import Outside

URL = "https://abc123.execute-api.eu-central-1.amazonaws.com/prod"
STORAGE = "https://bucket.s3.eu-central-1.amazonaws.com"
SIGNATURE = "X-Amz-Signature=5ec7e7"
KEY = "slk_aaaaaaaaaaaaaaaa_CANARY-in-the-key-0000000000000000000000000"
BATCH = "batch_" + "a" * 26
RETRY = "batch_" + "b" * 26
NOW = 1_780_000_000

Handler = Callable[[httpx.Request], httpx.Response]


def batch(status: str = "completed", batch_id: str = BATCH, **fields: Any) -> dict[str, Any]:
    """A batch as the API renders it, with a field that this command line does not know."""
    return {
        "id": batch_id,
        "object": "batch",
        "status": status,
        "created_at": NOW - 7_200,
        "expires_at": NOW + 79_200,
        "request_counts": {"total": 3, "completed": 2, "failed": 1},
        "input_file_id": "file-" + "a" * 25 + "i",
        "input_file_name": "may.jsonl",
        "completion_window": "24h",
        "a_new_field": {"of": "tomorrow"},
        **fields,
    }


def fail(status: int, message: str, **headers: str) -> Handler:
    """An answer of the API that is an error."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": "x"}}
    return lambda _: httpx.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def cut_off(request: httpx.Request) -> httpx.Response:
    """A connection that breaks."""
    raise httpx.ReadError(f"broken, with {request.headers.get('Authorization')} for {request.url}")


def refuse_connection(request: httpx.Request) -> httpx.Response:
    """Nobody there."""
    raise httpx.ConnectError(f"nobody, with {request.headers.get('Authorization')} for {request.url}")


@dataclass
class Interrupted(httpx.SyncByteStream):
    """A body that breaks off after some bytes."""

    content: bytes

    def __iter__(self) -> Any:
        yield self.content
        raise httpx.ReadError("broken")


@dataclass
class FakeApi:
    """What the API has, by path behind the dialect; `first` are answers that come before all others."""

    answers: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # of the storage, by path
    first: list[Handler] = field(default_factory=list)
    storage_first: list[Handler] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def outside(self) -> Outside:
        """The world with this API in it, in which time passes only while somebody waits."""
        return Outside(httpx.MockTransport(self.answer), self.wait, lambda: NOW, lambda: sum(self.waits))

    def wait(self, seconds: float) -> None:
        """Stand for time.sleep."""
        self.waits.append(seconds)
        assert len(self.waits) < 1_000, "it waits without end"

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if str(request.url).startswith(STORAGE):
            return self._answer_storage(request)
        assert str(request.url).startswith(f"{URL}/openai/v1/"), request.url
        if self.first:
            return self.first.pop(0)(request)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return fail(401, "No API key, or one that is unknown or revoked.")(request)
        return self._answer(request, str(request.url.copy_with(query=None)).removeprefix(f"{URL}/openai/v1"))

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        found = self.answers.get(path)
        if path in self.files:
            return httpx.Response(302, headers={"Location": f"{STORAGE}{path}?{SIGNATURE}"})
        if found is None:
            return fail(404, "There is no such batch.")(request)
        if callable(found):
            return found(request)
        content = found.pop(0) if isinstance(found, list) else found
        return httpx.Response(200, content=content if isinstance(content, bytes) else json.dumps(content).encode())

    def _answer_storage(self, request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers, "the storage is shown the key"
        assert request.url.query == SIGNATURE.encode()
        if self.storage_first:
            return self.storage_first.pop(0)(request)
        content = self.files[request.url.path]
        if begins := request.headers.get("Range"):
            start = int(begins.removeprefix("bytes=").removesuffix("-"))
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return httpx.Response(206, stream=httpx.ByteStream(content[start:]), headers=headers)
        return httpx.Response(200, stream=httpx.ByteStream(content))

    # Scripts

    def end(self, status: str = "completed", *, output: bytes = b"1\n3\n", errors: bytes = b"2\n", **wrong: Any) -> None:
        """Have an ended batch with its results; `wrong` replaces what the manifest says of the output file."""
        done, failed = output.count(b"\n"), errors.count(b"\n")
        fields = {
            "request_counts": {"total": done + failed, "completed": done, "failed": failed},
            "output_file_id": "file-out" if output else None,
            "error_file_id": "file-err" if errors else None,
            f"{status}_at": NOW - 60,
        }
        entries = {name: _entry(name, content) for name, content in (("output", output), ("errors", errors))}
        manifest = {
            "version": "1",
            "batch_id": BATCH,
            "status": status,
            "counts": {"total": done + failed, "completed": done, "failed": failed},
            "output": entries["output"] | wrong,
            "errors": entries["errors"],
            "receipt": {"key": "receipt.json"},
        }
        self.answers[f"/batches/{BATCH}"] = batch(status, **fields)
        self.answers[f"/batches/{BATCH}/manifest"] = manifest
        self.answers[f"/batches/{BATCH}/receipt"] = RECEIPT
        self.files |= {"/files/file-out/content": output, "/files/file-err/content": errors}
        self.name_input()

    def name_input(self, name: str = "may.jsonl") -> None:
        """Have the input file of all batches."""
        file_id = batch()["input_file_id"]
        self.answers[f"/files/{file_id}"] = file(file_id, name)

    def calls(self, method: str | None = None) -> list[str]:
        """The calls of the API so far, as method and path behind the dialect."""
        made = [(request.method, request.url.path) for request in self.requests if str(request.url).startswith(URL)]
        return [f"{verb} {path.rpartition('/openai/v1')[2]}" for verb, path in made if method in {None, verb}]


RECEIPT = {
    "version": "1",
    "usage": {"prompt_tokens": 70, "completion_tokens": 90},
    "jobs": [
        {
            "job_id": "r1-j1",
            "backend": "together",
            "model": "m",
            "state": "settled",
            "requests": 3,
            "completed": 2,
            "seconds": 61,
            "reason": None,
        },
    ],
}


def file(file_id: str, name: str, purpose: str = "batch") -> dict[str, Any]:
    """A file as the API renders it."""
    return {"id": file_id, "object": "file", "filename": name, "bytes": 120, "created_at": NOW - 90, "purpose": purpose}


def page(entries: Iterable[dict[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """A page of a list."""
    data = list(entries)
    return {"object": "list", "data": data, "has_more": has_more}


def _entry(name: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"key": f"{name}.jsonl", "version_id": "v", "lines": content.count(b"\n"), "bytes": len(content), "sha256": digest}
