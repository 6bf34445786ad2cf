"""`slacktide receipt FILE`: a receipt as a person reads it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from slacktide_cli.arguments import JsonOption, open_consoles, print_json, say
from slacktide_cli.receipts import ReceiptFile, read_receipt, render_receipt
from slacktide_cli.reports import visible

_NAME = "receipt.json"


class ReceiptDocument(ReceiptFile, frozen=True):
    """What `--json` prints."""

    v: int = 1


def receipt(
    file: Annotated[Path, typer.Argument(help="A receipt.json, or the folder of results that has it.", show_default=False)],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what a batch cost and saved, by model, backend and round.

    Exit code 0: shown. 2: usage, or there is no receipt.
    """
    found = read_receipt(file / _NAME if file.is_dir() else file)
    if as_json:
        print_json(ReceiptDocument(**msgspec.structs.asdict(found)))
        return
    console, _ = open_consoles(as_json=False)
    for line in render_receipt(found):
        say(console, visible(line))
