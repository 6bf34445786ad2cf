"""`slacktide download BATCH_ID`: the results of a batch, checked; or the parts of one that still runs."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Meta
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from slacktide.statuses import BatchStatus
from slacktide_cli.answers import ApiPart
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
from slacktide_cli.documents import Manifest, ResultFile
from slacktide_cli.downloads import Show, download_batch, download_parts, part_file
from slacktide_cli.errors import OutcomeError


class Downloaded(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    batch_id: str
    status: Annotated[BatchStatus, Meta(description="how the batch ended")]
    folder: Annotated[str, Meta(description="where output.jsonl, errors.jsonl, receipt.json and manifest.json are")]
    output: Annotated[ResultFile, Meta(description="the entry of the manifest, which the file was checked against")]
    errors: Annotated[ResultFile, Meta(description="the same of the error file")]
    v: int = 1


class DownloadedPart(msgspec.Struct, frozen=True):
    """A finished part on disk."""

    path: str
    part: ApiPart


class DownloadedParts(msgspec.Struct, frozen=True):
    """What `--parts --json` prints."""

    batch_id: str
    parts: Annotated[list[DownloadedPart], Meta(description="all that are finished by now, and where they are")]
    new: Annotated[int, Meta(description="how many of them were not in the folder before")]
    v: int = 1


def download(
    context: typer.Context,
    batch_id: BatchIdArgument,
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.", show_default="./results/<batch id>")] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Download what is finished of a batch that runs; done again, only what is new.")
    ] = False,
    api_url: ApiUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download output, errors, receipt and manifest of an ended batch, and check them against the manifest.

    Exit code 0: all is there. 1: the batch has not ended, or there is none; or the results are not what the manifest says.
    2: usage, or the folder cannot be written to.
    """
    api, folder = connect_api(api_url, context), out or Path("results") / check_batch_id(batch_id)
    console, hints = open_consoles(as_json=as_json)
    with show_progress(hints) as show:
        if parts:
            document, text = fetch_parts(api, batch_id, folder, show)
        else:
            document, text = fetch_results(api, batch_id, folder, show)
    if as_json:
        print_json(document)
    else:
        say(console, text)


def fetch_results(api: Api, batch_id: str, folder: Path, show: Show) -> tuple[Downloaded, str]:
    """Download the results. Raises OutcomeError when the batch has not ended."""
    batch = api.batch(check_batch_id(batch_id))
    if not batch.status.is_final:
        raise OutcomeError(
            f"{batch_id} is {batch.status}: its results are there when it has ended (slacktide watch {batch_id}). "
            f"What is finished by now: slacktide download {batch_id} --parts"
        )
    manifest = download_batch(api, batch, folder, show)
    document = Downloaded(batch_id, manifest.status, str(folder), manifest.output, manifest.errors)
    return document, describe_results(manifest, folder)


def fetch_parts(api: Api, batch_id: str, folder: Path, show: Show) -> tuple[DownloadedParts, str]:
    """Download what is finished."""
    found, new = download_parts(api, check_batch_id(batch_id), folder, show)
    document = DownloadedParts(batch_id, [DownloadedPart(str(part_file(folder, part)), part) for part in found], new)
    return document, f"{len(found)} parts are finished, {new} of them new; they are in {folder}/parts"


def describe_results(manifest: Manifest, folder: Path) -> str:
    """What a person wants to know of results that were downloaded."""
    return (
        f"{manifest.batch_id} {manifest.status}: {manifest.output.lines} answers, {manifest.errors.lines} errors, "
        f"{manifest.counts.total} lines; checked against the manifest.\n"
        f"Files: {folder}/output.jsonl, errors.jsonl, receipt.json, manifest.json"
    )


@contextmanager
def show_progress(console: Console) -> Generator[Show]:
    """A bar for each file on a terminal; gone when all is done."""
    if not console.is_terminal:
        yield lambda _, __: lambda ___: None
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:

        def show(name: str, size: int | None) -> Callable[[int], None]:
            task = bar.add_task(name, total=size)
            return lambda count: bar.advance(task, count)

        yield show
