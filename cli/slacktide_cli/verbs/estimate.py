"""`slacktide estimate FILE`: what a file would cost, before anything is dropped or paid for."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Meta

from slacktide.estimating import Estimate, Estimator
from slacktide.keys import DROP_SUFFIXES
from slacktide_cli.arguments import JsonOption, open_consoles, print_json, say
from slacktide_cli.errors import ExitCode, UsageError
from slacktide_cli.estimates import render_estimate
from slacktide_cli.preflight import possible_route
from slacktide_cli.reports import visible
from slacktide_cli.verbs.models import read_table
from slacktide_cli.verbs.run import MaxInvalidRatioOption, OnInvalidOption
from slacktide_cli.verbs.validate import read_arguments
from slacktide_cli.vocabularies import find_vocabulary

_BLOCK = 1 << 18  # bytes read at once


class EstimateDocument(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    file: Annotated[str, Meta(description="the argument")]
    estimate: Estimate
    v: int = 1


def estimate(
    file: Annotated[Path, typer.Argument(help="A file of requests.", show_default=False)],
    *,
    models: Annotated[Path | None, typer.Option(help="Lay this models.toml over the shipped table.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Estimate the same file on the table's other models too.")] = False,
    instance_type: Annotated[str, typer.Option(help="TransformInstanceType of the stack, for own GPUs.")] = "ml.g6.xlarge",
    instance_count: Annotated[int, typer.Option(min=1, help="TransformInstanceCount of the stack.")] = 1,
    on_invalid: OnInvalidOption = None,
    max_invalid_ratio: MaxInvalidRatioOption = None,
    endpoint: Annotated[str | None, typer.Option(help="The only endpoint of the file; that of lines without a url.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate what FILE would cost: tokens, and dollars by each backend of its models' routes. Nothing is sent.

    Exit code 0: estimated, and every line would run. 1: there are bad lines, or the file would be refused. 2: usage.
    """
    options = read_arguments(on_invalid=on_invalid, max_invalid_ratio=max_invalid_ratio, endpoint=endpoint)
    estimator = Estimator(read_table(models), possible_route, find_vocabulary, instance_type, instance_count)
    if not file.name.endswith(DROP_SUFFIXES):
        raise UsageError(f"{file}: a dropped file ends in {', '.join(DROP_SUFFIXES)}. Rename it.")
    try:
        with file.open("rb") as content:
            blocks = iter(lambda: content.read(_BLOCK), b"")
            size = os.fstat(content.fileno()).st_size
            found = estimator.estimate(blocks, name=file.name, size=size, options=options, compare=compare)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    if as_json:
        print_json(EstimateDocument(visible(str(file)), found))
    else:
        console, _ = open_consoles(as_json=False)
        for line in render_estimate(str(file), found):
            say(console, visible(line))
    raise typer.Exit(ExitCode.OK if found.failure is None and not found.invalid else ExitCode.FAILED)
