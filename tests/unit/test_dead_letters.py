"""Dead letters: at least one for each error line, whatever the queue does."""

import json

import boto3
import pytest

from fakes.world import World, jsonl, request
from slacktide.dead_letters import MESSAGE_BYTES, DeadLetters, NotSentError

CONTENT = jsonl(*(request(f"r{number}", model="none") for number in range(1, 26)))


@pytest.fixture
def batch_id(world: World) -> str:
    """A batch that has ended with 25 error lines, of which no letter was sent."""
    batch_id = world.process(CONTENT).batch.batch_id
    world.queue.bodies.clear()
    world.queue.calls.clear()
    return batch_id


def send(world: World, batch_id: str, cursor: str | None = None, *, late: bool = False) -> str | None:
    loop = world.dead_letters.send(batch_id, cursor=cursor, is_late=lambda: late)
    assert loop.done == (loop.cursor is None)
    return loop.cursor


def lines(world: World) -> list[int]:
    return sorted(message["line"] for message in world.queue.messages)


def test_one_for_each_error_line(world: World, batch_id: str) -> None:
    assert send(world, batch_id) is None
    assert lines(world) == list(range(1, 26))
    assert sorted(map(len, world.queue.calls)) == [5, 10, 10]


def test_a_letter_points_to_its_line(world: World, batch_id: str) -> None:
    send(world, batch_id)
    for message in world.queue.messages:
        first, last = map(int, message["s3"]["range"].removeprefix("bytes=").split("-"))
        line = json.loads(world.s3.data(message["s3"]["key"])[first : last + 1])
        assert line["line"] == message["line"]
        assert message == {
            "v": 1,
            "batch_id": batch_id,
            "line": line["line"],
            "custom_id": f"r{line['line']}",
            "code": "model_not_found",
            "class": "invalid_line",
            "round": 0,
            "s3": message["s3"],
        }


def test_only_what_was_not_taken_is_sent_again(world: World, batch_id: str) -> None:
    world.queue.failures.extend([{"0", "3"}, {"3"}])
    send(world, batch_id)
    assert lines(world) == list(range(1, 26))
    assert sum(map(len, world.queue.calls)) == 25 + 3


def test_what_is_never_taken_fails_the_step(world: World, batch_id: str) -> None:
    world.queue.failures.extend([{str(number) for number in range(10)}] * 50)
    with pytest.raises(NotSentError):
        send(world, batch_id)


def test_a_slow_step_goes_on_where_it_stopped(world: World, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slacktide.dead_letters.SENDERS", 1)
    cursor = send(world, batch_id, late=True)
    assert lines(world) == list(range(1, 11))
    again = send(world, batch_id, cursor, late=True)
    assert send(world, batch_id, cursor, late=True) == again
    for _ in range(5):
        again = send(world, batch_id, again, late=True) if again else None
    assert set(lines(world)) == set(range(1, 26))


def test_no_error_no_letter(world: World) -> None:
    batch_id = world.process(jsonl(request("a"))).batch.batch_id
    assert send(world, batch_id) is None
    assert world.queue.calls == []


def test_a_body_holds_only_characters_that_sqs_takes(world: World) -> None:
    world.process(jsonl(request("\ufffe\uffff ü💥", model="none")))
    assert world.queue.messages[0]["custom_id"] == "\ufffe\uffff ü💥"
    assert all(body.isascii() and body.isprintable() for body in world.queue.bodies)


def test_moto_agrees(world: World, batch_id: str, queue_url: str) -> None:
    sqs = boto3.client("sqs")
    letters = DeadLetters(world.bucket, world.records, sqs, queue_url)
    assert letters.send(batch_id, cursor=None, is_late=lambda: False).done
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["ApproximateNumberOfMessages"])
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "25"


def test_a_message_is_never_too_big_for_the_queue(world: World, batch_id: str) -> None:
    """Ten messages are at most 1 MiB together, and the line can always be found by its place."""
    errors = world.batches()[0].results.errors
    line = json.loads(world.s3.data(errors).splitlines()[0])
    for length in (MESSAGE_BYTES // 2, MESSAGE_BYTES):
        world.bucket.write(errors, json.dumps({**line, "custom_id": "x" * length}).encode() + b"\n")
        send(world, batch_id)
    kept, cut = world.queue.messages
    assert kept["custom_id"] == "x" * (MESSAGE_BYTES // 2)
    assert cut["custom_id"] is None
    assert cut["line"] == 1
    assert 10 * max(map(len, world.queue.bodies)) <= 1 << 20
    assert MESSAGE_BYTES <= 256 * 1024


def test_a_step_stops_only_behind_what_was_sent(world: World, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go out side by side: the cursor never passes one that is still under way."""
    monkeypatch.setattr("slacktide.dead_letters.BATCH_ENTRIES", 2)
    monkeypatch.setattr("slacktide.dead_letters.SENDERS", 4)
    cursor = send(world, batch_id, late=True)
    sent = set(lines(world))
    world.queue.bodies.clear()
    send(world, batch_id, cursor)
    assert sorted([*sent, *lines(world)]) == list(range(1, 26)), "each once"
