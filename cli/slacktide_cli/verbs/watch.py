"""`slacktide watch BATCH_ID`: follow a batch to its end."""

from typing import Annotated

import msgspec
import typer
from msgspec import Meta
from rich.console import Console

from slacktide.statuses import BatchStatus
from slacktide_cli.answers import ApiBatch
from slacktide_cli.api import Api
from slacktide_cli.arguments import (
    ApiUrlOption,
    BatchIdArgument,
    JsonOption,
    check_batch_id,
    connect_api,
    open_consoles,
    outside_of,
    print_json,
    say,
)
from slacktide_cli.errors import ExitCode
from slacktide_cli.following import follow
from slacktide_cli.outside import Outside
from slacktide_cli.reports import visible
from slacktide_cli.views import choose_view


class Ending(msgspec.Struct, frozen=True):
    """What `--json` prints at the end."""

    ok: Annotated[bool, Meta(description="whether the batch is `completed`, and so the exit code 0")]
    batch: ApiBatch
    v: int = 1


def watch(
    context: typer.Context,
    batch_id: BatchIdArgument,
    *,
    api_url: ApiUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a batch to its end. Ctrl-C leaves it running.

    Exit code 0: completed. 1: failed, expired or cancelled; or there is no such batch, or the API did not answer for 10 minutes.
    2: usage. 130: interrupted.
    """
    api = connect_api(api_url, context)
    raise typer.Exit(watch_batch(api, check_batch_id(batch_id), outside=outside_of(context), as_json=as_json))


def watch_batch(api: Api, batch_id: str, *, outside: Outside, as_json: bool) -> ExitCode:
    """Show a batch up to its end; the exit code says how it ended."""
    console, hints = open_consoles(as_json=as_json)
    try:
        batch = show_to_the_end(api, batch_id, outside, console)
    except KeyboardInterrupt:
        say(
            hints,
            f"{batch_id} goes on without you. To look again: slacktide watch {batch_id}; to end it: slacktide cancel {batch_id}",
        )
        return ExitCode.INTERRUPTED
    is_good = batch.status is BatchStatus.COMPLETED
    if as_json:
        print_json(Ending(is_good, batch))
    for fault in batch.errors.data[:1] if batch.errors else []:
        say(hints, visible(f"{fault.code}: {fault.message}"))
    say(hints, f"Its results: slacktide download {batch_id}")
    return ExitCode.OK if is_good else ExitCode.FAILED


def show_to_the_end(api: Api, batch_id: str, outside: Outside, console: Console) -> ApiBatch:
    """Show each change of a batch; answers the last one."""
    batch = None
    with choose_view(console) as view:
        for batch in follow(api, batch_id, outside):
            view.show(batch)
    if batch is None:  # follow ends with a final batch or an error
        raise AssertionError("followed to the end, and saw no batch")
    return batch
