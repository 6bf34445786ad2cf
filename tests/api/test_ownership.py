"""Whose is it: every call with every kind of id of somebody else is answered as if there were no such thing."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.caller import CHAT, OPENAI, TOGETHER, Caller, create_key, is_error, keys_of, url_of
from e2e.stack import Stack, jsonl, request, requests
from slacktide.api.app import ROUTES
from slacktide.api.routing import Route
from slacktide.ids import BatchFile, FileKind, new_batch_id, new_digits, new_file_id

pytestmark = pytest.mark.cloud

HANG = request("hang", "[[hang]]")
FORM = {"purpose": "batch-api"}
# Calls that name no id in their path: what they name in their bodies, or why they can be of the caller's own things alone.
BODIES: dict[str, Callable[["Things"], dict[str, Any]]] = {
    f"POST {TOGETHER}/files/multipart/complete": lambda it: {"json": it.multipart | {"parts": [{"part_number": 1, "etag": "e"}]}},
    f"POST {TOGETHER}/files/multipart/abort": lambda it: {"json": it.multipart},
}
CREATES = {f"POST {path}/batches" for path in (TOGETHER, OPENAI)}
LISTS = {f"GET {path}/{name}" for path in (TOGETHER, OPENAI) for name in ("files", "batches")}
NAMES_NOTHING = {
    f"POST {TOGETHER}/files": "makes a file",
    f"POST {TOGETHER}/files/upload": "makes a file",
    f"POST {TOGETHER}/files/multipart/initiate": "makes an upload",
    f"POST {OPENAI}/files": "makes a file",
    f"POST {OPENAI}/uploads": "makes an upload",
    f"GET {TOGETHER}/models": "of the stack",
    f"GET {OPENAI}/models": "of the stack",
    "GET /v3/whoami": "of the caller",
}
# What is not there for the owner either: by the end of the path and the kind of id.
NOT_THERE = {
    *((end, "running") for end in ("receipt", "manifest", "{part_id}")),
    *(("preprocess", kind) for kind in ("output", "errors")),  # nobody uploads them
    *(("estimate", kind) for kind in ("pending", "output", "errors")),  # of uploaded files alone
    *((end, "pending") for end in ("{file_id}", "content")),
}


@dataclass(frozen=True)
class Things:
    """What one owner has: an id of each kind."""

    uploaded: str
    pending: str
    ended: str
    running: str
    output: str
    errors: str
    part: str
    upload: str
    multipart: dict[str, str]

    def ids(self, name: str) -> dict[str, str]:
        """The ids that a name in a path can stand for, by their kinds."""
        return {
            "file_id": {"uploaded": self.uploaded, "pending": self.pending, "output": self.output, "errors": self.errors},
            "batch_id": {"ended": self.ended, "running": self.running},
            "upload_id": {"upload": self.upload},
        }[name]


@pytest.fixture(scope="module")
def things(caller: Caller) -> Things:
    batch = caller.run([*requests(2), request("bad", "[[status 400]]")])
    asked = caller.http.post(f"{TOGETHER}/files", data=FORM)
    assert asked.status_code == 302
    multipart = {"file_name": "a.jsonl", "file_size": 5, "num_parts": 1, "purpose": "batch-api"}
    begun = caller.ask("POST", f"{TOGETHER}/files/multipart/initiate", json=multipart)
    upload = {"bytes": 3, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    return Things(
        uploaded=caller.upload(jsonl(requests(1))),
        pending=asked.headers["x-together-file-id"],
        ended=batch["id"],
        running=caller.create([HANG]),
        output=batch["output_file_id"],
        errors=batch["error_file_id"],
        part=caller.ask("GET", f"{OPENAI}/batches/{batch['id']}/parts")["data"][0]["id"],
        upload=caller.ask("POST", f"{OPENAI}/uploads", json=upload)["id"],
        multipart={"upload_id": begun["upload_id"], "file_id": begun["file_id"]},
    )


@pytest.fixture(scope="module")
def nothing(things: Things) -> Things:
    """An id of each kind that is of nobody."""
    batch_id = new_batch_id()
    return Things(
        uploaded=new_file_id(),
        pending=new_file_id(),
        ended=batch_id,
        running=new_batch_id(),
        output=str(BatchFile(batch_id, FileKind.OUTPUT)),
        errors=str(BatchFile(batch_id, FileKind.ERRORS)),
        part=things.part,
        upload="upload_" + new_digits(),
        multipart={"upload_id": (file_id := new_file_id()), "file_id": file_id},
    )


def key_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def with_id() -> list[Route]:
    """Calls with an id in their paths; those that end things come last."""
    return sorted(
        (route for route in ROUTES if "{" in route.path), key=lambda route: (route.method == "DELETE", "cancel" in route.path)
    )


def paths(route: Route, things: Things) -> Iterator[tuple[str, str]]:
    """The path of a call with every kind of id that it can have, by kind."""
    name = route.path.partition("{")[2].partition("}")[0]
    for kind, one in things.ids(name).items():
        yield kind, route.path.format(**{name: one, "part_id": things.part})


def send(caller: Caller, route: Route, path: str) -> httpx.Response:
    """A call that is right in all but the id."""
    body: dict[str, Any] = {}
    if route.form:
        body = {"files": {"data": ("data", b"123")}}
    elif route.path.endswith("/uploads/{upload_id}/complete"):
        body = {"json": {"part_ids": ["part_" + new_digits()]}}
    elif route.method == "POST":
        body = {"json": {}}
    return caller.http.request(route.method, path, **body)


def test_every_call_has_its_row() -> None:
    named = BODIES.keys() | CREATES | LISTS | NAMES_NOTHING.keys()
    assert named == {key_of(route) for route in ROUTES if "{" not in route.path}


def test_a_foreign_id_is_answered_as_one_that_is_not_there(
    things: Things, nothing: Things, caller: Caller, stranger: Caller
) -> None:
    foreign: dict[str, str] = {}
    for route in with_id():
        unknown = dict(paths(route, nothing))
        for kind, path in paths(route, things):
            answer, wanted = send(stranger, route, path), send(stranger, route, unknown[kind])
            what = f"{route.method} {path} ({kind})"
            assert (answer.status_code, wanted.status_code) == (404, 404), f"{what}: {answer.text} {wanted.text}"
            assert is_error(answer), what
            assert answer.text == wanted.text, f"{what}: tells that there is such a thing"
            foreign[what] = path
    assert len(foreign) >= 59
    deleted: set[tuple[str, str]] = set()  # in the one dialect, so not there in the other
    for route in with_id():
        for kind, path in paths(route, things):
            own = send(caller, route, path)
            assert own.status_code < 500, own.text
            is_there = (route.path.rpartition("/")[2], kind) not in NOT_THERE
            is_gone = (route.method, kind) in deleted
            assert (own.status_code != 404) == (is_there and not is_gone), f"{route.method} {path}: {own.text}"
            deleted |= {("DELETE", kind)} if route.method == "DELETE" else set()


@pytest.mark.parametrize("call", BODIES)
def test_a_foreign_id_in_a_body_is_answered_as_one_that_is_not_there(
    call: str, things: Things, nothing: Things, stranger: Caller
) -> None:
    answer, wanted = (stranger.http.request(*call.split(), **BODIES[call](it)) for it in (things, nothing))
    assert answer.status_code == wanted.status_code == 404
    assert answer.text == wanted.text


@pytest.mark.parametrize("call", sorted(CREATES))
def test_a_foreign_file_cannot_be_run(call: str, things: Things, nothing: Things, caller: Caller, stranger: Caller) -> None:
    """Whose the file is, or whether there is one, cannot be told from the answer."""
    files = things.ids("file_id") | {"uploaded": caller.upload(jsonl(requests(1)))}  # the other one has been deleted by now
    for kind, unknown in nothing.ids("file_id").items():
        bodies = ({"input_file_id": file_id, "endpoint": CHAT} for file_id in (files[kind], unknown))
        answer, wanted = (stranger.http.request(*call.split(), json=body) for body in bodies)
        assert answer.status_code == wanted.status_code == 404, kind
        assert is_error(answer)
        assert answer.json()["error"]["code"] == "file_not_found"
        assert answer.text == wanted.text, kind
        own = caller.http.request(*call.split(), json={"input_file_id": files[kind], "endpoint": CHAT})
        assert own.status_code in ({200, 201} if kind == "uploaded" else {404}), own.text


@pytest.mark.parametrize("call", sorted(LISTS))
def test_a_list_has_nothing_of_others(call: str, things: Things, caller: Caller, stranger: Caller) -> None:
    own = stranger.upload(b"{}\n") if call.endswith("files") else stranger.create([HANG])
    method, path = call.split()
    listed, others = (one.ask(method, path) for one in (stranger, caller))
    ids, foreign = ([it["id"] for it in (found if isinstance(found, list) else found["data"])] for found in (listed, others))
    assert own in ids
    assert own not in foreign
    assert foreign
    assert not set(ids) & {things.ended, things.running, things.uploaded, things.output, things.errors}


@pytest.mark.parametrize("name", ["files", "batches"])
def test_a_foreign_cursor_is_refused(name: str, things: Things, nothing: Things, stranger: Caller) -> None:
    of = {"files": lambda it: it.uploaded, "batches": lambda it: it.running}[name]
    for cursor in (of(things), of(nothing), "x", "", "../x"):
        answer = stranger.http.get(f"{OPENAI}/{name}", params={"after": cursor})
        assert answer.status_code == 400, f"{cursor}: {answer.text}"
        assert answer.json()["error"]["param"] == "after"


class TestKeys:
    @pytest.fixture
    def bad_keys(self, stack: Stack) -> dict[str, str | None]:
        """What somebody may send in place of a key."""
        revoked, text = create_key(stack, "revoked")
        keys_of(stack).revoke(revoked.name, int(time.time()))
        _, good = create_key(stack, "good")
        _, other = create_key(stack, "other")
        return {
            "missing": None,
            "empty": "Bearer",
            "no scheme": good,
            "another scheme": f"Basic {good}",
            "no key": "Bearer sk-proj-1",
            "unknown": f"Bearer slk_{'a' * 16}_{'b' * 43}",
            "revoked": f"Bearer {text}",
            "another's secret": f"Bearer {good[:20]}_{other[21:]}",
            "cut": f"Bearer {good[:-1]}",
            "longer": f"Bearer {good}a",
        }

    def test_a_good_key_is_let_in(self, stack: Stack) -> None:
        _, key = create_key(stack, "good")
        for scheme in ("Bearer", "bearer"):
            answer = httpx.get(f"{url_of(stack)}{OPENAI}/batches", headers={"Authorization": f"{scheme} {key}"})
            assert answer.status_code == 200

    def test_no_call_without_a_key(self, stack: Stack, bad_keys: dict[str, str | None]) -> None:
        with httpx.Client(base_url=url_of(stack)) as http:
            for route in ROUTES:
                path = route.path.format(batch_id=new_batch_id(), file_id=new_file_id(), upload_id="upload_1", part_id="r1-j1.1")
                for name, value in (
                    bad_keys.items() if route is ROUTES[0] else [("missing", None), ("revoked", bad_keys["revoked"])]
                ):
                    answer = http.request(route.method, path, headers={"Authorization": value} if value is not None else {})
                    assert answer.status_code == 401, f"{name}: {route.method} {path}: {answer.text}"
                    assert answer.json()["error"]["code"] == "invalid_api_key"
                    assert is_error(answer)

    def test_a_path_that_is_not_there_asks_for_a_key_first(self, stack: Stack) -> None:
        assert httpx.get(f"{url_of(stack)}/v1/nothing").status_code == 401

    def test_a_key_that_calls_too_often_is_told_when_to_come_again(self, stack: Stack) -> None:
        _, key = create_key(stack, "hasty", requests_per_second=1)
        with httpx.Client(base_url=url_of(stack), headers={"Authorization": f"Bearer {key}"}) as http:
            answers = [http.get(f"{OPENAI}/models") for _ in range(25)]  # of 10 in a window; at most two windows are begun
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert 5 <= len(refused) <= 15
        assert all(1 <= int(answer.headers["retry-after"]) <= 10 and is_error(answer) for answer in refused)
