"""`slacktide validate FILE...`: what the pipeline would find in a file, before anything is dropped or paid for."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from slacktide.batch import Failure, Options
from slacktide.keys import DROP_SUFFIXES
from slacktide.models import ModelTable
from slacktide.options import read_options
from slacktide.settings import Settings
from slacktide_cli.arguments import JsonOption, print_json
from slacktide_cli.errors import ExitCode, UsageError
from slacktide_cli.models import rewrite_models
from slacktide_cli.preflight import Report, examine
from slacktide_cli.reports import Document, FileDocument, build_document, render_report, visible
from slacktide_cli.verbs.models import read_table
from slacktide_cli.verbs.run import MaxInvalidRatioOption, OnInvalidOption, OnlyModelOption

STANDARD_INPUT = "-"
_PLAIN_SUFFIX = ".jsonl"
_BLOCK = 1 << 18  # bytes read at once
_STEP = 1 << 20  # bytes between two movements of the bar
_BIG = 16 << 20  # bytes; a smaller file is done before a bar can be seen


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of requests; - is the standard input.")],
    *,
    model: Annotated[str | None, typer.Option(help="Check as if each line asked this model, as `run --model` does.")] = None,
    models: Annotated[
        Path | None, typer.Option(help="Lay this models.toml over the shipped table, as the stack does with config/models.toml.")
    ] = None,
    on_invalid: OnInvalidOption = None,
    max_invalid_ratio: MaxInvalidRatioOption = None,
    endpoint: Annotated[str | None, typer.Option(help="The only endpoint of the file; that of lines without a url.")] = None,
    only_model: OnlyModelOption = None,
    faults: Annotated[int, typer.Option(min=0, max=100_000, help="How many faults of each file to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Check FILEs as the pipeline would, here: no AWS, no network, nothing is sent.

    Exit code 0: every line would run. 1: there are faults, or a file would be refused. 2: usage, or a file cannot be read.
    """
    if files.count(STANDARD_INPUT) > 1:
        raise UsageError("- stands twice, but the standard input can be read only once.")
    options = read_arguments(on_invalid=on_invalid, max_invalid_ratio=max_invalid_ratio, endpoint=endpoint, only_model=only_model)
    table = read_table(models)
    console, notices = Console(soft_wrap=True), Console(stderr=True)
    documents: list[FileDocument] = []
    code = ExitCode.OK
    for file in files:
        try:
            report = read_report(file, model=model, table=table, options=options, most=faults, notices=notices)
        except UsageError as error:
            code = ExitCode.USAGE
            documents.append(FileDocument(visible(file), unreadable=visible(str(error))))
            _say(notices, f"slacktide: {visible(str(error), notices.encoding)}")
            continue
        code = max(code, ExitCode.OK if report.is_clean else ExitCode.FAILED)
        documents.append(build_document(file, report))
        if not as_json:
            _say(console, "\n".join(render_report(file, report, options, console.encoding)))
    if as_json:
        print_json(Document(code is ExitCode.OK, documents))
    raise typer.Exit(code)


def read_arguments(
    *, on_invalid: str | None, max_invalid_ratio: float | None, endpoint: str | None, only_model: str | None = None
) -> Options:
    """The options of the file, read as the pipeline reads them from its metadata. Raises UsageError."""
    given = {
        "on-invalid": on_invalid,
        "max-invalid-ratio": None if max_invalid_ratio is None else f"{max_invalid_ratio:g}",
        "endpoint": endpoint,
        "only-model": only_model,
    }
    metadata = {name: str(value) for name, value in given.items() if value is not None}
    options = read_options(
        metadata, Settings(bucket="", table="", event_bus=""), 0
    )  # only its windows are read, at their defaults
    if isinstance(options, Failure):
        raise UsageError(f"A file with these options would fail: {options.code}: {options.message}")
    return options


def read_report(file: str, *, model: str | None, table: ModelTable, options: Options, most: int, notices: Console) -> Report:
    """Examine one file, with a progress bar if it is big. Raises UsageError when it cannot be read."""
    name = _name(file, model)
    if name is not None and not name.endswith(DROP_SUFFIXES):
        endings = ", ".join(DROP_SUFFIXES)
        raise UsageError(f"{file}: a dropped file ends in {endings}. Rename it, or give its content to `slacktide validate -`.")
    if name is not None and model is not None and not name.endswith(_PLAIN_SUFFIX):
        raise UsageError(f"--model reads the lines of {_PLAIN_SUFFIX} files; {file} is none. Decompress it first.")
    try:
        with _open(file) as content, _progress(content, file, notices) as moved:
            pieces, size = _read(content, model, moved), os.fstat(content.fileno()).st_size or None  # a pipe has none
            return examine(pieces, name=name, size=size, models=table, options=options, most=most)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error


def _name(file: str, model: str | None) -> str | None:
    """The name that says whether a file is compressed; the standard input has none, and shows it by its first bytes."""
    if file != STANDARD_INPUT:
        return Path(file).name
    return None if model is None else f"stdin{_PLAIN_SUFFIX}"  # models can be rewritten in plain lines only


def _read(content: IO[bytes], model: str | None, moved: Callable[[int], None]) -> Iterable[bytes]:
    if model is None:
        return _tell(iter(lambda: content.read(_BLOCK), b""), moved)
    return rewrite_models(_tell(content, moved), model)


def _tell(pieces: Iterable[bytes], moved: Callable[[int], None]) -> Iterator[bytes]:
    """The pieces, as they are; `moved` is told the bytes from time to time."""
    read = 0
    for piece in pieces:
        yield piece
        read += len(piece)
        if read >= _STEP:
            moved(read)
            read = 0


@contextmanager
def _open(file: str) -> Generator[IO[bytes]]:
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as content:
        yield content


@contextmanager
def _progress(content: IO[bytes], file: str, console: Console) -> Generator[Callable[[int], None]]:
    """A bar on a terminal for a big file, and for one whose size is not known; gone when it is done."""
    size = os.fstat(content.fileno()).st_size
    if not console.is_terminal or 0 < size < _BIG:
        yield lambda _: None
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(visible(Path(file).name), total=size or None)
        yield lambda count: bar.advance(task, count)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
