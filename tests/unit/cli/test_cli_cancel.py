"""`slacktide cancel` by the bucket: the marker that the pipeline understands, or an error that says what to do."""

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
    marker = cancel.cancel_by_bucket(world.s3, BUCKET, ids[0])
    assert world.deliver(world.event(marker.removeprefix(f"s3://{BUCKET}/"), "etag", None))
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
    marker = f"s3://{BUCKET}/input/{BATCH_ID}.jsonl.cancel"
    assert json.loads(said.stdout) == {"batch_id": BATCH_ID, "batch": None, "marker": marker, "v": 1}


@pytest.mark.parametrize("batch_id", ["may.jsonl", BATCH_ID + "a"])
def test_what_is_no_id_is_said(batch_id: str) -> None:
    said = CliRunner().invoke(app, ["cancel", batch_id, "--bucket", BUCKET])
    assert isinstance(said.exception, UsageError)
    assert "batch id" in str(said.exception)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("api", [{}, {"SLACKTIDE_API_URL": "https://a"}, {"SLACKTIDE_API_KEY": "k"}], ids=str)
@pytest.mark.parametrize("bucket", [{}, {"SLACKTIDE_BUCKET": ""}], ids=str)
def test_without_a_bucket_and_half_an_api_it_says_what_is_needed(api: dict[str, str], bucket: dict[str, str]) -> None:
    said = CliRunner().invoke(app, ["cancel", BATCH_ID], env={**api, **bucket})
    assert isinstance(said.exception, UsageError)
    assert all(name in str(said.exception) for name in ("SLACKTIDE_API_URL", "SLACKTIDE_API_KEY", "SLACKTIDE_BUCKET"))


def test_half_an_api_is_none(s3: Any) -> None:
    said = CliRunner().invoke(app, ["cancel", BATCH_ID], env={"SLACKTIDE_BUCKET": BUCKET, "SLACKTIDE_API_URL": "https://a"})
    assert said.exit_code == 0
    assert "SLACKTIDE_API_KEY" in said.output, "what it does not reach"
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


@pytest.mark.usefixtures("aws")
def test_a_refusal_of_aws_is_said() -> None:
    with pytest.raises(ServiceError, match="NoSuchBucket"):
        cancel.cancel_by_bucket(boto3.client("s3"), "nobodys", BATCH_ID)
