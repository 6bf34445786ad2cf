"""`slacktide costs`: what the batches of a bucket cost and saved, summed up from their receipts."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import boto3
import msgspec
import typer
from botocore.exceptions import BotoCoreError
from msgspec import Meta

from slacktide_cli.arguments import BucketOption, JsonOption, open_consoles, print_json, say
from slacktide_cli.costs import By, Row, read_receipts, sum_costs
from slacktide_cli.errors import ServiceError, UsageError
from slacktide_cli.receipts import dollars
from slacktide_cli.reports import visible

_SPAN = re.compile(r"(\d{1,6})([hd])")
_UNITS = {"h": "hours", "d": "days"}


class CostsDocument(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    since: Annotated[str, Meta(description="batches that were made from then on, RFC 3339")]
    by: Annotated[By, Meta(description="what they are summed up by")]
    rows: Annotated[list[Row], Meta(description="the dearest first")]
    currency: str = "USD"
    v: int = 1


def costs(
    *,
    since: Annotated[str, typer.Option(help="From when on: 2026-01-31, a time, or e.g. 30d before now.")] = "30d",
    by: Annotated[By, typer.Option(help="What to sum up by; key: the API key that made the batch.")] = By.TAG,
    bucket: BucketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum up what batches cost and saved, from the receipts in the bucket.

    Exit code 0: summed up. 1: AWS refused. 2: usage.
    """
    if not bucket:
        raise UsageError("No bucket. Set SLACKTIDE_BUCKET (or --bucket) to the output BucketName of your stack.")
    start = read_since(since, datetime.now(UTC))
    rows = sum_costs(read_receipts(_connect(), bucket, start), by)
    if as_json:
        print_json(CostsDocument(start.strftime("%Y-%m-%dT%H:%M:%SZ"), by, rows))
        return
    console, _ = open_consoles(as_json=False)
    for line in render_costs(rows, start):
        say(console, visible(line))


def read_since(text: str, now: datetime) -> datetime:
    """A day, a time, or a span before now, in UTC. Raises UsageError."""
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        read = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--since {text}: give a day as 2026-01-31, a time as 2026-01-31T22:00:00Z, or 24h or 30d.") from error
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def render_costs(rows: list[Row], since: datetime) -> Iterator[str]:
    """The lines for a terminal."""
    if not rows:
        yield f"No batch has ended that was made since {since:%Y-%m-%d %H:%M} UTC and ran anything."
    for row in rows:
        batches = "1 batch" if row.batches == 1 else f"{row.batches:,} batches"
        cost = dollars(row.cost) + ("" if row.complete else " known, not all is")
        saved = f"saved {dollars(row.saved)}" + ("" if row.compared else " as far as is known")
        yield f"{row.name}: {batches}, {row.requests:,} requests, {cost}, {saved}"


def _connect() -> Any:
    try:
        return boto3.client("s3")
    except BotoCoreError as error:
        raise ServiceError(f"AWS cannot be used: {error}. Set the credentials and the region.") from error
