"""`slacktide ls`: the batches of an API key's owner, or their files, newest first."""

from typing import Annotated

import msgspec
import typer
from msgspec import Meta

from slacktide_cli.answers import ApiBatch, ApiFile
from slacktide_cli.api import Api
from slacktide_cli.arguments import ApiUrlOption, JsonOption, connect_api, open_consoles, outside_of, print_json, say
from slacktide_cli.listings import render_batches, render_files

_PAGE = 100  # the most that the API lists of batches at once


class BatchList(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    batches: list[ApiBatch]
    has_more: Annotated[bool, Meta(description="whether there are older ones: `--after` with the last `id`")]
    v: int = 1


class FileList(msgspec.Struct, frozen=True):
    """What `--files --json` prints."""

    files: list[ApiFile]
    has_more: Annotated[bool, Meta(description="whether there are older ones: `--after` with the last `id`")]
    v: int = 1


def ls(
    context: typer.Context,
    *,
    files: Annotated[bool, typer.Option("--files", help="List uploaded files and results in place of batches.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    after: Annotated[
        str | None, typer.Option(help="Go on behind this id, the last of the list before.", show_default="from the newest on")
    ] = None,
    api_url: ApiUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your batches, newest first: status, lines done and failed, age, input file.

    Exit code 0: listed, even if there are none. 1: the API refused, or cannot be reached. 2: usage.
    """
    api, now = connect_api(api_url, context), outside_of(context).now()
    console, hints = open_consoles(as_json=as_json)
    if files:
        found, has_more = take_files(api, limit, after)
        lines, document, last = render_files(found, now), FileList(found, has_more), found[-1].id if found else ""
    else:
        batches, has_more = take_batches(api, limit, after)
        lines, document, last = render_batches(batches, now), BatchList(batches, has_more), batches[-1].id if batches else ""
    if as_json:
        print_json(document)
        return
    say(console, "\n".join(lines))
    if has_more:
        say(hints, f"There are older ones: slacktide ls {'--files ' if files else ''}--after {last}")


def take_batches(api: Api, limit: int, after: str | None) -> tuple[list[ApiBatch], bool]:
    """The newest `limit` batches behind `after`, and whether there are more."""
    found: list[ApiBatch] = []
    has_more = True
    while has_more and len(found) < limit:
        page = api.batches(limit=min(_PAGE, limit - len(found)), after=after)
        found += page.data
        after, has_more = (found[-1].id if found else None), page.has_more and bool(page.data)
    return found, has_more


def take_files(api: Api, limit: int, after: str | None) -> tuple[list[ApiFile], bool]:
    """The newest `limit` files behind `after`, and whether there are more."""
    page = api.files(limit=limit, after=after)
    return page.data, page.has_more
