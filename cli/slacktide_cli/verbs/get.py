"""`slacktide get BATCH_ID`: all that is known of one batch."""

from typing import Annotated

import msgspec
import typer
from msgspec import Meta, Raw

from slacktide_cli.answers import ApiBatch, ApiFile, ApiPart, Receipt
from slacktide_cli.api import Api
from slacktide_cli.arguments import (
    ApiUrlOption,
    BatchIdArgument,
    JsonOption,
    check_batch_id,
    connect_api,
    open_consoles,
    print_json,
    say,
)
from slacktide_cli.errors import ManifestError
from slacktide_cli.listings import render_batch


class BatchReport(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    batch: ApiBatch
    input_file: Annotated[ApiFile | None, Meta(description="null when it was deleted")]
    receipt: Annotated[Raw | None, Meta(description="`receipt.json` as it is; null before the end")]
    parts: Annotated[list[ApiPart], Meta(description="finished parts of a batch that runs; empty from the end on")]
    v: int = 1


def get(
    context: typer.Context,
    batch_id: BatchIdArgument,
    *,
    api_url: ApiUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one batch: status, times, files; its faults if it failed; tokens and jobs if it has ended.

    Exit code 0: shown, however the batch is. 1: there is no such batch, or the API cannot be reached. 2: usage.
    """
    report = read_report(connect_api(api_url, context), check_batch_id(batch_id))
    if as_json:
        print_json(report)
        return
    receipt = None if report.receipt is None else read_receipt(bytes(report.receipt), batch_id)
    console, _ = open_consoles(as_json=False)
    say(console, "\n".join(render_batch(report.batch, file=report.input_file, receipt=receipt, parts=report.parts)))


def read_report(api: Api, batch_id: str) -> BatchReport:
    """Ask the API for the batch and what belongs to it."""
    batch = api.batch(batch_id)
    file = api.find_file(batch.input_file_id)
    if batch.status.is_final:
        return BatchReport(batch, file, Raw(api.document(batch_id, "receipt")), [])
    return BatchReport(batch, file, None, api.parts(batch_id))


def read_receipt(content: bytes, batch_id: str) -> Receipt:
    """The receipt of a batch. Raises ManifestError."""
    try:
        return msgspec.json.decode(content, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ManifestError(f"The receipt of {batch_id} is not readable as one.") from None
