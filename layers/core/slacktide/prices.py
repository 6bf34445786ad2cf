"""What tokens cost: prices with the day on which they were known, exact in decimal; what is not known is None, never zero."""

from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PER = 1_000_000  # tokens, for which prices are given
MICRO = Decimal("0.000001")  # USD


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USD for a million tokens of prompts and of answers."""

    input: Decimal
    output: Decimal

    def __post_init__(self) -> None:
        if not all(amount.is_finite() and amount >= 0 for amount in (self.input, self.output)):
            raise ValueError("a price is a number of at least 0")

    def cost(self, tokens_in: int, tokens_out: int) -> Decimal:
        """USD, exact: nothing is rounded."""
        return (self.input * tokens_in + self.output * tokens_out) / PER

    def reduced(self, share: Decimal) -> "Price":
        """The price with a share of it off."""
        return Price(self.input * (1 - share), self.output * (1 - share))


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A backend's terms for a model as they were known on a day, and where that stands. Whatever is not known is None.

    `batch_discount` is the share off the real-time price; `batch` the price itself, where it is no such share of it.
    `batchable` is what the backend says; whether a stack tries is for `Upstream.batchable`. `ends` is the day of its withdrawal.
    """

    as_of: Annotated[date, Meta(description="the day on which they were known")]
    source: Annotated[str, Meta(min_length=1, description="where they were read")]
    currency: Literal["USD"] = "USD"
    real_time: Annotated[Price | None, Meta(description="dollars for a million tokens of prompts and of answers")] = None
    batch_discount: Annotated[Decimal | None, Meta(description="the share off it in batches")] = None
    batch: Annotated[Price | None, Meta(description="the price in batches, where it is no such share")] = None
    batchable: Annotated[bool | None, Meta(description="whether the backend says that it runs it in batches")] = None
    ends: Annotated[date | None, Meta(description="the last day of the model there")] = None

    def __post_init__(self) -> None:
        share = self.batch_discount
        if share is not None and not (share.is_finite() and 0 <= share <= 1):
            raise ValueError("batch_discount is a share from 0 to 1")

    @property
    def batch_price(self) -> Price | None:
        """What tokens cost in batches; None when that is not known."""
        if self.batch is not None or self.real_time is None or self.batch_discount is None:
            return self.batch
        return self.real_time.reduced(self.batch_discount)


class Hours(msgspec.Struct, frozen=True):
    """What own GPUs cost: instances of a type, by the hour; None is not known."""

    instance: str
    instances: int
    usd_per_hour: Decimal | None
    as_of: date
    source: str

    def cost(self, seconds: int) -> Decimal | None:
        """USD for the time of a job, rounded up to millionths."""
        if self.usd_per_hour is None:
            return None
        return (self.usd_per_hour * self.instances * seconds / 3_600).quantize(MICRO, ROUND_CEILING)


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job's work costs, as it was known when the job was planned: by tokens, or by hours of own GPUs.

    `compared` are the terms whose real-time price is the one to save from.
    """

    tokens: Terms | None = None
    hours: Hours | None = None
    compared: Terms | None = None


def micro_dollars(amount: Decimal) -> int:
    """An amount of USD in whole millionths, rounded up: for reservations, which must not be too small."""
    return int((amount / MICRO).to_integral_value(ROUND_CEILING))
