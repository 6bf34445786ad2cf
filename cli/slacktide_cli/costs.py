"""What many batches cost together: their receipts, read from the bucket and summed up."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Meta

from slacktide.batch import DROP_OWNER
from slacktide.receipts import Entry, written
from slacktide_cli.errors import ServiceError
from slacktide_cli.receipts import ReceiptFile, parse_receipt

_PREFIX, _SUFFIX = "output/", "/receipt.json"
_READERS = 16  # receipts are small, and each is a request of its own
NO_TAG = "(no tag)"
DROP_ZONE = "(drop zone)"


class By(StrEnum):
    """What costs are summed up by."""

    TAG = "tag"
    MODEL = "model"
    KEY = "key"


class Row(msgspec.Struct, frozen=True):
    """The sum of one tag, model or key. Amounts are of what is known: all costs if `complete`, all savings if `compared`."""

    name: Annotated[str, Meta(description="of the tag, of the model, or of the owner of the API key")]
    batches: Annotated[int, Meta(description="a batch of two models counts for both")]
    requests: Annotated[int, Meta(description="each once, however many rounds it took")]
    prompt_tokens: int
    completion_tokens: int
    cost: Annotated[str, Meta(description="dollars, as far as they are known")]
    real_time_cost: Annotated[str, Meta(description="dollars that it would have cost in real time, as far as they are known")]
    saved: Annotated[str, Meta(description="the difference, of what both are known of")]
    complete: Annotated[bool, Meta(description="whether `cost` is all of it")]
    compared: Annotated[bool, Meta(description="whether `saved` is all of it")]


@dataclass(slots=True)
class _Sum:
    batches: set[str]
    entries: list[Entry]


def read_receipts(s3: Any, bucket: str, since: datetime) -> Iterator[ReceiptFile]:
    """The receipts of batches that were made since then. Raises ServiceError when the bucket cannot be read."""
    try:
        keys = list(_find_receipts(s3, bucket, since))
        with ThreadPoolExecutor(_READERS) as readers:
            receipts = list(readers.map(partial(_read, s3, bucket), keys))
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(f"reading receipts in s3://{bucket}/{_PREFIX} failed: {error}") from error
    for receipt in receipts:
        made = receipt.created_at and datetime.fromisoformat(receipt.created_at)
        if made and made >= since:
            yield receipt


def _find_receipts(s3: Any, bucket: str, since: datetime) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_PREFIX):
        for entry in page.get("Contents", []):
            # A receipt is written when its batch ends, so one that is older is of an older batch.
            if entry["Key"].endswith(_SUFFIX) and entry["LastModified"].astimezone(UTC) >= since:
                yield entry["Key"]


def _read(s3: Any, bucket: str, key: str) -> ReceiptFile:
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        return parse_receipt(content)
    except msgspec.DecodeError as error:
        raise ServiceError(f"s3://{bucket}/{key} is no receipt: {error}") from error


def sum_costs(receipts: Iterable[ReceiptFile], by: By) -> list[Row]:
    """The sums, the dearest first. A batch of two models counts for both of them, with its own requests for each."""
    sums: dict[str, _Sum] = {}
    for receipt in receipts:
        for entry in receipt.costs.entries if receipt.costs else ():
            name = _NAMES[by](receipt, entry)
            found = sums.setdefault(name, _Sum(set(), []))
            found.batches.add(receipt.batch_id)
            found.entries.append(entry)
    rows = [_row(name, found) for name, found in sums.items()]
    return sorted(rows, key=lambda row: (-Decimal(row.cost), row.name))


_NAMES: Mapping[By, Callable[[ReceiptFile, Entry], str]] = {
    By.TAG: lambda receipt, _: receipt.tag or NO_TAG,
    By.MODEL: lambda _, entry: entry.model,
    By.KEY: lambda receipt, _: DROP_ZONE if receipt.owner in {None, DROP_OWNER} else str(receipt.owner),
}


def _row(name: str, found: _Sum) -> Row:
    entries = found.entries
    return Row(
        name=name,
        batches=len(found.batches),
        requests=sum(entry.requests for entry in entries if entry.round == 1),
        prompt_tokens=sum(entry.prompt_tokens or 0 for entry in entries),
        completion_tokens=sum(entry.completion_tokens or 0 for entry in entries),
        cost=_sum(entry.cost for entry in entries),
        real_time_cost=_sum(entry.real_time_cost for entry in entries),
        saved=_sum(entry.saved for entry in entries),
        complete=all(entry.cost is not None and not entry.repeated for entry in entries),
        compared=all(entry.saved is not None and not entry.repeated for entry in entries),
    )


def _sum(amounts: Iterable[str | None]) -> str:
    return written(sum((Decimal(amount) for amount in amounts if amount is not None), Decimal(0)))
