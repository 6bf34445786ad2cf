"""`--model` changes the model of each request, and nothing else."""

import json

import pytest

from slacktide_cli.models import rewrite_models


def rewrite(line: bytes) -> bytes:
    (result,) = rewrite_models([line], "smollm2")
    return result


def test_the_model_of_a_request_is_replaced_and_numbers_keep_their_digits() -> None:
    line = b'{"custom_id": "a", "body": {"model": "big", "seed": 12345678901234567890123, "temperature": 0.10}}\n'
    assert rewrite(line) == (b'{"custom_id":"a","body":{"model":"smollm2","seed":12345678901234567890123,"temperature":0.10}}\n')


def test_a_request_without_a_model_gets_one_and_a_last_line_needs_no_line_feed() -> None:
    assert json.loads(rewrite(b'{"custom_id": "a", "body": {}}'))["body"] == {"model": "smollm2"}


def test_the_line_end_is_kept() -> None:
    assert rewrite(b'{"body": {}}\r\n').endswith(b"}\r\n")
    assert not rewrite(b'{"body": {}}').endswith(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"\n",
        b"[1, 2]\n",
        b'{"custom_id": "a"}\n',
        b'{"custom_id": "a", "body": "text"}\n',
        b'{"custom_id": "a", "body": {"model": "x", "model": "y"}}\n',  # duplicate keys must still be found
        b'{"custom_id": "a", "custom_id": "b", "body": {"model": "x"}}\n',
        b'{"custom_id": "a", "body": {"model": "x", "temperature": NaN}}\n',
        b'{"custom_id": "\xff", "body": {"model": "x"}}\n',
        b'{"body": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n",
        b'{"body": {"a": ' + b"9" * 5_000 + b"}}\n",
    ],
)
def test_a_line_that_is_no_request_passes_unchanged(line: bytes) -> None:
    assert rewrite(line) == line
