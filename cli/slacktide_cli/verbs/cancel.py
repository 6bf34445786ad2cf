"""`slacktide cancel BATCH_ID`: ask one batch to end."""

from typing import Annotated, Any

import boto3
import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Meta
from rich.console import Console

from slacktide.keys import cancel_marker
from slacktide_cli.arguments import BatchIdArgument, BucketOption, JsonOption, check_batch_id, print_json, say
from slacktide_cli.errors import ServiceError, UsageError


class Cancelled(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    batch_id: str
    marker: Annotated[str, Meta(description="the object that asks it to end")]
    v: int = 1


def cancel(batch_id: BatchIdArgument, *, bucket: BucketOption = None, as_json: JsonOption = False) -> None:
    """Cancel a batch: finished lines are kept, the others end as batch_cancelled.

    Exit code 0: it was asked to end, which is done at its next look; one that has ended stays as it is. 1: AWS refused. 2: usage.
    """
    key = check_arguments(batch_id, bucket)
    put_marker(_connect(), str(bucket), key)
    if as_json:
        print_json(Cancelled(batch_id, f"s3://{bucket}/{key}"))
        return
    say(
        Console(),
        f"{batch_id} was asked to end. Its results follow as always, with status cancelled, unless it had ended before.",
    )


def check_arguments(batch_id: str, bucket: str | None) -> str:
    """Return the key of the marker. Raises UsageError when the command cannot be carried out."""
    check_batch_id(batch_id)
    if not bucket:
        raise UsageError("No bucket. Set SLACKTIDE_BUCKET (or --bucket) to the output BucketName of your stack.")
    return cancel_marker(batch_id)


def put_marker(s3: Any, bucket: str, key: str) -> None:
    """Write the empty object that says so. Raises ServiceError."""
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(f"writing s3://{bucket}/{key} failed: {error}") from error


def _connect() -> Any:
    try:
        return boto3.client("s3")
    except BotoCoreError as error:
        raise ServiceError(f"AWS cannot be used: {error}. Set the credentials and the region.") from error
