"""The page: what a person has written, with what the code says in the places that are marked."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from slacktide.models import Model
from slacktide_cli.arguments import KEY_VARIABLE
from slacktide_cli.errors import EXIT_CODES, ExitCode
from slacktide_cli.manual.commands import find_commands, find_variables, render_command
from slacktide_cli.manual.fields import TABLES, render_fields
from slacktide_cli.reports import Document
from slacktide_cli.verbs import cancel, costs, download, estimate, get, keys, limits, ls, models, receipt, retry, run, watch

TEMPLATE = Path(__file__).with_name("page.md")
_MARK = re.compile(r"^\{\{(\w+)(?: (.+))?\}\}$", re.MULTILINE)
_HEAD = "<!-- Made by `make docs` of cli/slacktide_cli/manual/page.md and of the command line itself. -->\n\n"

DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "run": run.RunDocument,
    "ls": ls.BatchList,
    "ls --files": ls.FileList,
    "get": get.BatchReport,
    "watch": watch.Ending,
    "download": download.Downloaded,
    "download --parts": download.DownloadedParts,
    "retry": retry.Retried,
    "cancel": cancel.Cancelled,
    "validate": Document,
    "estimate": estimate.EstimateDocument,
    "models": Model,
    "models --fit": models.FitsDocument,
    "receipt": receipt.ReceiptDocument,
    "costs": costs.CostsDocument,
    "keys create": keys.CreatedKey,
    "keys list": keys.KeyList,
    "keys revoke": keys.RevokedKey,
    "keys limit": limits.LimitsDocument,
}
OUTCOMES: dict[ExitCode, str] = {
    ExitCode.OK: "Done, and the answer is yes.",
    ExitCode.FAILED: "Done, and the answer is no; or not done, because somebody refused.",
    ExitCode.USAGE: "Not done, because it cannot be done as it was asked for.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C; a batch that was followed goes on.",
}


def render_page() -> str:
    """The whole of docs/cli.md. Raises KeyError for a mark that means nothing."""
    return _HEAD + _MARK.sub(lambda mark: "\n".join(_FILLERS[mark[1]](mark[2])), TEMPLATE.read_text())


def find_marks(kind: str) -> list[str]:
    """What the marks of a kind are about, in the order of the template."""
    return [argument for name, argument in _MARK.findall(TEMPLATE.read_text()) if name == kind]


def _verb(name: str) -> Iterator[str]:
    return render_command(name, find_commands()[name])


def _document(name: str) -> Iterator[str]:
    return render_fields(DOCUMENTS[name])


def _table(name: str) -> Iterator[str]:
    (kind,) = [kind for kind, title in TABLES.items() if title == name]
    return render_fields(kind)


def _exits(_: str) -> Iterator[str]:
    yield from ("| code | | |", "|---|---|---|")
    for code, meaning in OUTCOMES.items():
        reasons = [" ".join((kind.__doc__ or "").split()) for kind, exit_code in EXIT_CODES.items() if exit_code is code]
        yield f"| `{int(code)}` | {meaning} | {' '.join(reasons)} |"


def _variables(_: str) -> Iterator[str]:
    found = find_variables()
    yield from ("| variable | verbs |", "|---|---|")
    for variable, verbs in {**found, KEY_VARIABLE: found["SLACKTIDE_API_URL"]}.items():
        yield f"| `{variable}` | {', '.join(f'`{verb}`' for verb in verbs)} |"


_FILLERS: dict[str, Callable[[str], Iterator[str]]] = {
    "verb": _verb,
    "document": _document,
    "table": _table,
    "exits": _exits,
    "variables": _variables,
}
