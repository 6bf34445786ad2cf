"""`slacktide keys`: made, listed and revoked straight on the table; the key is shown once."""

import json
import re
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

import boto3
import pytest

from slacktide.access import AccessKeys
from slacktide.accounts import Ledger, Reservation, batches_charge, day_charge, month_charge
from slacktide.limits import LimitRecords, OwnerLimits
from slacktide.tickets import Queues, Ticket
from slacktide_cli import app
from slacktide_cli.verbs.keys import CreatedKey, KeyDocument, KeyList, RevokedKey
from slacktide_cli.verbs.limits import LimitsDocument

KEY = re.compile(r"slk_[a-z2-7]{16}_[A-Za-z0-9_-]{43}")


class Said(Protocol):
    """What a call of the command line has printed."""

    out: str
    err: str


Call = Callable[..., tuple[int, Said]]


@pytest.fixture
def access(table: Any, monkeypatch: pytest.MonkeyPatch) -> AccessKeys:
    monkeypatch.setenv("SLACKTIDE_TABLE", table.name)
    return AccessKeys(table)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[int, Said]:
        monkeypatch.setattr(sys, "argv", ["slacktide", "keys", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return int(ended.value.code or 0), capsys.readouterr()

    return run


def test_the_key_alone_is_on_the_standard_output_and_works(call: Call, access: AccessKeys) -> None:
    code, said = call("create", "nightly")
    assert code == 0
    key = said.out.removesuffix("\n")
    assert KEY.fullmatch(key)
    found = access.find(key)
    assert found is not None
    assert (found.name, found.owner, found.requests_per_second) == ("nightly", "nightly", None)
    assert "nightly" in said.err
    assert key not in said.err


def test_owner_and_rate_are_kept(call: Call, access: AccessKeys) -> None:
    key = call("create", "dashboard", "--owner", "drop", "--requests-per-second", "0")[1].out.strip()
    found = access.find(key)
    assert found is not None
    assert (found.owner, found.requests_per_second) == ("drop", 0)


def test_a_name_in_use_is_told_and_free_again_when_it_is_revoked(call: Call, access: AccessKeys) -> None:
    key = call("create", "a")[1].out.strip()
    code, said = call("create", "a")
    assert (code, said.out) == (1, "")
    assert "slacktide keys revoke a" in said.err
    assert call("revoke", "a")[0] == 0
    assert access.find(key) is None
    assert call("create", "a")[0] == 0


def test_the_list_shows_all_keys_and_nothing_secret(call: Call, access: AccessKeys) -> None:
    shown = [
        call("create", "a", "--requests-per-second", "5")[1].out.strip(),
        call("create", "b", "--owner", "drop")[1].out.strip(),
    ]
    call("create", "c", "--requests-per-second", "0")
    call("revoke", "b")
    code, said = call("list")
    assert code == 0
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[0] == ["NAME", "OWNER", "KEY", "ID", "AGE", "RATE", "STATE"]
    assert {row[0]: row[1] for row in rows[1:]} == {"a": "a", "b": "drop", "c": "c"}
    text = {row[0]: " ".join(row[4:]) for row in rows[1:]}
    assert (text["a"], text["c"]) == ("5/s in use", "no limit in use")
    assert re.fullmatch(r"default revoked \ds ago", text["b"])
    listed = call("list", "--json")[1].out
    for key, record in zip(shown, list(access.all())[:2], strict=True):
        assert key.rpartition("_")[2] not in said.out + listed
        assert record.digest not in said.out + listed


def test_the_documents(call: Call, access: AccessKeys) -> None:
    created = json.loads(call("create", "a", "--json")[1].out)
    listed = json.loads(call("list", "--json")[1].out)
    revoked = json.loads(call("revoke", "a", "--json")[1].out)
    assert [list(document) for document in (created, listed, revoked)] == [
        list(kind.__struct_fields__) for kind in (CreatedKey, KeyList, RevokedKey)
    ]
    assert KEY.fullmatch(created["key"])
    (record,) = listed["keys"]
    assert list(record) == list(KeyDocument.__struct_fields__)
    assert record == created["record"]
    assert revoked["record"] == record | {"revoked_at": revoked["record"]["revoked_at"]}
    assert access.find(created["key"]) is None


def test_a_name_that_nobody_has_is_told(call: Call, access: AccessKeys) -> None:
    assert list(access.all()) == []
    code, said = call("revoke", "nobody")
    assert code == 1
    assert "No key in use is named nobody" in said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create"], "Missing argument"),
        (["create", "two words"], "NAME: a name"),
        (["create", "-" * 3 + "x"], "No such option"),
        (["create", "a" * 64], "NAME: a name"),
        (["create", "a", "--owner", "a#b"], "--owner: a name"),
        (["create", "a", "--owner", ""], "--owner: a name"),
        (["create", "a", "--requests-per-second", "-1"], "--requests-per-second"),
        (["revoke", "a/b"], "NAME: a name"),
        (["limit", "a#b", "--tokens-per-day", "1"], "OWNER: a name"),
        (["limit"], "Missing argument"),
    ],
)
def test_what_cannot_be_a_name_is_2(call: Call, access: AccessKeys, arguments: list[str], told: str) -> None:
    code, said = call(*arguments)
    assert code == 2
    assert told in " ".join(said.err.split())
    assert list(access.all()) == []


@pytest.mark.parametrize(
    "arguments", [["create", "a"], ["list"], ["revoke", "a"], ["limit", "a"], ["limit", "a", "--tokens-per-day", "1"]]
)
def test_a_missing_table_says_what_to_do(call: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.delenv("SLACKTIDE_TABLE", raising=False)
    code, said = call(*arguments)
    assert (code, "SLACKTIDE_TABLE" in said.err) == (2, True)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    "arguments", [["create", "a"], ["list"], ["revoke", "a"], ["limit", "a"], ["limit", "a", "--tokens-per-day", "1"]]
)
def test_a_refusal_of_aws_is_said(call: Call, arguments: list[str]) -> None:
    code, said = call(*arguments, "--table", "nobodys")
    assert code == 1
    assert "ResourceNotFoundException" in said.err
    assert "output TableName" in said.err


@pytest.mark.usefixtures("access")
def test_an_aws_without_a_region_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    code, said = call("list")
    assert (code, "region" in said.err) == (1, True)


SET = ("--concurrent-batches", "2", "--tokens-per-day", "1000000", "--usd-per-month", "12.50")


def cells(said: Said) -> list[list[str]]:
    """The table on the standard output."""
    return [re.split(" {2,}", line.strip()) for line in said.out.splitlines()]


def use(table: Any, owner: str) -> None:
    """One batch runs; of two jobs of this day and month one has settled, at less than it had reserved."""
    ledger, now = Ledger(table), int(time.time())
    for number, (tokens, dollars) in enumerate([(50_000, 2_000_000), (40_000, 4_000_000)]):
        charges = [day_charge(owner, now, tokens, 10**9), month_charge(owner, now, dollars, 10**9)]
        charges += [batches_charge(owner, 9)] * (not number)
        ticket = Ticket("queue#together", str(number), "batch", f"r1-j{number}", "m", 1, 0)
        Queues(table).take(ticket)
        reservation = Reservation(f"batch-of-{owner}", f"r1-j{number}", charges, now)
        assert ledger.reserve(reservation, ticket)
    ledger.settle(reservation, [20_000, 1_250_000])


class TestLimit:
    def test_limits_are_set_and_shown(self, call: Call, access: AccessKeys) -> None:
        call("create", "a", "--owner", "research")
        code, said = call("limit", "research", *SET)
        assert (code, said.err) == (0, "")
        assert cells(said) == [
            ["LIMIT", "OF research", "IN USE", "RESERVED OF IT"],
            ["concurrent-batches", "2", "0"],
            ["tokens-per-day", "1,000,000", "0", "0"],
            ["usd-per-month", "12.50", "$0.00", "$0.00"],
        ]
        assert LimitRecords(access.table).get("research") == OwnerLimits(2, 1_000_000, Decimal("12.5"))
        assert call("limit", "research")[1].out == said.out

    @pytest.mark.parametrize("nothing", ["0", "none"])
    def test_one_is_removed_and_the_others_stay(self, call: Call, access: AccessKeys, nothing: str) -> None:
        call("limit", "research", *SET)
        assert call("limit", "research", "--usd-per-month", nothing, "--concurrent-batches", nothing)[0] == 0
        assert LimitRecords(access.table).get("research") == OwnerLimits(tokens_per_day=1_000_000)
        assert "usd-per-month       none" in call("limit", "research")[1].out

    def test_the_document(self, call: Call, access: AccessKeys) -> None:
        assert access.table
        call("limit", "research", *SET)
        document = json.loads(call("limit", "research", "--tokens-per-day", "none", "--json")[1].out)
        assert list(document) == list(LimitsDocument.__struct_fields__)
        assert document == {
            "owner": "research",
            "concurrent_batches": 2,
            "tokens_per_day": None,
            "usd_per_month": "12.50",
            "usage": {"batches": 0, "tokens": None, "tokens_reserved": None, "usd": "0", "usd_reserved": "0"},
            "v": 1,
        }

    def test_what_is_in_use_is_shown_with_what_is_reserved_of_it(self, call: Call, access: AccessKeys) -> None:
        call("limit", "research", *SET)
        use(access.table, "research")
        assert cells(call("limit", "research")[1])[1:] == [
            ["concurrent-batches", "2", "1"],
            ["tokens-per-day", "1,000,000", "70,000", "50,000"],
            ["usd-per-month", "12.50", "$3.25", "$2.00"],
        ]
        document = json.loads(call("limit", "research", "--json")[1].out)
        assert document["usage"] == {
            "batches": 1, "tokens": 70_000, "tokens_reserved": 50_000, "usd": "3.25", "usd_reserved": "2",
        }  # fmt: skip
        assert json.loads(call("limit", "other", *SET, "--json")[1].out)["usage"]["tokens"] == 0

    def test_what_has_no_limit_is_not_counted(self, call: Call, access: AccessKeys) -> None:
        use(access.table, "research")
        assert [row[1:] for row in cells(call("limit", "research")[1])[1:]] == [["none", "not counted"]] * 3
        assert set(json.loads(call("limit", "research", "--json")[1].out)["usage"].values()) == {None}
        use(access.table, "drop")
        assert [row[2:] for row in cells(call("limit", "drop")[1])[1:]] == [["1"], ["70,000", "50,000"], ["$3.25", "$2.00"]]

    def test_to_look_changes_nothing(self, call: Call, access: AccessKeys) -> None:
        assert call("limit", "research")[0] == 0
        assert access.table.scan()["Items"] == []

    def test_an_owner_without_a_key_may_be_a_slip_of_the_pen(self, call: Call, access: AccessKeys) -> None:
        assert access.table
        call("create", "a", "--owner", "research")
        assert "No key in use belongs to reserach." in call("limit", "reserach", *SET)[1].err
        assert call("limit", "research", *SET)[1].err == ""
        call("revoke", "a")
        assert "No key in use belongs to research." in call("limit", "research")[1].err

    def test_the_drop_zone_has_the_parameters_of_the_stack_besides(self, call: Call, access: AccessKeys) -> None:
        assert access.table
        code, said = call("limit", "drop", "--tokens-per-day", "5")
        assert (code, said.err) == (0, "")
        limits = [row[1] for row in cells(said)[1:]]
        assert limits == ["the stack's DropConcurrentBatches", "5", "the stack's DropUsdPerMonth"]

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            ("--concurrent-batches", "1.5"), ("--concurrent-batches", "-1"), ("--tokens-per-day", "1" * 13),
            ("--tokens-per-day", ""), ("--tokens-per-day", "\u0661"), ("--usd-per-month", "1.2345678"),
            ("--usd-per-month", "1e3"), ("--usd-per-month", "NaN"), ("--usd-per-month", "-1"), ("--usd-per-month", "None"),
        ],
    )  # fmt: skip
    def test_what_is_no_limit_is_told(self, call: Call, access: AccessKeys, option: str, text: str) -> None:
        code, said = call("limit", "a", f"{option}={text}")
        assert (code, said.out) == (2, "")
        assert option in said.err
        assert access.table.scan()["Items"] == []
