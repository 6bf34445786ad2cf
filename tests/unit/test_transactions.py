"""Transactions and reservations against DynamoDB as moto plays it, and the fake table against moto."""

import itertools
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

from fakes.table import FakeTable
from fakes.wire import Wire
from slacktide.accounts import Kind, Ledger, Reservation, batches_charge, budget_charge, jobs_charge, pool_charge
from slacktide.errors import ConflictError
from slacktide.tickets import Queues, Ticket
from slacktide.transactions import TRIES, add, change, commit, delete, put

KEY = {"pk": "a", "sk": "b"}
CONDITIONS = [
    Attr("pk").exists(),
    Attr("pk").not_exists(),
    Attr("n").lte(3),
    Attr("n").lt(3),
    Attr("n").eq(3),
    Attr("t").eq("x"),
    ~Attr("t").is_in(["x", "y"]),
    Attr("missing").not_exists() | Attr("n").lte(0),
    Attr("missing").lte(5),
    (Attr("n").eq(3) & Attr("t").eq("y")) | ~Attr("n").lt(9),
]


def read(table: Any, key: dict[str, str] = KEY) -> dict[str, Any] | None:
    return table.get_item(Key=key, ConsistentRead=True).get("Item")


class TestCommit:
    def test_all_writes_are_made(self, table: Any) -> None:
        other = {"pk": "a", "sk": "c"}
        assert commit(table, [put({**KEY, "n": 1}), add(other, {"n": 5})]) == []
        assert commit(table, [change(KEY, {"n": 2, "texts": ["x"]}, Attr("n").eq(1)), delete(other, Attr("n").eq(5))]) == []
        assert read(table) == {**KEY, "n": 2, "texts": ["x"]}
        assert read(table, other) is None

    def test_or_none_where_a_condition_does_not_hold(self, table: Any) -> None:
        writes = [
            add(KEY, {"n": 1}),
            delete({"pk": "a", "sk": "c"}, Attr("pk").exists()),
            put({"pk": "x", "sk": "y"}, Attr("pk").exists()),
        ]
        assert commit(table, writes) == [1, 2]
        assert read(table) is None

    def test_one_that_met_another_is_tried_again(self) -> None:
        table, slept = Busy(TRIES - 1), []
        assert commit(table, [put(KEY)], sleep=slept.append) == []
        assert len(slept) == TRIES - 1
        assert all(0 <= pause <= 0.8 for pause in slept)

    def test_but_not_for_ever(self) -> None:
        with pytest.raises(ConflictError):
            commit(Busy(TRIES), [put(KEY)], sleep=lambda _: None)

    @pytest.mark.parametrize(
        "codes", [["ThrottlingError"], ["ValidationError", "ConditionalCheckFailed"], ["ItemCollectionSizeLimitExceeded"]]
    )
    def test_anything_else_is_raised(self, codes: list[str]) -> None:
        with pytest.raises(ClientError):
            commit(Busy(1, codes), [put(KEY)], sleep=lambda _: None)


class Busy:
    """A table whose first transactions are cancelled."""

    name = "table"

    def __init__(self, times: int, codes: list[str] | None = None) -> None:
        self.times, self.codes = times, codes or ["None", "TransactionConflict"]
        self.meta = self
        self.client = self

    def transact_write_items(self, **_: Any) -> None:
        self.times -= 1
        if self.times >= 0:
            reasons = [{"Code": code} for code in self.codes]
            error: Any = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
            raise ClientError(error, "TransactWriteItems")


@pytest.mark.parametrize("number", range(len(CONDITIONS)))
def test_the_fake_table_decides_as_moto_does(table: Any, number: int) -> None:
    fake = FakeTable(Wire())
    items: list[dict[str, Any] | None] = [None, {"n": 3, "t": "x"}, {"n": 0, "t": "y"}, {"n": 9}]
    answers: list[list[list[int]]] = []
    for where in (table, fake):
        told = []
        for content in items:
            where.delete_item(Key=KEY)
            if content:
                where.put_item(Item=KEY | content)
            told.append(
                commit(where, [add({"pk": "c", "sk": "c"}, {"count": 1}), change(KEY, {"seen": True}, CONDITIONS[number])])
            )
        answers.append(told)
    assert answers[0] == answers[1]
    assert read(table) == read(fake)
    assert read(table, {"pk": "c", "sk": "c"}) == read(fake, {"pk": "c", "sk": "c"})


def ticket(order: str = "1", lease: int = 100, job_id: str = "r1-j1") -> Ticket:
    return Ticket("queue#together", order, "batch", job_id, "m", 5, lease)


class TestLedger:
    def test_a_limit_is_kept_to_the_last(self, table: Any) -> None:
        ledger, queues = Ledger(table), Queues(table)
        given = []
        for number in range(5):
            held = Reservation("batch", f"r1-j{number}", [pool_charge("together", "m", 3, 10), jobs_charge("together", 4)], 0)
            queues.take(ticket())
            given.append(ledger.reserve(held, ticket()))
        assert given == [True, True, True, False, False]
        account = ledger.account(held.charges[0])
        assert (account.used, account.reserved) == (9, 9)
        assert ledger.account(held.charges[1]).used == 3, "all or nothing"

    def test_a_ticket_is_used_up(self, table: Any) -> None:
        ledger, queues = Ledger(table), Queues(table)
        held = Reservation("batch", "r1-j1", [jobs_charge("together", 4)], 0)
        assert not ledger.reserve(held, ticket()), "without a ticket nothing is reserved"
        queues.take(ticket())
        assert ledger.reserve(held, ticket())
        assert queues.ahead(ticket("2"), 0) == []
        queues.take(ticket())
        assert not ledger.reserve(held, ticket()), "once"
        assert ledger.find("batch", "r1-j1") == held

    def test_more_than_the_limit_never_fits(self, table: Any) -> None:
        ledger, queues = Ledger(table), Queues(table)
        queues.take(ticket())
        assert not ledger.reserve(Reservation("batch", "r1-j1", [budget_charge("batch", 11, 10)], 0), ticket())

    def test_what_was_used_stays(self, table: Any) -> None:
        ledger, queues = Ledger(table), Queues(table)
        held = Reservation("batch", "r1-j1", [budget_charge("batch", 8, 10), jobs_charge("together", 1)], 7)
        queues.take(ticket())
        assert ledger.reserve(held, ticket())
        assert list(ledger.left_behind()) == [held]
        for _ in range(2):
            ledger.settle(held, [3, 0])
        account = ledger.account(held.charges[0])
        assert (account.used, account.reserved) == (3, 0)
        assert list(ledger.left_behind()) == []
        assert account.has_room(budget_charge("batch", 7, 10))
        assert not account.has_room(budget_charge("batch", 8, 10))

    def test_slots_are_found_by_their_owner(self, table: Any) -> None:
        ledger, queues = Ledger(table), Queues(table)
        slot = Reservation("batch", "batch", [batches_charge("drop", 1)], 7, owner="drop")
        queues.take(ticket())
        assert ledger.reserve(slot, ticket())
        assert ledger.slots("drop") == [slot]
        assert ledger.slots("dro") == []
        assert slot.charges[0].kind is Kind.CONCURRENT_BATCHES


class TestQueues:
    def test_the_order_and_the_leases(self, table: Any) -> None:
        queues = Queues(table)
        orders = ["3", "1", "2"]
        for lease, order in zip((100, 100, 50), orders, strict=True):
            queues.take(ticket(order, lease, f"r1-j{order}"))
        last = ticket("9")
        assert [one.order for one in queues.ahead(last, 49)] == ["1", "2", "3"]
        assert [one.order for one in queues.ahead(last, 50)] == ["1", "3"]
        assert [one.order for one in queues.lapsed(50)] == ["2"]
        lapsed = ticket("2", 50)
        queues.take(ticket("2", 200))
        assert not queues.drop_lapsed(lapsed, 60), "it was renewed"
        assert queues.drop_lapsed(lapsed, 200)
        assert [one.order for one in queues.ahead(last, 0)] == ["1", "3"]
        queues.leave(ticket("1"))
        assert [one.order for one in queues.ahead(ticket("3"), 0)] == []

    def test_a_queue_goes_over_pages(self, table: Any) -> None:
        queues = Queues(table)
        orders = [f"{number:03d}" for number in range(25)]
        for order in orders:
            queues.take(ticket(order))

        class Small:
            def query(self, **arguments: Any) -> Any:
                return table.query(Limit=10, **arguments)

        found = [one.order for one in Queues(Small()).ahead(ticket("9"), 0)]
        assert found == orders
        assert all(here < there for here, there in itertools.pairwise(found))
