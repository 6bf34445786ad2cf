"""The command `slacktide`: one module for each verb, registered here; errors become messages and exit codes here."""

import sys

import typer
from rich.console import Console

from slacktide_cli.errors import EXIT_CODES, CliError, ExitCode
from slacktide_cli.outside import Outside
from slacktide_cli.verbs import (
    cancel,
    costs,
    download,
    estimate,
    fake_together,
    get,
    keys,
    limits,
    ls,
    models,
    receipt,
    retry,
    run,
    validate,
    watch,
)

app = typer.Typer(
    name="slacktide",
    help="LLM batches in your own AWS account: drop a file of requests, get a file of answers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

app.command("run")(run.run)
app.command("ls")(ls.ls)
app.command("get")(get.get)
app.command("watch")(watch.watch)
app.command("download")(download.download)
app.command("retry")(retry.retry)
app.command("cancel")(cancel.cancel)
app.command("validate")(validate.validate)
app.command("estimate")(estimate.estimate)
app.command("models")(models.models)
keys.keys.command("limit")(limits.limit)
app.add_typer(keys.keys, name="keys")
app.command("receipt")(receipt.receipt)
app.command("costs")(costs.costs)
app.command("fake-together")(fake_together.fake_together)


def main(outside: Outside | None = None) -> None:
    """Run the command line; the exit code is 0, 1 (the answer is no), 2 (usage), or 130 (interrupted)."""
    try:
        app(obj=outside or Outside())
    except CliError as error:
        Console(stderr=True).print(f"slacktide: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(EXIT_CODES[type(error)])
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
