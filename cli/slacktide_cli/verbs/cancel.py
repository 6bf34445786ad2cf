"""`slacktide cancel BATCH_ID`: ask one batch to end, by the HTTP API or by a marker in the bucket."""

import os
from typing import Annotated, Any

import boto3
import msgspec
import typer
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Meta
from rich.console import Console

from slacktide.keys import cancel_marker
from slacktide_cli.answers import ApiBatch
from slacktide_cli.api import Api
from slacktide_cli.arguments import (
    KEY_VARIABLE,
    ApiUrlOption,
    BatchIdArgument,
    BucketOption,
    JsonOption,
    check_batch_id,
    connect_api,
    print_json,
    say,
)
from slacktide_cli.errors import NoSuchThingError, ServiceError, UsageError


class Cancelled(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    batch_id: str
    batch: Annotated[ApiBatch | None, Meta(description="as it is now, by the API; null by the bucket")] = None
    marker: Annotated[str | None, Meta(description="by the bucket: the object that asks it to end; null by the API")] = None
    v: int = 1


def cancel(
    context: typer.Context,
    batch_id: BatchIdArgument,
    *,
    api_url: ApiUrlOption = None,
    bucket: BucketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a batch: finished lines are kept, the others end as batch_cancelled.

    Where SLACKTIDE_API_URL (or --api-url) and SLACKTIDE_API_KEY are set, the API is asked: it ends any batch of the owner of the
    key. Otherwise, and with --bucket, it goes by the bucket, which ends batches whose files were dropped there.

    Exit code 0: it was asked to end, which is done at its next look. 1: the API refused, for one because it has ended already,
    or AWS did. 2: usage.
    """
    check_batch_id(batch_id)
    if _goes_by_api(context, api_url):
        document = Cancelled(batch_id, batch=cancel_by_api(connect_api(api_url, context), batch_id))
        text = f"{batch_id} was asked to end. Its results follow as always, with status cancelled: slacktide watch {batch_id}"
    else:
        document = Cancelled(batch_id, marker=cancel_by_bucket(_connect(), bucket, batch_id))
        text = (
            f"{batch_id} was asked to end. Its results follow as always, with status cancelled, unless it had ended before. "
            f"One that was created through the API, or by `slacktide retry`, takes SLACKTIDE_API_URL and {KEY_VARIABLE}."
        )
    if as_json:
        print_json(document)
        return
    say(Console(), text)


def cancel_by_api(api: Api, batch_id: str) -> ApiBatch:
    """Ask the API; answers the batch as it is then. Raises ApiCallError."""
    try:
        return api.cancel(batch_id)
    except NoSuchThingError as error:
        raise NoSuchThingError(f"{error} One whose file was dropped into the bucket can be cancelled there: --bucket.") from None


def cancel_by_bucket(s3: Any, bucket: str | None, batch_id: str) -> str:
    """Write the marker that asks a batch to end; answers where it is. Raises UsageError without a bucket, and ServiceError."""
    if not bucket:
        raise UsageError(
            f"Neither API nor bucket. Set SLACKTIDE_API_URL to the output ApiUrl of your stack and {KEY_VARIABLE} to your key; "
            "or, for a file that was dropped, SLACKTIDE_BUCKET (or --bucket) to the output BucketName."
        )
    key = cancel_marker(batch_id)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(f"writing s3://{bucket}/{key} failed: {error}") from error
    return f"s3://{bucket}/{key}"


def _goes_by_api(context: typer.Context, api_url: str | None) -> bool:
    """Whether the API is asked: what the command line names goes before what the environment does."""
    sources = {name: context.get_parameter_source(name) for name in ("api_url", "bucket")}
    named = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if len(named) > 1:
        raise UsageError("--api-url and --bucket are two ways to the same end: name one.")
    return named == ["api_url"] if named else bool(api_url and os.environ.get(KEY_VARIABLE))


def _connect() -> Any:
    try:
        return boto3.client("s3")
    except BotoCoreError as error:
        raise ServiceError(f"AWS cannot be used: {error}. Set the credentials and the region.") from error
