"""`slacktide models`: the model table, shipped or with a file of one's own laid over it."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Meta
from rich.console import Console
from rich.text import Text

from slacktide.errors import ModelTableError
from slacktide.instances import Fit, InstanceTable, find_fits, shipped_instances
from slacktide.models import Model, ModelTable, read_override, shipped_models
from slacktide_cli.arguments import print_json
from slacktide_cli.errors import UsageError

# What the manual says of the field with this name.
_FITS = (
    "the instance types that it fits, the GPUs of them that share it, the tokens of cache that are left, and their price "
    "(null is unknown) with its day; an empty list: it fits none; null: not known, the table has no weights of it"
)


class FitDocument(msgspec.Struct, frozen=True):
    """An instance type that a model fits."""

    instance: str
    gpu: str
    gpus: int
    cache_tokens: int
    usd_per_hour: Decimal | None
    as_of: date


class FitsDocument(msgspec.Struct, frozen=True):
    """A row of what `--fit --json` prints."""

    model: Annotated[str, Meta(description="its id")]
    fits: Annotated[list[FitDocument] | None, Meta(description=_FITS)]


def models(
    *,
    file: Annotated[
        Path | None, typer.Option(help="Lay this models.toml over the shipped table, as the stack does with config/models.toml.")
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Say which instance types of SageMaker's transform jobs a model fits.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list; all else goes to the standard error.")] = False,
) -> None:
    """List the models that Slacktide knows, or check a model table before it goes into the bucket.

    Exit code 0: listed. 2: usage, or the file cannot be read, or is wrong; every wrong row is named.
    """
    rows = read_table(file).rows
    if as_json:
        print_json([list_fits(model, shipped_instances()) for model in rows] if fit else rows)
        return
    console = Console()
    for model in rows:
        console.print(describe(model), soft_wrap=True)
        for line in describe_fits(model, shipped_instances()) if fit else ():
            console.print(f"    {line}", soft_wrap=True, highlight=False)


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


def describe(model: Model) -> Text:
    """A model in two lines that fit a terminal of 80 columns: its names, and what is known of it."""
    names = " ".join((model.id, *(f"({alias})" for alias in model.aliases)))
    window = "window unknown" if model.context is None else f"{model.context:,} tokens"
    endpoints = ", ".join(endpoint.removeprefix("/v1/").removesuffix("/completions") for endpoint in model.endpoints)
    steps = [(name, len(list(run))) for name, run in groupby(model.route)]
    route = ", ".join(name if times == 1 else f"{name} x{times}" for name, times in steps) if model.enabled else "switched off"
    text = Text(names, style="bold" if model.enabled else "dim")
    return text.append(f"\n    {model.parameters or 'size unknown'}, {window}; {endpoints}; {route}", style="not bold")


def describe_fits(model: Model, table: InstanceTable) -> Iterator[str]:
    """The smallest instance type of each family that a model fits; or that there is none, or that it is not known."""
    fits = find_fits(model, table)
    if fits is None:
        yield "own GPUs: not known, the table has no weights of it"
        return
    if not fits:
        yield "own GPUs: fits no instance type, so there is no fallback"
    for _, found in groupby(fits, key=lambda fit: fit.instance.family):
        yield _describe_fit(min(found, key=lambda fit: (fit.instance.usd_per_hour or 0, fit.instance.gpus)), table)


def list_fits(model: Model, table: InstanceTable) -> FitsDocument:
    """All instance types that a model fits."""
    fits = find_fits(model, table)
    return FitsDocument(model.id, None if fits is None else [_list_fit(fit, table) for fit in fits])


def _list_fit(fit: Fit, table: InstanceTable) -> FitDocument:
    instance = fit.instance
    return FitDocument(instance.name, instance.gpu, fit.gpus, fit.cache_tokens, instance.usd_per_hour, table.as_of)


def _describe_fit(fit: Fit, table: InstanceTable) -> str:
    instance = fit.instance
    gpus = instance.gpu if fit.gpus == 1 else f"{fit.gpus} {instance.gpu}"
    price = "price unknown" if instance.usd_per_hour is None else f"${instance.usd_per_hour}/h as of {table.as_of}"
    return f"{instance.name}: {gpus}, {price}"
