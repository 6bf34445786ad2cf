"""API keys: shown once, kept as hashes, found by their ids, counted."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from slacktide.access import RATE_WINDOW, AccessKeys
from slacktide.errors import ConflictError, NotFoundError

START = 1_000_000_000 // RATE_WINDOW * RATE_WINDOW


@pytest.fixture
def access(table: Any) -> AccessKeys:
    return AccessKeys(table)


def test_a_key_is_found_by_what_its_owner_shows(access: AccessKeys) -> None:
    key, text = access.create("name", "owner", 1)
    assert access.find(text) == key
    assert (key.name, key.owner, key.created_at) == ("name", "owner", 1)


def test_only_a_hash_is_kept(access: AccessKeys, table: Any) -> None:
    _, text = access.create("name", "owner", 1)
    assert text[21:] not in str(table.scan()["Items"])
    assert len(text[21:]) == 43, "256 bits"


def test_two_keys_differ(access: AccessKeys) -> None:
    (one, first), (other, second) = access.create("a", "owner", 1), access.create("b", "owner", 1)
    assert one.key_id != other.key_id
    assert first[21:] != second[21:]


@pytest.mark.parametrize("change", ["", "x", "slk_", "{0} ", " {0}", "{0}a", "{0}\n", "SLK{0}", "slk_{1}_", "slk_{1}_{2}\u0661"])
def test_what_is_no_key_is_not_looked_for(change: str, access: AccessKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = access.create("name", "owner", 1)
    _, key_id, secret = text.split("_", 2)

    def refuse(**_: Any) -> None:
        raise AssertionError("the table is asked")

    monkeypatch.setattr(access.table, "get_item", refuse)
    assert access.find(change.format(text, key_id, secret[:-1])) is None


def test_the_secret_of_another_key_does_not_fit(access: AccessKeys) -> None:
    (_, one), (_, other) = access.create("a", "owner", 1), access.create("b", "owner", 1)
    assert access.find(one[:21] + other[21:]) is None
    assert access.find(f"slk_{'a' * 16}_{one[21:]}") is None


def test_a_revoked_key_is_unknown_and_its_name_is_free(access: AccessKeys) -> None:
    key, text = access.create("name", "owner", 1)
    with pytest.raises(ConflictError, match="a key named name"):
        access.create("name", "other", 2)
    assert access.revoke("name", 3).revoked_at == 3
    assert access.find(text) is None
    with pytest.raises(NotFoundError, match="no key named name"):
        access.revoke("name", 4)
    again, second = access.create("name", "owner", 5)
    assert access.find(second) == again
    assert [one.key_id for one in access.all()] == [key.key_id, again.key_id], "the oldest first, revoked ones too"


class TestRate:
    def test_calls_up_to_the_rate_pass(self, access: AccessKeys) -> None:
        key, _ = access.create("name", "owner", 1, requests_per_second=2)
        assert [access.count_call(key, START + 3, 50) for _ in range(2 * RATE_WINDOW)] == [None] * 2 * RATE_WINDOW
        assert access.count_call(key, START + 3, 50) == RATE_WINDOW - 3
        assert access.count_call(key, START + RATE_WINDOW - 1, 50) == 1
        assert access.count_call(key, START + RATE_WINDOW, 50) is None, "a new window"

    def test_a_key_without_a_rate_has_the_setting(self, access: AccessKeys) -> None:
        key, _ = access.create("name", "owner", 1)
        assert [access.count_call(key, START, 1) for _ in range(RATE_WINDOW + 1)][-2:] == [None, RATE_WINDOW]

    @pytest.mark.parametrize(("own", "setting"), [(0, 5), (None, 0)])
    def test_no_rate_is_no_limit_and_no_write(self, own: int | None, setting: int, access: AccessKeys, table: Any) -> None:
        key, _ = access.create("name", "owner", 1, requests_per_second=own)
        assert access.count_call(key, START, setting) is None
        assert table.scan()["Count"] == 1

    def test_keys_are_counted_apart_and_counts_are_forgotten(self, access: AccessKeys, table: Any) -> None:
        (one, _), (other, _) = (access.create(name, "owner", 1, requests_per_second=1) for name in "ab")
        for _ in range(RATE_WINDOW):
            access.count_call(one, START, 9)
        assert access.count_call(one, START, 9)
        assert access.count_call(other, START, 9) is None
        counts = [item for item in table.scan()["Items"] if item["sk"].startswith("calls#")]
        assert all(START + RATE_WINDOW < item["expires_at"] < START + 10 * RATE_WINDOW for item in counts)

    def test_a_table_that_fails_is_no_rate(self, access: AccessKeys, monkeypatch: pytest.MonkeyPatch) -> None:
        key, _ = access.create("name", "owner", 1)
        broken: Any = {"Error": {"Code": "InternalServerError"}}

        def fail(**_: Any) -> None:
            raise ClientError(broken, "UpdateItem")

        monkeypatch.setattr(access.table, "update_item", fail)
        with pytest.raises(ClientError):
            access.count_call(key, START, 1)
