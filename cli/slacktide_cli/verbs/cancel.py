"""`slacktide cancel BATCH_ID`: ask one batch to end."""

from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from slacktide.ids import BATCH_ID
from slacktide.keys import cancel_marker
from slacktide_cli.errors import ServiceError, UsageError


def cancel(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="The id that run shows, batch_ and 26 characters.")],
    *,
    bucket: Annotated[str | None, typer.Option(envvar="SLACKTIDE_BUCKET", help="Slacktide's bucket (output BucketName).")] = None,
) -> None:
    """Cancel a batch: finished lines are kept, the others end as batch_cancelled.

    Exit code 0: it was asked to end, which is done at its next look; one that has ended stays as it is. 1: AWS refused. 2: usage.
    """
    key = check_arguments(batch_id, bucket)
    put_marker(_connect(), str(bucket), key)
    text = f"{batch_id} was asked to end. Its results follow as always, with status cancelled, unless it had ended before."
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def check_arguments(batch_id: str, bucket: str | None) -> str:
    """Return the key of the marker. Raises UsageError when the command cannot be carried out."""
    if not BATCH_ID.fullmatch(batch_id):
        raise UsageError("That is no batch id: one is batch_ and 26 characters of a to z and 2 to 7, as in latest.json.")
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
