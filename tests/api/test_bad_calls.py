"""Calls that are wrong: a clear refusal in the shape that both clients read, never a 5xx; names stay data."""

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from api.caller import CHAT, OPENAI, TOGETHER, Caller, is_error
from e2e.stack import Stack, jsonl, requests
from slacktide.api.app import ROUTES
from slacktide.api.routing import Route
from slacktide.ids import new_batch_id, new_file_id

pytestmark = pytest.mark.cloud

JSON = {"Content-Type": "application/json"}
# Of these a body is wrong for every call that has one.
BODIES: dict[str, bytes] = {
    "cut": b'{"input_file_id": "file',
    "list": b"[]",
    "null": b"null",
    "text": b'"text"',
    "number": b"1",
    "no UTF-8": b'{"input_file_id": "\xff\xfe"}',
    "lone surrogate": b'{"endpoint": "\\ud800", "input_file_id": 1, "classes": 1, "part_ids": 1, "file_id": 1, "bytes": ""}',
    "wrong types": b'{"endpoint": {}, "input_file_id": 1, "classes": 1, "part_ids": 1, "file_id": 1, "bytes": ""}',
    "depth bomb": b"[" * 200_000,
    "5,000 digits": b'{"bytes": %s, "classes": %s, "endpoint": 1, "file_id": 2, "part_ids": 3, "file_size": 4}'
    % ((b"9" * 5_000,) * 2),
    "NaN": b'{"bytes": NaN}',
    "NUL": b"\0",
}
FORMS: dict[str, tuple[dict[str, str], bytes]] = {
    "no form": (JSON, b"{}"),
    "no type": ({}, b"x"),
    "no boundary": ({"Content-Type": "multipart/form-data"}, b"x"),
    "no parts": ({"Content-Type": "multipart/form-data; boundary=b"}, b""),
    "cut": (
        {"Content-Type": "multipart/form-data; boundary=b"},
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"',
    ),
    "no such boundary": ({"Content-Type": "multipart/form-data; boundary=b"}, b"--c\r\n\r\nx\r\n--c--\r\n"),
    "no file": (
        {"Content-Type": "multipart/form-data; boundary=b"},
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n--b--\r\n',
    ),
    "many fields": ({"Content-Type": "application/x-www-form-urlencoded"}, b"&".join(b"f%d=1" % n for n in range(1_000))),
    "no UTF-8": ({"Content-Type": "application/x-www-form-urlencoded"}, b"purpose=\xff"),
}
NAMES = [
    "../../input/evil.jsonl",
    "..%2f..%2finput%2fevil.jsonl",
    "%2e%2e/%2e%2e/evil.jsonl",
    "a\r\nX-Evil: evil\r\n\r\nevil",
    "evil\0.jsonl",
    "C:\\evil\\..\\evil.jsonl",
    "\u202elnosj.evil",
    "/etc/evil",
    "~/.evil",
    " ",
    "e" * 255,
]
OUR_KEYS = re.compile(r"uploads/file-[a-z2-7]{26}/(\d{6}|objects\.json|content|retry\.jsonl|part_[a-z2-7]{26})")


def path_of(route: Route) -> str:
    return route.path.format(batch_id=new_batch_id(), file_id=new_file_id(), upload_id="upload_1", part_id="r1-j1.1")


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_not_what_it_must_be(body: str, caller: Caller) -> None:
    for route in ROUTES:
        if route.body is not None:
            answer = caller.http.request(route.method, path_of(route), content=BODIES[body], headers=JSON)
            assert is_error(answer), f"{route.path}: {answer.status_code} {answer.text}"


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_is_not_what_it_must_be(form: str, caller: Caller) -> None:
    headers, body = FORMS[form]
    for route in ROUTES:
        if route.form:
            answer = caller.http.request(route.method, path_of(route), content=body, headers=headers)
            assert is_error(answer), f"{route.path}: {answer.status_code} {answer.text}"


def test_what_is_wrong_is_said_and_not_quoted(caller: Caller) -> None:
    wrong = {"input_file_id": "canary", "endpoint": CHAT, "metadata": {"canary": 1}}
    answer = caller.http.post(f"{OPENAI}/batches", json=wrong)
    assert answer.status_code == 400
    assert "metadata" in answer.json()["error"]["message"]
    assert "canary" not in answer.text


@pytest.mark.parametrize("limit", ["0", "-1", "1000000000", "x", "1.5", "", "\u0661", "1e2", "0x1", "10001", "9" * 5_000])
def test_a_limit_that_is_none(limit: str, caller: Caller) -> None:
    for name in ("files", "batches"):
        answer = caller.http.get(f"{OPENAI}/{name}", params={"limit": limit})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == "limit"


def test_the_limits_of_a_limit(caller: Caller) -> None:
    assert caller.http.get(f"{OPENAI}/batches", params={"limit": 101}).status_code == 400
    assert caller.http.get(f"{OPENAI}/batches", params={"limit": 100}).status_code == 200
    assert caller.http.get(f"{OPENAI}/files", params={"limit": 10_000}).status_code == 200
    assert caller.http.get(f"{OPENAI}/files", params={"order": "asc"}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/..%2f..%2finput",
        "/v1/files/%2e%2e",
        "/v1/batches/%00",
        "/openai/v1/files/a%0d%0aX-Evil:1/content",
        "/v1/batches/b%C3%A9",
        "/v1/files/" + "a" * 2_000,
    ],
)
def test_an_id_that_is_none(path: str, caller: Caller) -> None:
    for method in ("GET", "DELETE"):
        answer = caller.http.request(method, path)
        assert answer.status_code in {404, 405}, answer.text
        assert is_error(answer)
        assert "x-evil" not in answer.headers


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_data_and_nothing_else(name: str, caller: Caller, stack: Stack) -> None:
    content = jsonl(requests(1))
    made = [
        caller.http.post(f"{TOGETHER}/files", data={"purpose": "batch-api", "file_name": name}),
        caller.http.post(
            f"{TOGETHER}/files/upload", data={"purpose": "batch-api", "file_name": name}, files={"file": ("a", content)}
        ),
        caller.http.post(f"{OPENAI}/files", data={"purpose": "batch"}, files={"file": (name, content)}),
        caller.http.post(f"{OPENAI}/uploads", json={"bytes": 3, "filename": name, "mime_type": "x", "purpose": "batch"}),
        caller.http.post(
            f"{TOGETHER}/files/multipart/initiate",
            json={"file_name": name, "file_size": 3, "num_parts": 2, "purpose": "batch-api"},
        ),
    ]
    for answer in made:
        assert answer.status_code in {200, 302, 400}, answer.text
        assert "x-evil" not in answer.headers
        assert "evil" not in str(dict(answer.headers)).lower(), "a name in a header"
    for key in keys_below(stack, ""):
        assert "evil" not in key
        assert not key.startswith("uploads/") or OUR_KEYS.fullmatch(key), key
    urls = [made[0].headers["location"], *(part["URL"] for part in made[4].json()["parts"])]
    assert all(OUR_KEYS.search(urlsplit(url).path) and "evil" not in url for url in urls)
    named = [
        caller.ask("GET", f"{OPENAI}/files/{answer.json()['id']}")["filename"]
        for answer in made[1:3]
        if answer.status_code == 200
    ]
    assert named, "a name was refused that is data"


def keys_below(stack: Stack, prefix: str) -> list[str]:
    pages = stack.s3.get_paginator("list_objects_v2").paginate(Bucket=stack.bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.mark.parametrize("name", ["", "e" * 256])
def test_a_name_that_is_none(name: str, caller: Caller) -> None:
    answer = caller.http.post(f"{OPENAI}/uploads", json={"bytes": 3, "filename": name, "mime_type": "x", "purpose": "batch"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "filename"


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "/v1/images"},
        {"endpoint": ""},
        {"completion_window": "1"},
        {"completion_window": "8d"},
        {"metadata": {"on-invalid": "perhaps"}},
        {"metadata": {"route": "nowhere"}},
        {"metadata": {str(number): "" for number in range(17)}},
        {"metadata": {"n" * 65: ""}},
        {"metadata": {"n": "v" * 513}},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_followed(wrong: dict[str, Any], caller: Caller) -> None:
    before = caller.ask("GET", f"{OPENAI}/batches", params={"limit": 1})["data"]
    body = {"input_file_id": caller.upload(jsonl(requests(1))), "endpoint": CHAT} | wrong
    answer = caller.http.post(f"{OPENAI}/batches", json=body)
    assert answer.status_code == 400, answer.text
    assert is_error(answer)
    assert caller.ask("GET", f"{OPENAI}/batches", params={"limit": 1})["data"] == before, "nothing was created"


def test_a_method_that_a_path_does_not_have(caller: Caller) -> None:
    assert caller.http.post(f"{OPENAI}/models").status_code == 405
    for method in ("PUT", "PATCH"):
        assert caller.http.request(method, f"{OPENAI}/models").status_code in {403, 404, 405}
    assert is_error(caller.http.get("/v1/nothing"))


class TestPresigned:
    """A URL is good for one key and one method."""

    def test_one_to_put(self, caller: Caller) -> None:
        asked = caller.http.post(f"{TOGETHER}/files", data={"purpose": "batch-api"})
        url, file_id = asked.headers["location"], asked.headers["x-together-file-id"]
        self.check_others(url, "PUT", file_id)
        assert caller.http.post(f"{TOGETHER}/files/{file_id}/preprocess").json()["error"]["code"] == "not_uploaded"
        assert httpx.put(url, content=b"{}\n").status_code == 200
        assert caller.ask("POST", f"{TOGETHER}/files/{file_id}/preprocess")["bytes"] == 3

    def test_one_to_get(self, caller: Caller) -> None:
        file_id = caller.upload(b"content\n")
        url = caller.http.get(f"{OPENAI}/files/{file_id}/content").headers["location"]
        self.check_others(url, "GET", file_id)
        assert httpx.get(url).content == b"content\n"

    def check_others(self, url: str, method: str, file_id: str) -> None:
        assert file_id in urlsplit(url).path
        for other in {"GET", "PUT", "DELETE"} - {method}:
            assert httpx.request(other, url).status_code == 403, other
        elsewhere = url.replace(file_id, new_file_id(), 1)
        assert httpx.request(method, elsewhere).status_code == 403
        late = re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=604800", url)
        assert httpx.request(method, late).status_code == 403, "its time can be changed"
