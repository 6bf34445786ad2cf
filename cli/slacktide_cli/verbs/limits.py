"""`slacktide keys limit OWNER`: what the owner of API keys may use, for the operator of a stack, straight on its table."""

import re
import time
from decimal import Decimal
from typing import Annotated

import msgspec
import typer
from msgspec import Meta

from slacktide.access import AccessKeys
from slacktide.accounts import Account, Ledger
from slacktide.batch import DROP_OWNER
from slacktide.limits import LimitRecords, OwnerLimits, OwnerUsage, read_usage
from slacktide.prices import MICRO
from slacktide.receipts import written
from slacktide_cli.arguments import JsonOption, TableOption, open_consoles, print_json, say
from slacktide_cli.errors import UsageError
from slacktide_cli.listings import align
from slacktide_cli.receipts import dollars
from slacktide_cli.verbs.keys import check_name, open_table, service_errors

NO_LIMIT = "none"
_NUMBER, _DOLLARS = re.compile(r"[0-9]{1,12}"), re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_PARAMETERS = {  # of the stack, which stand in where an owner `drop` has no limit
    "concurrent_batches": "DropConcurrentBatches",
    "tokens_per_day": "DropTokensPerDay",
    "usd_per_month": "DropUsdPerMonth",
}
_USAGE = (
    "what is in use: `batches` that run, `tokens` of this day, `usd` of this month; of the last two a part is `reserved` by jobs "
    "that have not settled, which mostly use less. Null: not counted, since there is no limit"
)

OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", help="The owner of keys; `drop` is that of the drop zone.")]


class UsageDocument(msgspec.Struct, frozen=True):
    """What is in use now, with what is reserved of it; null is not counted, for want of a limit."""

    batches: int | None
    tokens: int | None
    tokens_reserved: int | None
    usd: str | None
    usd_reserved: str | None


class LimitsDocument(msgspec.Struct, frozen=True):
    """What `--json` prints. Null is no limit, or for the owner `drop` what the stack's parameter says."""

    owner: str
    concurrent_batches: Annotated[int | None, Meta(description="null: none, or that of the stack's parameter for `drop`")]
    tokens_per_day: Annotated[int | None, Meta(description="prompts and answers, on a day of UTC; null: the same")]
    usd_per_month: Annotated[Decimal | None, Meta(description="dollars in a month of UTC; null: the same")]
    usage: Annotated[UsageDocument, Meta(description=_USAGE)]
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
    """Set what OWNER may use, with all its keys together, and show it beside what is in use; without a limit given only show it.

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
        found, usage, has_key = _carry_out(owner, changes, table)
    if as_json:
        told = _describe_usage(owner, found, usage)
        print_json(LimitsDocument(owner, found.concurrent_batches, found.tokens_per_day, found.usd_per_month, told))
        return
    console, hints = open_consoles(as_json=False)
    say(console, "\n".join(align(_tell(owner, found, usage))))
    if not has_key:
        say(hints, f"No key in use belongs to {owner}. To make one: slacktide keys create NAME --owner {owner}")


def _carry_out(owner: str, changes: dict[str, int | Decimal | None], table: str | None) -> tuple[OwnerLimits, OwnerUsage, bool]:
    """The limits of an owner after the changes, what is in use, and whether there is anybody whom they are about."""
    opened = open_table(table)
    records = LimitRecords(opened)
    found = records.put(owner, changes) if changes else records.get(owner)
    usage = read_usage(Ledger(opened), owner, int(time.time()))
    has_key = any(key.owner == owner and key.revoked_at is None for key in AccessKeys(opened).all())
    return found, usage, has_key or owner == DROP_OWNER


def _is_counted(owner: str, limits: OwnerLimits, name: str) -> bool:
    """Whether a use is counted: there is a limit, or for the drop zone there may be a parameter."""
    return owner == DROP_OWNER or getattr(limits, name) is not None


def _describe_usage(owner: str, limits: OwnerLimits, usage: OwnerUsage) -> UsageDocument:
    batches, tokens, usd = (
        getattr(usage, name) if _is_counted(owner, limits, name) else None for name in OwnerUsage.__struct_fields__
    )
    return UsageDocument(
        batches=batches and batches.used,
        tokens=tokens and tokens.used,
        tokens_reserved=tokens and tokens.reserved,
        usd=usd and written(usd.used * MICRO),
        usd_reserved=usd and written(usd.reserved * MICRO),
    )


def _tell(owner: str, limits: OwnerLimits, usage: OwnerUsage) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("LIMIT", "OF " + owner, "IN USE", "RESERVED OF IT")]
    for name, parameter in _PARAMETERS.items():
        value = getattr(limits, name)
        none = f"the stack's {parameter}" if owner == DROP_OWNER else NO_LIMIT
        limit = none if value is None else f"{value:,}"
        used = _tell_account(name, getattr(usage, name)) if _is_counted(owner, limits, name) else ("not counted", "")
        rows.append((name.replace("_", "-"), limit, *used))
    return rows


def _tell_account(name: str, account: Account) -> tuple[str, str]:
    if name == "usd_per_month":
        return dollars(account.used * MICRO), dollars(account.reserved * MICRO)
    return f"{account.used:,}", "" if name == "concurrent_batches" else f"{account.reserved:,}"


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
