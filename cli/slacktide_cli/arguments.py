"""Arguments and options that several verbs have, and how their values are checked."""

import os
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from slacktide.ids import BATCH_ID
from slacktide_cli.api import Api
from slacktide_cli.errors import UsageError
from slacktide_cli.outside import Outside

KEY_VARIABLE = "SLACKTIDE_API_KEY"

BatchIdArgument = Annotated[
    str, typer.Argument(metavar="BATCH_ID", help="The id that run, ls and retry show: batch_ and 26 characters.")
]
ApiUrlOption = Annotated[
    str | None, typer.Option(envvar="SLACKTIDE_API_URL", help="Where the HTTP API is (output ApiUrl).", show_default=False)
]
BucketOption = Annotated[
    str | None, typer.Option(envvar="SLACKTIDE_BUCKET", help="Slacktide's bucket (output BucketName).", show_default=False)
]
TableOption = Annotated[
    str | None, typer.Option(envvar="SLACKTIDE_TABLE", help="Slacktide's table (output TableName).", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document; all else goes to the standard error.")]


def check_batch_id(text: str) -> str:
    """Return the id. Raises UsageError when it cannot be one."""
    if not BATCH_ID.fullmatch(text):
        raise UsageError(
            "That is no batch id: one is batch_ and 26 characters of a to z and 2 to 7, as `slacktide ls` shows them."
        )
    return text


def connect_api(url: str | None, context: typer.Context) -> Api:
    """The HTTP API with the key of the environment. Raises UsageError, which names all that is missing."""
    key = os.environ.get(KEY_VARIABLE)
    missing = [name for name, value in {"SLACKTIDE_API_URL": url, KEY_VARIABLE: key}.items() if not value]
    if missing or not url or not key:
        raise UsageError(
            f"{' and '.join(missing)} missing. `source .slacktide/local.env` after `make up`; or set SLACKTIDE_API_URL to the "
            f"output ApiUrl of your stack, and {KEY_VARIABLE} to the key that its operator gave you (slacktide keys create NAME)."
        )
    return Api(url, key, outside_of(context))


def outside_of(context: typer.Context) -> Outside:
    """Network and time, as the command line was called with them."""
    return context.ensure_object(Outside)


def open_consoles(*, as_json: bool) -> tuple[Console, Console]:
    """Where a verb shows what it does, and where its hints go: beside a JSON document the standard error is left for both."""
    hints = Console(stderr=True)
    return (hints if as_json else Console()), hints


def say(console: Console, text: str) -> None:
    """Print a text as it is, in lines as long as they are."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(document: object) -> None:
    """Print the one document of a verb."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
