"""A dropped file becomes one output and one error file, through the real template, machines and functions."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest

from e2e.stack import Stack, jsonl, request, requests
from slacktide.compression import zstd
from slacktide.keys import input_path, latest
from slacktide_local.cloud import ROOT

EVENTS = ["Batch Validating", "Batch Queued", "Batch In Progress", "Batch Finalizing", "Batch Completed"]
AWS = ROOT / ".slacktide/venvs/sam/bin/aws"


def mixed_file() -> bytes:
    """Both line forms, and a line for each of several faults."""
    openai = {"custom_id": "openai", "method": "POST", "url": "/v1/chat/completions", "body": request("x", "second")["body"]}
    return jsonl(
        [
            request("first", "first"),
            openai,
            '{"custom_id": "cut", "body": {"model"',
            request("other-model", "x", model="gpt-unknown"),
            request("first", "a repeated id"),
            {"body": request("x")["body"]},
            request("completion") | {"url": "/v1/completions", "body": {"model": "smollm2", "prompt": "Once upon"}},
            request("refused", "[[status 400]] no"),
            request("last", "last"),
        ]
    )


def test_every_line_of_a_dropped_file_ends_in_output_or_errors(stack: Stack) -> None:
    batch, results = stack.run("mixed.jsonl", b"\xef\xbb\xbf" + mixed_file().replace(b"\n", b"\r\n"))

    assert batch.status == "completed"
    assert [line.custom_id for line in results.output] == ["first", "openai", "completion", "last"]
    assert results.codes == {
        3: "invalid_json_line",
        4: "model_not_found",
        5: "duplicate_custom_id",
        6: "missing_custom_id",
        8: "backend_rejected",
    }
    assert [line.custom_id for line in results.errors] == [None, "other-model", "first", None, "refused"]
    refused = results.errors[-1]
    assert refused.response is not None
    assert refused.response.status_code == 400


def test_events_tell_of_each_status_in_order(stack: Stack) -> None:
    batch, _ = stack.run("events.jsonl", jsonl(requests(2)), tag="of-a-test")

    events = stack.events(batch.batch_id, 5)

    assert [event["detail-type"] for event in events] == EVENTS
    assert [event["detail"]["data"]["sequence"] for event in events] == [1, 2, 3, 4, 5]
    assert {event["detail"]["data"]["tag"] for event in events} == {"of-a-test"}
    assert events[-1]["detail"]["data"]["counts"] == {"total": 2, "completed": 2, "failed": 0}


def test_latest_json_moves_with_the_batch(stack: Stack) -> None:
    batch, _ = stack.run("moving.jsonl", jsonl(requests(20, "[[delay 0.2]] slow")))

    key = latest(input_path(batch.input.key))
    versions = stack.s3.list_object_versions(Bucket=stack.bucket, Prefix=key)["Versions"]
    documents = [
        json.loads(stack.s3.get_object(Bucket=stack.bucket, Key=key, VersionId=version["VersionId"])["Body"].read())
        for version in reversed(versions)
    ]

    statuses = list(dict.fromkeys(document["status"] for document in documents))
    assert statuses == ["validating", "queued", "in_progress", "finalizing", "completed"]
    assert {document["input"]["version_id"] for document in documents} == {batch.input.version_id}
    assert documents[-1]["counts"] == {"total": 20, "completed": 20, "failed": 0}


@pytest.mark.parametrize(
    "name",
    ["with spaces, a + and 100 % Ümläut.jsonl", "n" * (1_000 - len("input/.jsonl")) + ".jsonl", "a%20b%2Bc+d.jsonl"],
    ids=["spaces", "1000-bytes", "looks-quoted"],
)
def test_a_file_of_any_name_dropped_by_the_aws_command_line_works(stack: Stack, tmp_path: Path, name: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(jsonl(requests(1)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **stack.cloud.environment}
    command = [str(AWS), "s3", "cp", str(file), f"s3://{stack.bucket}/input/{name}", "--only-show-errors"]
    subprocess.run(command, check=True, env=environment, timeout=60)

    batch = stack.wait_for_end(stack.wait_for_batch(f"input/{name}")[0])

    assert batch.status == "completed"
    assert stack.results(batch).answers.keys() == {1}


def test_compressed_files_run_as_if_they_were_plain(stack: Stack) -> None:
    packed = {"packed.jsonl.gz": gzip.compress(mixed_file()), "packed.jsonl.zst": zstd.compress(mixed_file())}
    keys = [stack.drop(name, content) for name, content in packed.items()]
    for key in keys:
        batch = stack.wait_for_end(stack.wait_for_batch(key)[-1])
        results = stack.results(batch)

        assert batch.status == "completed"
        assert [line.custom_id for line in results.output] == ["first", "openai", "completion", "last"]
        assert results.codes.keys() == {3, 4, 5, 6, 8}
        assert results.manifest["output"]["key"].startswith(f"output/{key.removeprefix('input/')}/{batch.batch_id}/")
        assert (stack.latest(key) or {})["status"] == "completed"


def test_a_marker_cancels_the_batch_of_a_compressed_file(stack: Stack) -> None:
    key = stack.drop("slow.jsonl.gz", gzip.compress(jsonl(requests(40, "[[delay 5]] slow"))))
    (batch_id,) = stack.wait_for_batch(key)
    stack.drop("slow.jsonl.gz.cancel", b"")
    batch = stack.wait_for_end(batch_id)

    assert batch.status == "cancelled"
    assert "batch_cancelled" in stack.results(batch).codes.values()


def test_a_reject_file_with_a_bad_line_runs_nothing(stack: Stack) -> None:
    batch, results = stack.run("reject.jsonl", jsonl([*requests(2), "rubbish"]), **{"on-invalid": "reject"})

    assert batch.status == "failed"
    assert results.codes == {1: "batch_failed", 2: "batch_failed", 3: "invalid_json_line"}
    assert stack.created_jobs(batch.batch_id) == {}
    assert set(stack.executions("BatchStateMachineArn", batch.batch_id).values()) == {"FAILED"}


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.jsonl", b"", "empty_file"),
        ("blank.jsonl", b"\n\r\n\n", "empty_file"),
        ("cut.jsonl.gz", gzip.compress(mixed_file())[:-20], "unsupported_file"),
        ("zip.jsonl", b"PK\x03\x04rest", "unsupported_file"),
        ("all-bad.jsonl", b"one\ntwo\n", "invalid_lines"),
    ],
)
def test_a_file_with_nothing_to_run_fails_with_its_reason(stack: Stack, name: str, content: bytes, code: str) -> None:
    batch, results = stack.run(name, content)

    assert batch.status == "failed"
    assert results.manifest["error"]["code"] == code
    assert stack.events(batch.batch_id, 3)[-1]["detail"]["data"]["error"]["code"] == code


def test_a_transient_error_is_tried_again_in_a_second_round(stack: Stack) -> None:
    batch, results = stack.run("transient.jsonl", jsonl([request("good"), request("bad", "[[status 500]]")]))

    assert batch.status == "completed"
    assert results.codes == {2: "backend_error"}
    assert [(job.round, job.total) for job in stack.jobs(batch.batch_id)] == [(1, 2), (2, 1)]


def test_a_mixed_file_is_split_by_endpoint_and_put_together_again(stack: Stack) -> None:
    completion = {"url": "/v1/completions", "body": {"model": "smollm2", "prompt": "word"}}
    lines = [request(f"r{n}") | (completion if n % 2 else {}) for n in range(40)]
    batch, results = stack.run("two-endpoints.jsonl", jsonl(lines))

    assert [line.custom_id for line in results.output] == [f"r{n}" for n in range(40)]
    assert sorted(job.endpoint for job in stack.jobs(batch.batch_id)) == ["/v1/chat/completions", "/v1/completions"]
