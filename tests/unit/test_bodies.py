"""Bodies of requests: each problem is told with its field and its place, all of them at once, and what is good passes."""

import json
from typing import Any

import pytest

from slacktide.bodies import CHAT, COMPLETIONS, EMBEDDINGS, ROLES
from slacktide.codes import Code
from slacktide.faults import Fault
from slacktide.lines import LONGEST_LINE, Line
from slacktide.models import parse_models
from slacktide.validation import LONGEST_BODY, Checker, Request

MODELS = parse_models(f"""
[[models]]
id = "org/all"
family = "f"
context = 100
endpoints = ["{CHAT}", "{COMPLETIONS}", "{EMBEDDINGS}"]
route = ["sagemaker"]
backends.sagemaker.id = "m"
""")
CANARY = "canary7f3a"
USER = {"role": "user", "content": CANARY}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
DATA_URL = "data:image/png;base64,iVBORw0KGgo="


def check(body: dict[str, Any], endpoint: str = CHAT, *, media_urls: bool = True) -> Request | Fault:
    text = json.dumps({"custom_id": "id", "url": endpoint, "body": {"model": "org/all"} | body}).encode()
    return Checker(MODELS.find, lambda model: model.route, media_urls=media_urls).check(Line(1, text, len(text)))


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": [USER]} | more


def said(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def part(**content: Any) -> dict[str, Any]:
    return said({"role": "user", "content": [content]})


def tool(**function: Any) -> dict[str, Any]:
    return chat(tools=[{"type": "function", "function": function}])


GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "every role": (CHAT, said(*[{"role": role, "content": "x", "tool_call_id": "c1"} for role in ROLES])),
    "an empty text": (CHAT, said({"role": "user", "content": ""})),
    "text parts": (CHAT, part(type="text", text="x")),
    "a data URL": (CHAT, part(type="image_url", image_url={"url": DATA_URL, "detail": "low"})),
    "a data URL in capitals": (CHAT, part(type="image_url", image_url={"url": DATA_URL.replace("data", "DATA")})),
    "a URL": (CHAT, part(type="image_url", image_url={"url": "https://example.com/a.png"})),
    "a part of an unknown type": (CHAT, part(type="input_audio", input_audio={"data": "x"})),
    "a tool call and its result": (
        CHAT,
        said(USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "x"}),
    ),
    "an old function call": (CHAT, said({"role": "assistant", "content": None, "function_call": {"name": "f"}})),
    "tools": (CHAT, chat(tools=[TOOL, {"type": "web_search"}], tool_choice="auto", parallel_tool_calls=False)),
    "a chosen tool": (CHAT, chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "get_weather"}})),
    "no tools": (CHAT, chat(tools=[], tool_choice=None)),
    "JSON": (CHAT, chat(response_format={"type": "json_object"})),
    "OpenAI's schema": (CHAT, chat(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}})),
    "Together's schema": (CHAT, chat(response_format={"type": "json_schema", "schema": {}})),
    "nulls": (CHAT, chat(max_tokens=None, temperature=None, stop=None, stream=None, response_format=None, tools=None)),
    "limits": (CHAT, chat(temperature=2, top_p=0, n=128, presence_penalty=-2, max_tokens=100, seed=-(2**53), stop=["a"])),
    "an unknown parameter": (CHAT, chat(reasoning_effort="high", anything={"x": [1]})),
    "a prompt": (COMPLETIONS, {"prompt": "x"}),
    "prompts": (COMPLETIONS, {"prompt": ["x", "y"]}),
    "tokens": (COMPLETIONS, {"prompt": [1, 2]}),
    "lists of tokens": (EMBEDDINGS, {"input": [[1, 2], [3]]}),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_body(name: str) -> None:
    endpoint, body = GOOD[name]
    found = check(body, endpoint)
    assert isinstance(found, Request), found


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, {}, "body.messages"),
    (CHAT, {"messages": CANARY}, "body.messages"),
    (CHAT, {"messages": []}, "body.messages"),
    (CHAT, said(CANARY), "body.messages[0]"),
    (CHAT, said({"content": "x"}), "body.messages[0].role"),
    (CHAT, said({"role": CANARY, "content": "x"}), "body.messages[0].role"),
    (CHAT, said({"role": ["user"], "content": "x"}), "body.messages[0].role"),
    (CHAT, said(USER, {"role": "user"}), "body.messages[1].content"),
    (CHAT, said({"role": "user", "content": 5}), "body.messages[0].content"),
    (CHAT, said({"role": "user", "content": []}), "body.messages[0].content"),
    (CHAT, said({"role": "assistant", "content": None}), "body.messages[0].content"),
    (CHAT, said({"role": "user", "content": None, "tool_calls": [CALL]}), "body.messages[0].content"),
    (CHAT, said({"role": "tool", "content": "x"}), "body.messages[0].tool_call_id"),
    (CHAT, said({"role": "assistant", "tool_calls": CANARY}), "body.messages[0].tool_calls"),
    (CHAT, said({"role": "assistant", "tool_calls": [CANARY]}), "body.messages[0].tool_calls[0]"),
    (CHAT, said({"role": "assistant", "tool_calls": [CALL | {"id": 1}]}), "body.messages[0].tool_calls[0].id"),
    (CHAT, said({"role": "assistant", "tool_calls": [CALL | {"function": None}]}), "body.messages[0].tool_calls[0].function"),
    (
        CHAT,
        said({"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": {}}}]}),
        "body.messages[0].tool_calls[0].function.arguments",
    ),
    (CHAT, said({"role": "user", "content": [CANARY]}), "body.messages[0].content[0]"),
    (CHAT, part(text="x"), "body.messages[0].content[0]"),
    (CHAT, part(type="text"), "body.messages[0].content[0].text"),
    (CHAT, part(type="image_url", image_url=DATA_URL), "body.messages[0].content[0].image_url.url"),
    (CHAT, part(type="image_url", image_url={"url": "file:///etc/passwd"}), "body.messages[0].content[0].image_url.url"),
    (CHAT, part(type="video_url", video_url={"url": "data:text,x"}), "body.messages[0].content[0].video_url.url"),
    (CHAT, chat(tools=CANARY), "body.tools"),
    (CHAT, chat(tools=[CANARY]), "body.tools[0]"),
    (CHAT, chat(tools=[{"type": "function"}]), "body.tools[0].function"),
    (CHAT, tool(), "body.tools[0].function.name"),
    (CHAT, tool(name="two words"), "body.tools[0].function.name"),
    (CHAT, tool(name="f", parameters=CANARY), "body.tools[0].function.parameters"),
    (CHAT, chat(tool_choice=CANARY), "body.tool_choice"),
    (CHAT, chat(tool_choice=5), "body.tool_choice"),
    (CHAT, chat(response_format="json_object"), "body.response_format"),
    (CHAT, chat(response_format={"type": CANARY}), "body.response_format.type"),
    (CHAT, chat(response_format={"type": "json_schema"}), "body.response_format.json_schema"),
    (CHAT, chat(temperature=2.1), "body.temperature"),
    (CHAT, chat(top_p=CANARY), "body.top_p"),
    (CHAT, chat(n=0), "body.n"),
    (CHAT, chat(n=1.5), "body.n"),
    (CHAT, chat(n=True), "body.n"),
    (CHAT, chat(seed=2**53 + 1), "body.seed"),
    (CHAT, chat(stop=[1]), "body.stop"),
    (CHAT, chat(logit_bias={CANARY: "x"}), "body.logit_bias"),
    (CHAT, chat(max_tokens=101), "body.max_tokens"),
    (COMPLETIONS, {}, "body.prompt"),
    (COMPLETIONS, {"prompt": ""}, "body.prompt"),
    (COMPLETIONS, {"prompt": {}}, "body.prompt"),
    (EMBEDDINGS, {"input": []}, "body.input"),
    (EMBEDDINGS, {"input": [None]}, "body.input"),
]


@pytest.mark.parametrize(("endpoint", "body", "param"), WRONG, ids=[f"{number}-{case[2]}" for number, case in enumerate(WRONG)])
def test_a_wrong_body(endpoint: str, body: dict[str, Any], param: str) -> None:
    found = check(body, endpoint)
    assert isinstance(found, Fault), found
    assert [(told.param, told.code) for told in found.problems] == [(param, Code.INVALID_REQUEST)]
    assert found.message.startswith(param), "it begins with the field"
    assert found.message.endswith("."), "a sentence"
    assert CANARY not in found.message


def test_media_by_url_where_none_may_be_fetched() -> None:
    url = part(type="image_url", image_url={"url": "https://example.com/a.png"})
    refused = check(url, media_urls=False)
    assert isinstance(refused, Fault)
    assert refused.param == "body.messages[0].content[0].image_url.url"
    assert isinstance(check(part(type="image_url", image_url={"url": DATA_URL}), media_urls=False), Request)


def test_all_problems_of_a_line_are_told_in_order_each_at_its_place() -> None:
    text = (
        b'{"custom_id": "", "method": "GET", "url": "/v1/none", "x": NaN, "body":'
        b' {"model": "nobody", "messages": [{"role": "robot", "content": "\xc3\xbc"}, {"role": "user"}], "n": 0, "n": -1}}'
    )
    found = Checker(MODELS.find, lambda model: model.route).check(Line(1, text, len(text)))
    assert isinstance(found, Fault)
    assert found.custom_id is None
    places = [(told.param, told.code, None if told.column is None else text[told.column - 1 :][:8]) for told in found.problems]
    assert places == [
        (None, "invalid_json_line", b'NaN, "bo'),
        (None, "invalid_json_line", b'"n": -1}'),
        ("custom_id", "invalid_custom_id", b'"", "met'),
        ("method", "invalid_request", b'"GET", "'),
        ("url", "url_mismatch", b'"/v1/non'),
        ("body.model", "model_not_found", b'"nobody"'),
        ("body.messages[0].role", "invalid_request", b'"robot",'),
        ("body.messages[1].content", "invalid_request", b'{"role":'),
        ("body.n", "invalid_request", b"-1}}"),
    ]


def test_a_body_that_fits_no_backend_with_what_is_put_around_it() -> None:
    text = json.dumps({"custom_id": "i", "body": {"model": "org/all", "messages": [{"role": "user", "content": ""}]}}).encode()
    room = LONGEST_BODY - len(json.dumps(json.loads(text)["body"]))
    for spare, kind in ((0, Request), (1, Fault)):
        line = text.replace(b'"content": ""', b'"content": "%b"' % (b"x" * (room + spare)))
        assert len(line) <= LONGEST_LINE
        found = Checker(MODELS.find, lambda model: model.route).check(Line(1, line, len(line)))
        assert isinstance(found, kind)
    assert isinstance(found, Fault)
    assert (found.code, found.param) == (Code.LINE_TOO_LONG, "body")
