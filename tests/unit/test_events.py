"""Events of the input queue: ours, somebody else's, and none at all."""

import json
from typing import Any

import pytest

from fakes.world import BUCKET, World
from slacktide.errors import EventError
from slacktide.events import Dropped, Ignored, read_event, read_execution, unquoted

BATCH = "batch_" + "a" * 26
EVENT = World().event("input/a.jsonl", "etag", "v1")


def changed(**changes: Any) -> str:
    event = json.loads(json.dumps(EVENT))
    for path, value in changes.items():
        *way, last = path.split("__")
        place = event
        for name in way:
            place = place[name]
        place[last.replace("_", "-")] = value
    return json.dumps(event)


def test_a_dropped_object() -> None:
    assert read_event(json.dumps(EVENT), BUCKET) == Dropped(BUCKET, "input/a.jsonl", "etag", "v1", EVENT["time"])


@pytest.mark.parametrize(
    "key",
    [
        "input/a b+c%20ü.jsonl",
        "input/" + "x" * 1_012 + ".jsonl",
        "input/ü/💥.jsonl",
        "input/a.jsonl.cancel",
        "input/a.jsonl.gz.cancel",
    ],
)
def test_keys_are_taken_as_they_are(key: str) -> None:
    found = read_event(changed(detail__object__key=key), BUCKET)
    assert isinstance(found, Dropped)
    assert found.key == key


def test_version_and_etag_may_be_missing() -> None:
    event = json.loads(json.dumps(EVENT))
    del event["detail"]["object"]["version-id"], event["detail"]["object"]["etag"]
    found = read_event(json.dumps(event), BUCKET)
    assert isinstance(found, Dropped)
    assert (found.version_id, found.etag) == (None, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "aws.ec2"},
        {"detail_type": "Object Deleted"},
        {"detail__bucket__name": "another"},
        {"detail__object__key": "output/a.jsonl/batch_x/output.jsonl"},
        {"detail__object__key": "inputs/a.jsonl"},
        {"detail__object__key": "input/a.txt"},
        {"detail__object__key": "input/a.jsonl.bak"},
    ],
)
def test_what_is_not_ours_is_ignored(changes: dict[str, Any]) -> None:
    assert isinstance(read_event(changed(**changes), BUCKET), Ignored)


NO_EVENTS = ["", "canary", "[]", "{}", "null", "[" * 100_000, '{"Records":[{"s3":{}}]}', "\ud800"]


@pytest.mark.parametrize("body", [*NO_EVENTS, changed(detail__object__key=5), changed(detail=None)])
def test_what_is_no_event_is_an_error_that_quotes_nothing(body: str) -> None:
    with pytest.raises(EventError) as raised:
        read_event(body, BUCKET)
    assert "canary" not in str(raised.value)


def test_unquoted() -> None:
    assert unquoted("input/a+b%C3%BC.jsonl") == "input/a bü.jsonl"
    assert unquoted("input/a b.jsonl") is None


@pytest.mark.parametrize(
    ("name", "batch_id"),
    [(BATCH, BATCH), (f"{BATCH}-a2", BATCH), (f"{BATCH}-r1-j20-a3", BATCH), ("somebody-elses", None), ("", None), (5, None)],
)
def test_an_execution_names_its_batch(name: object, batch_id: str | None) -> None:
    assert read_execution({"source": "aws.states", "detail": {"name": name, "status": "FAILED"}}) == batch_id


@pytest.mark.parametrize("event", [{}, None, [], {"source": "aws.states"}, {"source": "aws.events", "detail": {"name": BATCH}}])
def test_any_other_event_is_about_all_batches(event: object) -> None:
    assert read_execution(event) is None
