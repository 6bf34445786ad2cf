"""What one owner of batches may use: by an item of the table, which the operator writes; of the drop zone also by parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr

from slacktide.accounts import Account, Ledger, batches_charge, day_charge, month_charge
from slacktide.batch import DROP_OWNER
from slacktide.items import from_item, update
from slacktide.settings import Settings


class OwnerLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """The limits of an owner; None is as much as they like. Days and months are those of UTC."""

    concurrent_batches: int | None = None
    tokens_per_day: int | None = None
    usd_per_month: Decimal | None = None


class OwnerUsage(msgspec.Struct, frozen=True):
    """What an owner uses by now of what is limited: batches that run, tokens of this day, millionths of a dollar of this month.

    The batches are those of the last look: one that has ended counts until the next one begins, or sweep has looked.
    """

    concurrent_batches: Account
    tokens_per_day: Account
    usd_per_month: Account


def read_usage(ledger: Ledger, owner: str, now: int) -> OwnerUsage:
    """The accounts of an owner as they are now (Unix seconds). Without a limit nothing is counted."""
    charges = batches_charge(owner, 0), day_charge(owner, now, 0, 0), month_charge(owner, now, 0, 0)
    return OwnerUsage(*map(ledger.account, charges))


@dataclass(frozen=True, slots=True)
class LimitRecords:
    """The limits in the table: (`owner#` + owner, "limits"), beside that owner's accounts."""

    table: Any

    def get(self, owner: str) -> OwnerLimits:
        """The limits of an owner as they are now; none where nobody has set any."""
        item = self.table.get_item(Key=_item_key(owner), ConsistentRead=True).get("Item")
        return from_item(item, OwnerLimits) if item else OwnerLimits()

    def put(self, owner: str, changes: Mapping[str, int | Decimal | None]) -> OwnerLimits:
        """Set the limits that are named, remove those that are None, leave the others; answers all of them."""
        fields = {name: value for name, value in changes.items() if value is not None}
        removed = tuple(name for name, value in changes.items() if value is None)
        is_theirs = Attr("owner").not_exists() | Attr("owner").eq(owner)
        return update(self.table, _item_key(owner), OwnerLimits, is_theirs, {"owner": owner, **fields}, remove=removed)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that count. They are read anew each time, so a change counts from the next look on."""

    records: LimitRecords
    settings: Settings

    def of(self, owner: str) -> OwnerLimits:
        """The limits of an owner; of the drop zone the stack's parameters, each as far as the table has no limit in its place."""
        limits = self.records.get(owner)
        if owner != DROP_OWNER:
            return limits
        here = self.settings  # 0 there is no limit
        return OwnerLimits(
            concurrent_batches=limits.concurrent_batches or here.drop_concurrent_batches or None,
            tokens_per_day=limits.tokens_per_day or here.drop_tokens_per_day or None,
            usd_per_month=limits.usd_per_month or here.drop_usd_per_month or None,
        )


def _item_key(owner: str) -> dict[str, str]:
    return {"pk": f"owner#{owner}", "sk": "limits"}
