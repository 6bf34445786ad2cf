"""What one owner of batches may use; None means as much as they like."""

from decimal import Decimal

import msgspec

from slacktide.batch import DROP_OWNER
from slacktide.settings import Settings


class OwnerLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """The limits of an owner: an API key's stand in its record, those of the drop zone are parameters of the stack.

    Days and months are those of UTC.
    """

    concurrent_batches: int | None = None
    tokens_per_day: int | None = None
    usd_per_month: Decimal | None = None
    requests_per_second: int | None = None


def read_limits(settings: Settings, owner: str) -> OwnerLimits:
    """The limits that the stack's parameters set; 0 there is no limit."""
    if owner != DROP_OWNER:
        return OwnerLimits()
    return OwnerLimits(
        concurrent_batches=settings.drop_concurrent_batches or None,
        tokens_per_day=settings.drop_tokens_per_day or None,
        usd_per_month=settings.drop_usd_per_month or None,
    )
