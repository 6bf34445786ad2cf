"""The stand-in with the real container server in it, in front of the scripted engine."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from sagemaker_stand_in import StandIn, is_running, wait_until

from slacktide_local.scripted_engine import engine_command

CONTAINER = shlex.join([sys.executable, "-m", "slacktide_transform", "serve"])


def write_lines(first: int, texts: list[str]) -> bytes:
    """An input object: one chat request for each text."""
    rows = [
        {"custom_id": f"batch_x.1.{line}", "body": {"model": "alias", "messages": [{"role": "user", "content": text}]}}
        for line, text in enumerate(texts, start=first)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def read_lines(body: bytes) -> list[tuple[str, int]]:
    rows = [json.loads(line) for line in body.splitlines()]
    return [(row["custom_id"], row["response"]["status_code"]) for row in rows]


def start_real(start: Callable[..., StandIn], *options: str) -> StandIn:
    command = ["--container-command", CONTAINER, "--container-env", f"ENGINE_COMMAND={engine_command()}"]
    return start(*command, "--container-env", "MODEL_ID=scripted", *options)


def test_a_whole_job_with_the_real_container(start: Callable[..., StandIn]) -> None:
    own = start_real(start)
    objects = {"000000001-000000002.jsonl": write_lines(1, ["one", "two"]), "000000003.jsonl": write_lines(3, ["three"])}
    job = own.run(objects, MaxConcurrentTransforms=2, MaxPayloadInMB=10)
    assert job["TransformJobStatus"] == "Completed", job
    outputs = own.outputs(job["TransformJobName"])
    assert {name: read_lines(body) for name, body in outputs.items()} == {
        "000000001-000000002.jsonl.out": [("batch_x.1.1", 200), ("batch_x.1.2", 200)],
        "000000003.jsonl.out": [("batch_x.1.3", 200)],
    }
    took = job["TransformEndTime"] - job["CreationTime"]
    print(f"a job with the real container took {took.total_seconds():.2f} s")


def test_an_engine_that_dies_with_a_payload_costs_no_answer(start: Callable[..., StandIn], tmp_path: Path) -> None:
    """The container answers 503 or holds the payload, the payload is sent again, and every line is answered."""
    own = start_real(start)
    texts = ["one", f"[[exit once {tmp_path / 'died'}]] two", "three"]
    job = own.run({"a": write_lines(1, texts)}, Environment={"ENGINE_BACKOFF_SECONDS": "0.1"})
    assert (tmp_path / "died").exists()
    assert job["TransformJobStatus"] == "Completed", job
    (output,) = own.outputs(job["TransformJobName"]).values()
    assert read_lines(output) == [(f"batch_x.1.{line}", 200) for line in (1, 2, 3)]


def test_the_engine_ends_with_a_killed_stand_in(start: Callable[..., StandIn], tmp_path: Path) -> None:
    own = start_real(start, "--work-dir", str(tmp_path))
    name = own.create({"a": write_lines(1, ["[[hang]]"])})
    wait_until(lambda: "TransformStartTime" in own.sagemaker.describe_transform_job(TransformJobName=name))
    (row,) = own.containers(name)
    pids = [row["pid"], *row["children"]]
    assert len(pids) == 2
    own.process.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids))
