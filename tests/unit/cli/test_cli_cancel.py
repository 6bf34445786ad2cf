"""`slacktide cancel`: the marker that the pipeline understands, or an error that says what to do."""

import json
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from fakes.world import BUCKET, World, jsonl, request
from slacktide_cli.app import app
from slacktide_cli.errors import ServiceError, UsageError
from slacktide_cli.verbs import cancel

FILE = jsonl(request("a"), request("b"))
BATCH_ID = "batch_" + "a" * 26


def test_a_batch_is_cancelled_by_its_id(world: World) -> None:
    """Two batches of one key: the one that is named ends, the other goes on."""
    ids: list[str] = []
    for _ in range(2):
        assert world.deliver(world.drop(FILE))
        ids = [batch.batch_id for batch in world.batches()]
        world.clock.advance(5)
    key = cancel.check_arguments(ids[0], BUCKET)
    cancel.put_marker(world.s3, BUCKET, key)
    assert world.deliver(world.event(key, "etag", None))
    world.run()
    assert {batch.batch_id: str(batch.status) for batch in world.batches()} == {ids[0]: "cancelled", ids[1]: "completed"}


def test_the_command_writes_the_marker(s3: Any) -> None:
    said = CliRunner().invoke(app, ["cancel", BATCH_ID, "--bucket", BUCKET])
    assert said.exit_code == 0, said.output
    assert BATCH_ID in said.output
    (written,) = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert (written["Key"], written["Size"]) == (f"input/{BATCH_ID}.jsonl.cancel", 0)


@pytest.mark.usefixtures("s3")
def test_a_script_gets_a_document() -> None:
    said = CliRunner().invoke(app, ["cancel", BATCH_ID, "--bucket", BUCKET, "--json"])
    assert json.loads(said.stdout) == {"batch_id": BATCH_ID, "marker": f"s3://{BUCKET}/input/{BATCH_ID}.jsonl.cancel", "v": 1}


@pytest.mark.parametrize(
    ("batch_id", "bucket"), [("may.jsonl", BUCKET), (BATCH_ID + "a", BUCKET), (BATCH_ID, None), (BATCH_ID, "")]
)
def test_what_cannot_be_done_is_said(batch_id: str, bucket: str | None) -> None:
    with pytest.raises(UsageError, match=r"batch id|SLACKTIDE_BUCKET"):
        cancel.check_arguments(batch_id, bucket)


@pytest.mark.usefixtures("aws")
def test_a_refusal_of_aws_is_said() -> None:
    with pytest.raises(ServiceError, match="NoSuchBucket"):
        cancel.put_marker(boto3.client("s3"), "nobodys", "input/x.jsonl.cancel")
