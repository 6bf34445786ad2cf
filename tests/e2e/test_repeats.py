"""Events that come again, objects that change, batches side by side, cancelling, and the deadline."""

import json

from e2e.stack import Stack, eventually, jsonl, request, requests
from slacktide.statuses import JobState


def event_of(stack: Stack, key: str, version_id: str, etag: str) -> str:
    """The message that a drop sends to the input queue."""
    thing = {"key": key, "size": 1, "etag": etag.strip('"'), "version-id": version_id, "sequencer": "00"}
    detail = {"version": "0", "bucket": {"name": stack.bucket}, "object": thing, "reason": "PutObject"}
    event = {"source": "aws.s3", "detail-type": "Object Created", "time": "2026-01-01T00:00:00Z", "detail": detail}
    return json.dumps(event)


def test_the_same_event_ten_times_makes_one_batch(stack: Stack) -> None:
    key = "input/repeated.jsonl"
    put = stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=jsonl(requests(3)))
    message = event_of(stack, key, put["VersionId"], put["ETag"])
    entries = [{"Id": str(number), "MessageBody": message} for number in range(10)]
    queue = stack.cloud.outputs["InputQueueUrl"]
    assert not stack.sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed")

    batch = stack.wait_for_end(stack.wait_for_batch(key)[0])
    eventually(lambda: is_empty(stack, queue), what="an empty input queue")

    assert stack.batch_ids(key) == [batch.batch_id]
    assert len(stack.results(batch).output) == 3
    assert list(stack.created_jobs(batch.batch_id).values()) == [1]


def is_empty(stack: Stack, queue: str) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = stack.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return all(int(attributes[name]) == 0 for name in names)


def test_two_files_of_equal_content_at_once_are_two_batches(stack: Stack) -> None:
    content = jsonl(requests(12, "equal"))
    keys = [stack.drop(f"twin-{number}.jsonl", content) for number in (1, 2)]

    batches = [stack.wait_for_end(stack.wait_for_batch(key)[0]) for key in keys]

    assert batches[0].batch_id != batches[1].batch_id
    for batch in batches:
        results = stack.results(batch)
        assert len(results.output) == 12
        assert all(line.line == number for number, line in enumerate(results.output, 1))


def test_an_object_overwritten_in_mid_run_runs_as_it_was_validated(stack: Stack) -> None:
    stack.control("faults", {"kind": "stall"})
    key = stack.drop("overwritten.jsonl", jsonl([request("old", "the old text")]))
    first = stack.wait_for_batch(key)[0]
    eventually(lambda: running(stack, first), what="a running job")

    stack.drop("overwritten.jsonl", jsonl([request("new", "the new text"), request("newer", "the new text")]))
    second = stack.wait_for_end(stack.wait_for_batch(key, count=2)[1])
    stack.control("release", {})
    old = stack.wait_for_end(first)

    assert [line.custom_id for line in stack.results(old).output] == ["old"]
    assert stack.results(old).answers[1].endswith("the old text")
    assert [line.custom_id for line in stack.results(second).output] == ["new", "newer"]
    newest = stack.latest(key)
    assert newest is not None
    assert newest["batch_id"] == second.batch_id, "latest.json tells of the newest batch, whichever ends last"


def running(stack: Stack, batch_id: str) -> bool:
    jobs = stack.jobs(batch_id)
    return bool(jobs) and all(job.state is JobState.RUNNING for job in jobs)


def test_a_cancel_marker_ends_a_running_batch_and_keeps_what_is_done(stack: Stack) -> None:
    lines = [*requests(8), *[request(f"hang{number}", "[[hang]]") for number in range(3)], "rubbish"]
    key = stack.drop("cancelled.jsonl", jsonl(lines))
    batch_id = stack.wait_for_batch(key)[0]
    eventually(lambda: any(job.progress for job in stack.jobs(batch_id)), what="a job with progress")

    stack.s3.put_object(Bucket=stack.bucket, Key=key + ".cancel", Body=b"")
    batch = stack.wait_for_end(batch_id)

    results = stack.results(batch)
    assert batch.status == "cancelled"
    assert results.answers.keys() == set(range(1, 9))
    assert results.codes == dict.fromkeys(range(9, 12), "batch_cancelled") | {12: "invalid_json_line"}


def test_a_batch_ends_by_its_deadline_and_keeps_what_is_done(stack: Stack) -> None:
    lines = [*requests(8), *[request(f"hang{number}", "[[hang]]") for number in range(3)]]
    batch, results = stack.run("expired.jsonl", jsonl(lines), **{"completion-window": "25s"})

    assert batch.status == "expired"
    assert results.answers.keys() == set(range(1, 9))
    assert set(results.codes.values()) == {"batch_expired"}
    assert (batch.reached(batch.status) or 0) <= batch.deadline + 2
    assert stack.jobs(batch.batch_id)[0].state is JobState.SETTLED
