"""One line of an input: every fault has its code and place, none quotes the line, and nothing makes it crash."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.world import request
from slacktide.codes import CLASSES, Code, CodeClass
from slacktide.faults import Fault
from slacktide.lines import Line
from slacktide.models import parse_models
from slacktide.validation import Checker, Request

CANARY = "canary7f3a"
MODELS = parse_models("""
[[models]]
id = "org/small"
aliases = ["smollm2"]
family = "f"
context = 100
endpoints = ["/v1/chat/completions", "/v1/completions"]
route = ["sagemaker"]
backends.sagemaker.id = "m"
[[models]]
id = "org/embed"
family = "f"
endpoints = ["/v1/embeddings"]
route = ["sagemaker"]
backends.sagemaker.id = "m"
[[models]]
id = "org/nowhere"
family = "f"
endpoints = ["/v1/chat/completions"]
route = ["together"]
backends.together.id = "m"
""")
CHECKER = Checker(MODELS.find, lambda model: [name for name in model.route if name == "sagemaker"])
MESSAGES = [{"role": "user", "content": CANARY}]

CALL = {"id": "call1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def check(content: Any, checker: Checker = CHECKER) -> Request | Fault:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return checker.check(Line(7, text, len(text)))


def body(**more: Any) -> dict[str, Any]:
    return {"custom_id": "id", "body": {"model": "smollm2", "messages": MESSAGES} | more}


def raw(text: str) -> bytes:
    """A good line whose body has one more field."""
    return b'{"custom_id":"id","body":{"model":"smollm2","messages":[{"role":"user","content":"x"}],%b}}' % text.encode()


GOOD: dict[str, Any] = {
    "plain": body(),
    "OpenAI's form": body() | {"method": "POST", "url": "/v1/chat/completions"},
    "completion": {"custom_id": "id", "url": "/v1/completions", "body": {"model": "smollm2", "prompt": "x"}},
    "embedding": {"custom_id": "id", "url": "/v1/embeddings", "body": {"model": "org/embed", "input": ["x", "y"]}},
    "parameters": body(temperature=0.5, top_p=1, n=2, max_tokens=100, seed=1, stop=["a"], stream=False),
    "unknown parameter": body(top_k=3),
    "unknown field": body() | {"note": 1},
    "parts": body(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
    "tool call": body(messages=[{"role": "assistant", "content": None, "tool_calls": [CALL]}, *MESSAGES]),
    "odd ids": {"custom_id": "../__proto__<script>ü💥", "body": body()["body"]},
    "64 characters": {"custom_id": "ü" * 64, "body": body()["body"]},
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_line(name: str) -> None:
    text = json.dumps(GOOD[name], ensure_ascii=False).encode()
    found = check(text)
    assert isinstance(found, Request), found
    assert found.custom_id == GOOD[name]["custom_id"]
    assert found.endpoint == GOOD[name].get("url", "/v1/chat/completions")
    assert found.body in text, "the user's own bytes"
    assert json.loads(found.body) == GOOD[name]["body"]


TEXT = json.dumps(body()).encode()
DEEP = "[" * 100_000
FAULTS: list[tuple[str, Any, Code, int | None]] = [
    ("no JSON", CANARY.encode(), Code.INVALID_JSON_LINE, 1),
    ("cut short", b'{"custom_id":"' + CANARY.encode(), Code.INVALID_JSON_LINE, 14),
    ("two values", b"{}{}", Code.INVALID_JSON_LINE, None),
    ("blank", b"", Code.INVALID_JSON_LINE, 1),
    ("no object", [CANARY], Code.INVALID_REQUEST, 1),
    ("a number", b"12", Code.INVALID_REQUEST, 1),
    ("not UTF-8", b'{"custom_id":"a\xff"}', Code.INVALID_ENCODING, 16),
    ("not UTF-8 in a field that is skipped", b'{"x":"\xff"}', Code.INVALID_ENCODING, 7),
    ("UTF-16", json.dumps(body()).encode("utf-16-le"), Code.INVALID_ENCODING, 2),
    ("NUL", b'{"custom_id":"a\0"}', Code.INVALID_ENCODING, 16),
    ("depth bomb", DEEP.encode(), Code.INVALID_JSON_LINE, 101),
    ("depth bomb in a skipped field", b'{"x":' + DEEP.encode(), Code.INVALID_JSON_LINE, None),
    ("depth bomb in the body", raw('"x":' + DEEP + "]" * 100_000), Code.INVALID_JSON_LINE, None),
    ("lone surrogate", raw('"x":"\\ud800"'), Code.INVALID_JSON_LINE, None),
    ("NaN", raw('"x":NaN'), Code.INVALID_JSON_LINE, None),
    ("Infinity", raw('"x":-Infinity'), Code.INVALID_JSON_LINE, None),
    ("5,000 digits", raw('"x":' + "9" * 5_000), Code.INVALID_JSON_LINE, 92),
    ("5,000 digits in a skipped field", b'{"n":' + b"9" * 5_000 + b"," + TEXT[1:], Code.INVALID_JSON_LINE, None),
    ("a name twice in the body", raw('"model":"smollm2"'), Code.INVALID_JSON_LINE, None),
    ("a name twice, deep", raw(f'"x":[{{"{CANARY}":1,"{CANARY}":2}}]'), Code.INVALID_JSON_LINE, None),
    ("custom_id twice", b'{"custom_id":"a",' + TEXT[1:], Code.INVALID_JSON_LINE, None),
    ("many names", raw('"x":{' + ",".join(f'"{n}":1' for n in range(20_000)) + "}"), Code.INVALID_REQUEST, None),
    ("no custom_id", {"body": {}}, Code.MISSING_CUSTOM_ID, None),
    ("null custom_id", {"custom_id": None, "body": {}}, Code.MISSING_CUSTOM_ID, None),
    ("a number as custom_id", {"custom_id": 1, "body": {}}, Code.INVALID_CUSTOM_ID, None),
    ("empty custom_id", {"custom_id": "", "body": {}}, Code.INVALID_CUSTOM_ID, None),
    ("long custom_id", {"custom_id": "x" * 65, "body": {}}, Code.INVALID_CUSTOM_ID, None),
    ("control character", {"custom_id": f"{CANARY}\n", "body": {}}, Code.INVALID_CUSTOM_ID, None),
    ("C1 control character", {"custom_id": "\x85", "body": {}}, Code.INVALID_CUSTOM_ID, None),
    ("no body", {"custom_id": "id"}, Code.INVALID_REQUEST, None),
    ("body is text", {"custom_id": "id", "body": CANARY}, Code.INVALID_REQUEST, None),
    ("body is null", {"custom_id": "id", "body": None}, Code.INVALID_REQUEST, None),
    ("no model", {"custom_id": "id", "body": {"messages": MESSAGES}}, Code.INVALID_REQUEST, None),
    ("GET", body() | {"method": "GET"}, Code.INVALID_REQUEST, None),
    ("a method that is no text", body() | {"method": [CANARY]}, Code.INVALID_REQUEST, None),
    ("unknown model", body(model=CANARY), Code.MODEL_NOT_FOUND, None),
    ("a model without backend", body(model="org/nowhere"), Code.NO_BACKEND_FOR_MODEL, None),
    ("unknown url", body() | {"url": f"/v1/{CANARY}"}, Code.URL_MISMATCH, None),
    ("a url that the model lacks", body(input="x") | {"url": "/v1/embeddings"}, Code.URL_MISMATCH, None),
    ("stream", body(stream=True), Code.UNSUPPORTED_PARAMETER, None),
    ("no messages", body(messages=[]), Code.INVALID_REQUEST, None),
    ("messages are text", body(messages=CANARY), Code.INVALID_REQUEST, None),
    ("unknown role", body(messages=[{"role": CANARY, "content": "x"}]), Code.INVALID_REQUEST, None),
    ("no content", body(messages=[{"role": "user"}]), Code.INVALID_REQUEST, None),
    ("content is a number", body(messages=[{"role": "user", "content": 5}]), Code.INVALID_REQUEST, None),
    ("absurd temperature", body(temperature=1e9), Code.INVALID_REQUEST, None),
    ("temperature is text", body(temperature=CANARY), Code.INVALID_REQUEST, None),
    ("no tokens", body(max_tokens=0), Code.INVALID_REQUEST, None),
    ("more tokens than the window", body(max_completion_tokens=101), Code.INVALID_REQUEST, None),
]  # fmt: skip


@pytest.mark.parametrize(("content", "code", "column"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_a_fault(content: Any, code: Code, column: int | None) -> None:
    started = time.process_time()
    found = check(content)
    assert time.process_time() - started < 2
    assert isinstance(found, Fault), found
    assert (found.line, found.code) == (7, code), found.message
    assert column is None or found.column == column
    assert CANARY not in found.message
    assert found.message.endswith("."), "a sentence"


def test_every_code_of_a_line_is_tested() -> None:
    elsewhere = {Code.DUPLICATE_CUSTOM_ID, Code.LINE_TOO_LONG, Code.MODEL_MISMATCH}
    assert {case[2] for case in FAULTS} | elsewhere == {code for code in Code if CLASSES[code] is CodeClass.INVALID_LINE}


def test_a_long_line_is_told_by_its_length() -> None:
    found = CHECKER.check(Line(3, None, 50_000_000))
    assert isinstance(found, Fault)
    assert (found.code, found.custom_id) == (Code.LINE_TOO_LONG, None)
    assert "50000000" in found.message


def test_a_fault_behind_the_id_carries_the_id() -> None:
    found = check(body(stream=True))
    assert isinstance(found, Fault)
    assert found.custom_id == "id"


def test_a_batch_for_one_endpoint() -> None:
    checker = Checker(MODELS.find, CHECKER.route, "/v1/completions")
    found = check({"custom_id": "id", "body": {"model": "smollm2", "prompt": "x"}}, checker)
    assert isinstance(found, Request)
    assert found.endpoint == "/v1/completions"
    other = check(body() | {"url": "/v1/chat/completions"}, checker)
    assert isinstance(other, Fault)
    assert other.code == Code.URL_MISMATCH


def test_a_batch_for_one_model() -> None:
    """By any of its names; a name that nobody knows fits no line."""
    for name, is_fitting in {"smollm2": True, "org/small": True, "org/nowhere": False, "org/nothing": False}.items():
        found = check(body(), Checker(MODELS.find, CHECKER.route, only_model=name))
        assert isinstance(found, Request) is is_fitting
        assert is_fitting or (isinstance(found, Fault) and found.code == Code.MODEL_MISMATCH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON, JSON)
def test_nothing_crashes_the_check(custom_id: Any, content: Any, messages: Any) -> None:
    for line in (content, {"custom_id": custom_id, "body": content}, body(messages=messages), request("a", x=content)):
        assert isinstance(check(line), (Request, Fault))


@given(st.binary(max_size=80))
def test_nothing_crashes_the_check_of_bytes(content: bytes) -> None:
    assert isinstance(check(content.replace(b"\n", b"")), (Request, Fault))
