"""`slacktide retry BATCH_ID`: the lines of an ended batch that failed, as a new batch."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from msgspec import Meta

from slacktide.codes import CodeClass
from slacktide_cli.answers import ApiBatch
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
from slacktide_cli.errors import UsageError
from slacktide_cli.verbs.watch import watch_batch

_LONGEST_KEY = 255  # characters of an Idempotency-Key


class LineClass(StrEnum):
    """The classes of errors that a line can have."""

    TRANSIENT = CodeClass.TRANSIENT
    GIVEN_UP = CodeClass.GIVEN_UP
    REJECTED = CodeClass.REJECTED
    INVALID_LINE = CodeClass.INVALID_LINE


class Retried(msgspec.Struct, frozen=True):
    """What `--json` prints; with `--watch` it is the document of `watch`, of the new batch."""

    batch: Annotated[ApiBatch, Meta(description="the new batch; its `retry_of` is the one that was given")]
    v: int = 1


def retry(
    context: typer.Context,
    batch_id: BatchIdArgument,
    *,
    classes: Annotated[
        list[LineClass] | None,
        typer.Option(
            "--class", help="Only lines whose error is of this class; may be repeated.", show_default="all but invalid_line"
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Another text: another new batch of the same lines.", show_default="made of batch and classes"),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the new batch to its end, as `watch` does.")] = False,
    api_url: ApiUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the failed lines of an ended batch again, as a new batch with the same options, and print its id.

    Within a day the same command means the same new batch, so it may be repeated, and no line is paid for twice by mistake.

    Exit code 0: made. 1: the API refused, for one because no line failed, or cannot be reached. 2: usage. With --watch it is
    that of watch.
    """
    api, outside = connect_api(api_url, context), outside_of(context)
    chosen = choose_idempotency_key(check_batch_id(batch_id), classes or [])
    batch = api.retry(batch_id, classes, chosen if idempotency_key is None else check_idempotency_key(idempotency_key))
    console, hints = open_consoles(as_json=as_json)
    if watch:
        say(console, batch.id)
        raise typer.Exit(watch_batch(api, batch.id, outside=outside, as_json=as_json))
    if as_json:
        print_json(Retried(batch))
        return
    typer.echo(batch.id)
    say(hints, f"Follow it: slacktide watch {batch.id}")


def choose_idempotency_key(batch_id: str, classes: Sequence[str]) -> str:
    """The key of a retry: the same for the same batch and classes, so that no line is paid for twice by mistake."""
    return "-".join(["slacktide-retry", batch_id, *sorted(set(classes))])


def check_idempotency_key(text: str) -> str:
    """Return the key. Raises UsageError when no header can carry it."""
    if not (1 <= len(text) <= _LONGEST_KEY and text.isascii() and text.isprintable() and text == text.strip()):
        raise UsageError(f"--idempotency-key is 1 to {_LONGEST_KEY} printable ASCII characters, without space at its ends.")
    return text
