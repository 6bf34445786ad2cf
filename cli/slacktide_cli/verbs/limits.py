"""`slacktide keys limit OWNER`: what the owner of API keys may use, for the operator of a stack, straight on its table."""

import re
from decimal import Decimal
from typing import Annotated

import msgspec
import typer
from msgspec import Meta

from slacktide.access import AccessKeys
from slacktide.batch import DROP_OWNER
from slacktide.limits import LimitRecords, OwnerLimits
from slacktide_cli.arguments import JsonOption, TableOption, open_consoles, print_json, say
from slacktide_cli.errors import UsageError
from slacktide_cli.listings import align
from slacktide_cli.verbs.keys import check_name, open_table, service_errors

NO_LIMIT = "none"
_NUMBER, _DOLLARS = re.compile(r"[0-9]{1,12}"), re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_PARAMETERS = {  # of the stack, which stand in where an owner `drop` has no limit
    "concurrent_batches": "DropConcurrentBatches",
    "tokens_per_day": "DropTokensPerDay",
    "usd_per_month": "DropUsdPerMonth",
}

OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", help="The owner of keys; `drop` is that of the drop zone.")]


class LimitsDocument(msgspec.Struct, frozen=True):
    """What `--json` prints. Null is no limit, or for the owner `drop` what the stack's parameter says."""

    owner: str
    concurrent_batches: Annotated[int | None, Meta(description="null: none, or that of the stack's parameter for `drop`")]
    tokens_per_day: Annotated[int | None, Meta(description="prompts and answers, on a day of UTC; null: the same")]
    usd_per_month: Annotated[Decimal | None, Meta(description="dollars in a month of UTC; null: the same")]
    v: int = 1


def limit(
    owner: OwnerArgument,
    *,
    concurrent_batches: Annotated[
        str | None,
        typer.Option(help="Batches that run at once, further ones wait; 0 or none: no limit.", show_default="as it is"),
    ] = None,
    tokens_per_day: Annotated[
        str | None, typer.Option(help="Tokens of prompts and answers on a day; 0 or none: no limit.", show_default="as it is")
    ] = None,
    usd_per_month: Annotated[
        str | None, typer.Option(help="Dollars in a month, e.g. 12.50; 0 or none: no limit.", show_default="as it is")
    ] = None,
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set what OWNER may use, with all its keys together; without a limit among the options show it.

    Exit code 0: set, or shown. 1: AWS refused. 2: usage.
    """
    check_name(owner, "OWNER")
    changes = {
        "concurrent_batches": _read_number("--concurrent-batches", concurrent_batches),
        "tokens_per_day": _read_number("--tokens-per-day", tokens_per_day),
        "usd_per_month": _read_dollars("--usd-per-month", usd_per_month),
    }
    changes = {name: value or None for name, value in changes.items() if value is not None}
    with service_errors(table):
        found, has_key = _carry_out(owner, changes, table)
    if as_json:
        print_json(LimitsDocument(owner, found.concurrent_batches, found.tokens_per_day, found.usd_per_month))
        return
    console, hints = open_consoles(as_json=False)
    say(console, "\n".join(align(_tell(owner, found))))
    if not has_key:
        say(hints, f"No key in use belongs to {owner}. To make one: slacktide keys create NAME --owner {owner}")


def _carry_out(owner: str, changes: dict[str, int | Decimal | None], table: str | None) -> tuple[OwnerLimits, bool]:
    """The limits of an owner after the changes, and whether there is anybody whom they are about."""
    opened = open_table(table)
    records = LimitRecords(opened)
    found = records.put(owner, changes) if changes else records.get(owner)
    has_key = any(key.owner == owner and key.revoked_at is None for key in AccessKeys(opened).all())
    return found, has_key or owner == DROP_OWNER


def _tell(owner: str, limits: OwnerLimits) -> list[tuple[str, str]]:
    rows = [("LIMIT", "OF " + owner)]
    for name, parameter in _PARAMETERS.items():
        value = getattr(limits, name)
        none = f"the stack's {parameter}" if owner == DROP_OWNER else NO_LIMIT
        rows.append((name.replace("_", "-"), none if value is None else f"{value:,}"))
    return rows


def _read_number(option: str, text: str | None) -> int | None:
    """A limit, 0 where there is to be none; None where nothing is said of it. Raises UsageError."""
    if text is None or text == NO_LIMIT:
        return None if text is None else 0
    if not _NUMBER.fullmatch(text):
        raise UsageError(f"{option} is a whole number of at most 12 digits, or {NO_LIMIT}.")
    return int(text)


def _read_dollars(option: str, text: str | None) -> Decimal | None:
    """The same of dollars."""
    if text is None or text == NO_LIMIT:
        return None if text is None else Decimal(0)
    if not _DOLLARS.fullmatch(text):
        raise UsageError(f"{option} is a number of dollars as 12.50, with at most six decimals, or {NO_LIMIT}.")
    return Decimal(text)
