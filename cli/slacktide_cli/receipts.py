"""Receipts as a person reads them: what it cost, what real time would have cost, what was saved; and what is not known."""

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from slacktide.receipts import Costs, Entry, UnitPrice
from slacktide_cli.errors import UsageError

_CENT, _MICRO = Decimal("0.01"), Decimal("0.000001")
_UNKNOWN = "not known"


class ReceiptFile(msgspec.Struct, frozen=True):
    """`receipt.json`, as far as money goes; a receipt of an earlier version has no costs."""

    batch_id: str = ""
    status: Annotated[str, Meta(description="how the batch ended")] = ""
    owner: Annotated[str | None, Meta(description="whose batch it is; `drop`: the drop zone")] = None
    tag: Annotated[str | None, Meta(description="its option `tag`")] = None
    created_at: Annotated[str | None, Meta(description="when it was made, RFC 3339")] = None
    costs: Annotated[Costs | None, Meta(description="null in a receipt of a version that had none")] = None


def read_receipt(file: Path) -> ReceiptFile:
    """The receipt in a file. Raises UsageError when there is none."""
    try:
        return parse_receipt(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}. Give a receipt.json, or the folder that has one.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no receipt: {error}") from error


def parse_receipt(content: bytes) -> ReceiptFile:
    """The receipt in a JSON document. Raises msgspec.DecodeError."""
    return msgspec.json.decode(content, type=ReceiptFile)


def dollars(amount: str | Decimal | None) -> str:
    """An amount as people read it: whole cents where it is that much, millionths of a dollar below."""
    if amount is None:
        return _UNKNOWN
    value = Decimal(amount)
    rounded = value.quantize(_CENT if abs(value) >= 1 or value == 0 else _MICRO, ROUND_HALF_EVEN)
    if rounded == 0 and value != 0:
        return "less than $0.000001"
    sign, text = ("-", f"{-rounded:f}") if rounded < 0 else ("", f"{rounded:f}")
    whole, _, part = text.partition(".")
    return f"{sign}${int(whole):,}.{part.rstrip('0').ljust(2, '0')}"


def describe_costs(costs: Costs | None) -> str:
    """One sentence for the end of a run."""
    if costs is None:
        return "Cost: not known, the receipt has none."
    cost = f"Cost: {dollars(costs.cost)}" if costs.complete else f"Cost: {dollars(costs.cost)} that is known, and not all is"
    if not costs.compared:
        return f"{cost}; savings are not known for all of it (slacktide receipt)."
    saved = Decimal(costs.saved)
    verb = "saved" if saved >= 0 else "more than that was spent"
    return f"{cost}; in real time it would have been {dollars(costs.real_time_cost)}: {dollars(abs(saved))} {verb}."


def render_receipt(receipt: ReceiptFile) -> Iterator[str]:
    """The lines of a receipt for a terminal."""
    yield f"{receipt.batch_id} {receipt.status}"
    yield describe_costs(receipt.costs)
    for entry in receipt.costs.entries if receipt.costs else ():
        yield from _render_entry(entry)


def _render_entry(entry: Entry) -> Iterator[str]:
    done = _UNKNOWN if entry.completed is None else f"{entry.completed:,}"
    yield f"  round {entry.round}, {entry.backend}, {entry.model}: {entry.requests:,} requests, completed {done}"
    if entry.prompt_tokens is not None and entry.completion_tokens is not None:
        yield f"    {entry.prompt_tokens:,} tokens in, {entry.completion_tokens:,} out"
    yield f"    at {_render_price(entry.price)}: {dollars(entry.cost)}"
    compared = f"{dollars(entry.real_time_cost)}; saved {dollars(entry.saved)}"
    yield f"    in real time at {_render_price(entry.real_time_price)}: {compared}"
    if entry.note:
        yield f"    {entry.note}"


def _render_price(price: UnitPrice | None) -> str:
    if price is None:
        return "a price that is not known"
    if price.instance is not None:
        hourly = "a price that is not known" if price.usd_per_hour is None else f"${price.usd_per_hour} an hour"
        return f"{price.instances} x {price.instance} at {hourly} (as of {price.as_of})"
    return f"${price.input} in, ${price.output} out for a million tokens (as of {price.as_of})"
