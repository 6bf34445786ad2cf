"""What owners may use: kept in the table, beside the parameters of the drop zone."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from slacktide.accounts import Ledger, batches_charge, day_charge, month_charge
from slacktide.batch import DROP_OWNER
from slacktide.errors import ConflictError
from slacktide.limits import LimitRecords, Limits, OwnerLimits
from slacktide.settings import Settings

ALL = OwnerLimits(concurrent_batches=4, tokens_per_day=2_000_000_000_000, usd_per_month=Decimal("12.345678"))
PARAMETERS = Settings(
    bucket="b", table="t", event_bus="e", drop_concurrent_batches=7, drop_tokens_per_day=700, drop_usd_per_month=Decimal(70)
)


@pytest.fixture
def limits(table: Any) -> LimitRecords:
    return LimitRecords(table)


def test_what_is_set_is_found_as_it_was_set(limits: LimitRecords) -> None:
    assert limits.get("research") == OwnerLimits()
    assert limits.put("research", msgspec.structs.asdict(ALL)) == ALL
    assert limits.get("research") == ALL
    assert limits.get("other") == OwnerLimits()


def test_only_what_is_named_changes(limits: LimitRecords) -> None:
    limits.put("research", msgspec.structs.asdict(ALL))
    limits.put("research", {"tokens_per_day": None, "concurrent_batches": 5})
    assert limits.get("research") == OwnerLimits(concurrent_batches=5, usd_per_month=ALL.usd_per_month)
    assert limits.put("research", {"usd_per_month": None, "concurrent_batches": None}) == OwnerLimits()


def test_limits_are_none_of_the_accounts_and_reservations_of_their_owner(limits: LimitRecords, table: Any) -> None:
    limits.put("research", msgspec.structs.asdict(ALL))
    ledger = Ledger(table)
    for charge in (batches_charge("research", 1), day_charge("research", 0, 1, 1), month_charge("research", 0, 1, 1)):
        assert "Item" not in table.get_item(Key=charge.key)
    assert ledger.slots("research") == []


def test_an_item_of_somebody_else_is_left_alone(limits: LimitRecords, table: Any) -> None:
    table.put_item(Item={"pk": "owner#research", "sk": "limits", "owner": "other"})
    with pytest.raises(ConflictError):
        limits.put("research", {"tokens_per_day": 5})


def test_they_are_read_as_they_are_now(limits: LimitRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(limits.table, "get_item", lambda **arguments: asked.append(arguments) or {})
    limits.get("research")
    assert [arguments["ConsistentRead"] for arguments in asked] == [True]


def test_parameters_are_those_of_the_drop_zone_alone(limits: LimitRecords) -> None:
    parameters = OwnerLimits(concurrent_batches=7, tokens_per_day=700, usd_per_month=Decimal(70))
    assert Limits(limits, PARAMETERS).of(DROP_OWNER) == parameters
    assert Limits(limits, PARAMETERS).of("research") == OwnerLimits()
    assert Limits(limits, Settings(bucket="b", table="t", event_bus="e")).of(DROP_OWNER) == OwnerLimits()


@pytest.mark.parametrize("name", OwnerLimits.__struct_fields__)
def test_a_limit_of_the_table_stands_in_for_its_parameter_alone(limits: LimitRecords, name: str) -> None:
    before = Limits(limits, PARAMETERS).of(DROP_OWNER)
    limits.put(DROP_OWNER, {name: 9})
    after = Limits(limits, PARAMETERS).of(DROP_OWNER)
    assert getattr(after, name) == 9
    assert msgspec.structs.replace(after, **{name: getattr(before, name)}) == before
    limits.put(DROP_OWNER, {name: None})
    assert Limits(limits, PARAMETERS).of(DROP_OWNER) == before
