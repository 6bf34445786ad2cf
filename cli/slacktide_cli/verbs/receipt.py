"""`slacktide receipt FILE`: a receipt as a person reads it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slacktide_cli.receipts import read_receipt, render_receipt
from slacktide_cli.reports import visible

_NAME = "receipt.json"


def receipt(
    file: Annotated[Path, typer.Argument(help="A receipt.json, or the folder of results that has it.", show_default=False)],
) -> None:
    """Show what a batch cost and saved, by model, backend and round.

    Exit code 0: shown. 2: there is no receipt.
    """
    console = Console()
    for line in render_receipt(read_receipt(file / _NAME if file.is_dir() else file)):
        console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
