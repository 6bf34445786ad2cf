"""`slacktide models`: the model table, shipped or with a file of one's own laid over it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slacktide.errors import ModelTableError
from slacktide.models import Model, ModelTable, read_override, shipped_models
from slacktide_cli.errors import UsageError


def models(
    *,
    file: Annotated[
        Path | None, typer.Option(help="Lay this models.toml over the shipped table, as the stack does with config/models.toml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as a JSON list.")] = False,
) -> None:
    """List the models that Slacktide knows, or check a model table before it goes into the bucket.

    Exit code 0: listed. 2: the file cannot be read, or is wrong; every wrong row is named.
    """
    rows = read_table(file).rows
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
    else:
        Console().print(draw_table(rows))


def read_table(file: Path | None) -> ModelTable:
    """The shipped table, with `file` laid over it. Raises UsageError, which says what is wrong with the file."""
    if file is None:
        return shipped_models()
    try:
        return read_override(file.read_bytes(), shipped_models())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}. Give a model table in TOML.") from error
    except ModelTableError as error:
        raise UsageError(f"{file} cannot be followed: {error}") from error


def draw_table(rows: list[Model]) -> Table:
    """The models as a table for a terminal."""
    table = Table("model", "aliases", "parameters", "window", "endpoints", "route")
    table.columns[0].no_wrap = True  # an id is there to be copied
    table.columns[3].justify = "right"
    for model in rows:
        cells = (
            model.id,
            ", ".join(model.aliases),
            model.parameters or "unknown",
            "unknown" if model.context is None else f"{model.context:,}",
            ", ".join(endpoint.removeprefix("/v1/") for endpoint in model.endpoints),
            ", ".join(model.route) if model.enabled else "switched off",
        )
        table.add_row(*map(Text, cells), style=None if model.enabled else "dim")
    return table
