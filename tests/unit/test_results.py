"""A result line as bytes: the id goes where it belongs, whatever stands around it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide.codes import Code
from slacktide.faults import Fault, Problem
from slacktide.ids import RequestId
from slacktide.results import (
    ErrorBody,
    give_custom_id,
    is_success,
    join_faults,
    read_code,
    read_fault,
    result_reader,
    write_response,
    write_result,
)

BATCH = "batch_" + "a" * 26
TRAPS = [
    '"custom_id":null',
    ',"error":null}',
    '{"id":"',
    "\\",
    "\n",
    "é\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
]
TEXTS = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(TRAPS)).map("".join))


@given(st.one_of(st.none(), TEXTS), TEXTS, st.integers(1, 10**9), st.integers(1, 9_999))
def test_a_success_is_the_line_that_it_should_be(custom_id: str | None, said: str, line: int, round_number: int) -> None:
    request = RequestId(BATCH, round_number, line)
    result = write_result(request, write_response(request, 200, json.dumps({"custom_id": None, "said": said}).encode()), None)
    assert is_success(result)
    assert result_reader(BATCH, round_number)(result) == (line, result)
    told = json.loads(give_custom_id(result, json.dumps(custom_id).encode()))
    assert list(told.items()) == [
        ("id", str(request)),
        ("custom_id", custom_id),
        ("line", line),
        ("response", {"status_code": 200, "request_id": str(request), "body": {"custom_id": None, "said": said}}),
        ("error", None),
    ]


@given(TEXTS, TEXTS, st.sampled_from(Code))
def test_no_error_looks_like_a_success(custom_id: str, words: str, code: Code) -> None:
    result = write_result(RequestId(BATCH, 1, 7), None, ErrorBody(code, words))
    assert not is_success(result)
    assert read_code(result) == code
    told = json.loads(give_custom_id(result, json.dumps(custom_id).encode()))
    assert (told["custom_id"], told["response"], told["error"]) == (custom_id, None, {"code": code, "message": words})


def test_a_body_is_not_touched() -> None:
    body = b'{ "a" :1.50e0, "custom_id":null , "b":"\\u00e9"}'
    request = RequestId(BATCH, 1, 1)
    assert body in give_custom_id(write_result(request, write_response(request, 200, body), None), b'"x"')


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({}, {}),
        ({"param": "body.n", "column": 7}, {"param": "body.n", "column": 7}),
        ({"custom_id": "x", "column": None}, {}),
        (
            {"others": [{"code": "url_mismatch", "message": "why", "param": "url"}, {"code": "model_not_found", "message": "m"}]},
            {"others": [{"code": "url_mismatch", "message": "why", "param": "url"}, {"code": "model_not_found", "message": "m"}]},
        ),
    ],
)
def test_a_fault_is_told_with_all_that_was_found(kept: dict[str, object], told: dict[str, object]) -> None:
    first = {"code": "invalid_request", "message": "first"}
    line, fault = read_fault(json.dumps({"line": 3, **first, **kept}).encode())
    assert line == 3
    result = write_result(RequestId(BATCH, 0, 3), None, join_faults([fault]))
    assert json.loads(result)["error"] == {**first, **told}


def test_all_faults_of_a_line_are_told_together() -> None:
    early, late = (
        Fault(3, Code.URL_MISMATCH, "a", others=[Problem(Code.INVALID_REQUEST, "b")]),
        Fault(3, Code.DUPLICATE_CUSTOM_ID, "c"),
    )
    told = join_faults([early, late])
    assert (told.code, [problem.message for problem in told.others]) == ("url_mismatch", ["b", "c"])


def test_the_names_of_an_error_are_in_one_order() -> None:
    body = ErrorBody(Code.INVALID_REQUEST, "m", "p", 1, [Problem(Code.URL_MISMATCH, "n")])
    assert list(json.loads(msgspec.json.encode(body))) == ["code", "message", "param", "column", "others"]
