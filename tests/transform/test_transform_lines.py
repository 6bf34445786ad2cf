"""The wire format of a payload, without a socket."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide_transform.lines import (
    ENDPOINTS,
    Answer,
    Refusal,
    Request,
    answer_http,
    count_tokens,
    engine_body,
    read_line,
    split_lines,
)


def encode(answer: Answer) -> dict:
    return json.loads(msgspec.json.encode(answer))


def test_lines_are_split_on_newline_bytes_only():
    strange = '{"a":"\u2028\u2029\x85\x0b"}'.encode()
    assert split_lines(strange + b"\r\n\n" + strange) == [strange + b"\r", b"", strange]


@pytest.mark.parametrize(("payload", "lines"), [(b"", []), (b"\n", [b""]), (b"a", [b"a"]), (b"a\n", [b"a"])])
def test_a_final_newline_begins_no_line(payload: bytes, lines: list[bytes]):
    assert split_lines(payload) == lines


def test_the_url_is_chat_completions_when_absent():
    assert read_line(b'{"custom_id":"a","body":{}}') == Request("a", {}, "/v1/chat/completions")


@pytest.mark.parametrize("url", ENDPOINTS)
def test_every_endpoint_is_read(url: str):
    line = json.dumps({"custom_id": "a", "url": url, "method": "POST", "body": {}}).encode()
    assert read_line(line) == Request("a", {}, url)


@pytest.mark.parametrize(
    ("line", "custom_id"),
    [
        (b"", None),
        (b"not json", None),
        (b"[]", None),
        (b'{"body":{}}', None),
        (b'{"custom_id":7,"body":{}}', None),
        (b'{"custom_id":"a"}', "a"),
        (b'{"custom_id":"a","body":[]}', "a"),
        (b'{"custom_id":"a","body":{"x":NaN}}', None),
        (b'{"custom_id":"a","body":{}}{"custom_id":"b","body":{}}', None),
        (b'{"custom_id":"a","body":{"x":"\xff"}}', "a"),
        (b'{"custom_id":"\xff","body":{}}', None),
        (b'{"custom_id":"a","url":"/v1/files","body":{}}', "a"),
        (b'{"custom_id":"a","url":"http://169.254.169.254/","body":{}}', "a"),
        (b'{"custom_id":"a","body":' + b"[" * 100_000, None),
    ],
)
def test_a_line_that_cannot_be_sent_is_refused_with_its_id_if_it_has_one(line: bytes, custom_id: str | None):
    refusal = read_line(line)
    assert isinstance(refusal, Refusal)
    assert refusal.custom_id == custom_id


@given(st.binary(max_size=60))
def test_no_line_raises(line: bytes):
    assert isinstance(read_line(line), Request | Refusal)


def test_the_body_changes_in_model_and_stream_alone():
    exact = b'{"seed":123456789012345678901234567890,"temperature":0.10,"tools":[{"a":"\\u00e9"}]}'
    line = b'{"custom_id":"a","body":{"model":"alias","stream":true,"stream_options":{},' + exact[1:] + b"}"
    request = read_line(line)
    assert isinstance(request, Request)
    assert engine_body(request, model_id='the "model"') == b'{"model":"the \\"model\\"",' + exact[1:]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 499])
def test_client_errors_are_rejections(status: int):
    line = encode(answer_http("a", status=status, content=b'{"error":{"message":"no"}}'))
    assert line["error"]["code"] == "backend_rejected"
    assert line["response"]["status_code"] == status
    assert line["response"]["body"] == {"error": {"message": "no"}}


@pytest.mark.parametrize("status", [302, 408, 409, 429, 500, 501, 503])
def test_other_errors_are_transient(status: int):
    assert encode(answer_http("a", status=status, content=b"{}"))["error"]["code"] == "backend_error"


def test_an_error_page_that_is_not_json_keeps_its_status():
    line = encode(answer_http("a", status=502, content=b"<html>"))
    assert line["response"]["status_code"] == 502
    assert line["response"]["body"] == {}


@pytest.mark.parametrize("content", [b"", b"<html>", b"null", b"[]", b'{"a":1', b'{"a":"\xff"}'])
def test_a_good_status_without_an_object_is_no_answer(content: bytes):
    line = encode(answer_http("a", status=200, content=content))
    assert line["response"] is None
    assert line["error"]["code"] == "backend_error"


def test_an_answer_over_several_lines_becomes_one_line():
    answer = answer_http("a", status=200, content=b'{\n "a": "x\\ny"\n}\n')
    rendered = msgspec.json.encode(answer)
    assert b"\n" not in rendered
    assert json.loads(rendered)["response"]["body"] == {"a": "x\ny"}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (b'{"prompt_tokens":3,"completion_tokens":5}', (3, 5)),
        (b'{"prompt_tokens":3}', (3, 0)),
        (b"null", (0, 0)),
        (b'"many"', (0, 0)),
        (b'{"prompt_tokens":"3"}', (0, 0)),
    ],
)
def test_tokens_are_counted_by_the_engines_report(usage: bytes, tokens: tuple[int, int]):
    assert count_tokens(answer_http("a", status=200, content=b'{"usage":' + usage + b"}")) == tokens
