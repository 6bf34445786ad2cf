"""A batch of an uploaded file is created once, however often its call comes."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fakes.clock import SettableClock
from slacktide.batch import Batch, ObjectRef, StatusChange
from slacktide.creation import (
    KEY_SECONDS,
    RETRY_SECONDS,
    SILENT_SECONDS,
    TRIES,
    Attempt,
    Creator,
    KeyReusedError,
)
from slacktide.errors import SlacktideError
from slacktide.events import Created, read_event
from slacktide.ids import new_batch_id
from slacktide.records import Records
from slacktide.statuses import BatchStatus

CALL = {"file": "file-a", "endpoint": "/v1/chat/completions"}
OTHER = {**CALL, "endpoint": "/v1/embeddings"}
FIRST, RETRY, SILENT = Attempt(retry_count=0), Attempt(retry_count=1), Attempt()
KEYED = Attempt("key", 0)


class Queue:
    """SQS: what was sent; `refusals` is how many of the next messages are not taken."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.refusals = 0

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803 - boto3's names
        assert QueueUrl == "input"
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError
        self.bodies.append(MessageBody)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def creator(records: Records, queue: Queue, clock: SettableClock) -> Creator:
    return Creator(records, queue, "input", clock)


Create = Callable[..., str]


@pytest.fixture
def create(creator: Creator, clock: SettableClock) -> Create:
    """Create; answers the batch's id."""

    def call(attempt: Attempt = FIRST, what: object = CALL, owner: str = "owner") -> str:
        return creator.create(lambda: new_batch(clock, owner), owner, what, attempt).batch_id

    return call


def new_batch(clock: SettableClock, owner: str = "owner") -> Batch:
    now = clock()
    return Batch(
        batch_id=new_batch_id(),
        owner=owner,
        status=BatchStatus.VALIDATING,
        input=ObjectRef("bucket", "uploads/file-a/000001", "v", 1),
        created_at=now,
        deadline=now + 86_400,
        history=[StatusChange(BatchStatus.VALIDATING, now)],
        is_sent=False,
    )


def test_a_new_batch_is_recorded_and_its_message_sent(create: Create, records: Records, queue: Queue) -> None:
    batch_id = create()
    assert [read_event(body, "any") for body in queue.bodies] == [Created(batch_id)]
    assert records.get_batch(batch_id).is_sent
    assert list(records.open_batches()) == [batch_id]
    assert [batch.batch_id for batch in records.batches_of_owner("owner")] == [batch_id]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        (FIRST, FIRST, False),  # twice on purpose
        (FIRST, RETRY, True),
        (FIRST, Attempt(retry_count=2), True),
        (RETRY, FIRST, True),  # the original comes late
        (RETRY, RETRY, True),
        (SILENT, SILENT, True),
        (FIRST, SILENT, True),
        (KEYED, KEYED, True),
        (KEYED, Attempt("key", 2), True),
        (KEYED, Attempt("key 2", 0), False),
        (KEYED, Attempt("key 2", 1), False),
        (KEYED, FIRST, False),  # a key stands for itself
        (FIRST, KEYED, False),
    ],
    ids=str,
)
def test_which_calls_are_the_same(first: Attempt, second: Attempt, is_same: bool, create: Create, queue: Queue) -> None:
    one, other = create(first), create(second)
    assert (one == other) == is_same
    assert len(queue.bodies) == len({one, other}), "one message for each batch"


@pytest.mark.parametrize("attempt", [RETRY, SILENT], ids=str)
def test_another_call_and_another_owner_are_others(attempt: Attempt, create: Create) -> None:
    assert len({create(attempt), create(attempt, OTHER), create(attempt, owner="other")}) == 3


def test_a_key_belongs_to_its_owner(create: Create) -> None:
    assert create(KEYED) != create(KEYED, owner="other")


def test_the_order_of_fields_does_not_matter(create: Create) -> None:
    assert create(RETRY) == create(RETRY, dict(reversed(CALL.items())))


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(RETRY, RETRY_SECONDS), (SILENT, SILENT_SECONDS), (KEYED, KEY_SECONDS)], ids=str
)
def test_how_long_a_call_is_the_same(attempt: Attempt, seconds: int, create: Create, clock: SettableClock) -> None:
    first = create(attempt)
    clock.advance(seconds)
    assert create(attempt) == first
    clock.advance(1)
    later = create(attempt)
    assert later != first
    assert create(attempt) == later, "the newest counts from now on"


def test_a_late_original_is_awaited_as_long_as_a_retry(create: Create, clock: SettableClock) -> None:
    first = create(RETRY)
    clock.advance(RETRY_SECONDS + 1)
    assert create(FIRST) != first


def test_only_one_original_is_awaited(create: Create) -> None:
    first = create(RETRY)
    assert create(FIRST) == first
    assert create(FIRST) != first, "that one was meant"


def test_retries_after_a_second_create_are_of_that_one(create: Create) -> None:
    first, second = create(FIRST), create(FIRST)
    assert create(RETRY) == second != first


def test_a_key_that_comes_with_another_call(create: Create, clock: SettableClock) -> None:
    first = create(KEYED)
    with pytest.raises(KeyReusedError):
        create(KEYED, OTHER)
    clock.advance(KEY_SECONDS + 1)
    assert create(KEYED, OTHER) != first, "a day later it may mean something else"


def test_the_key_itself_is_not_kept(create: Create, table: Any) -> None:
    create(Attempt("canary-key", 0))
    assert "canary" not in str(table.scan()["Items"])


def test_what_is_kept_is_forgotten(create: Create, table: Any, clock: SettableClock) -> None:
    create()
    (kept,) = [item for item in table.scan()["Items"] if item["sk"] == "create"]
    assert kept["expires_at"] == clock() + KEY_SECONDS


def test_a_message_that_is_not_sent_is_sent_by_the_retry(create: Create, records: Records, queue: Queue) -> None:
    queue.refusals = 1
    with pytest.raises(ConnectionError):
        create(FIRST)
    (batch_id,) = records.open_batches()
    assert not records.get_batch(batch_id).is_sent
    assert create(RETRY) == batch_id
    assert len(queue.bodies) == 1
    assert records.get_batch(batch_id).is_sent


class TestAtOnce:
    """Others create with the same key between the look and the write."""

    def interfere(self, monkeypatch: pytest.MonkeyPatch, creator: Creator, times: int, act: Callable[[], object]) -> None:
        """Before each of the next transactions `act` happens."""
        client = creator.records.table.meta.client
        write, left = client.transact_write_items, iter([True] * times)

        def interfered(**arguments: Any) -> Any:
            if next(left, False):
                act()
            return write(**arguments)

        monkeypatch.setattr(client, "transact_write_items", interfered)

    def test_the_quicker_one_wins(
        self, create: Create, creator: Creator, records: Records, queue: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        won: list[str] = []
        self.interfere(monkeypatch, creator, 1, lambda: won.append(create(RETRY)))
        assert create(Attempt(retry_count=2)) == won[0]
        assert list(records.open_batches()) == won
        assert len(queue.bodies) == 1

    def test_the_quicker_one_wins_also_where_an_older_one_is_known(
        self, create: Create, creator: Creator, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = create(RETRY)
        clock.advance(RETRY_SECONDS + 1)
        won: list[str] = []
        self.interfere(monkeypatch, creator, 1, lambda: won.append(create(RETRY)))
        assert create(Attempt(retry_count=2)) == won[0] != old

    def test_two_on_purpose_are_two(
        self, create: Create, creator: Creator, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        won: list[str] = []
        self.interfere(monkeypatch, creator, 1, lambda: won.append(create(FIRST)))
        assert create(FIRST) not in won
        assert len(list(records.open_batches())) == 2

    def test_others_on_purpose_are_not_in_the_way(
        self, create: Create, creator: Creator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many there are: whoever has to try again for each of them fails when there are many."""
        client = creator.records.table.meta.client
        write, others = client.transact_write_items, []

        def interfered(**arguments: Any) -> Any:
            monkeypatch.setattr(client, "transact_write_items", write)
            others.append(create(FIRST))
            monkeypatch.setattr(client, "transact_write_items", interfered)
            return write(**arguments)

        monkeypatch.setattr(client, "transact_write_items", interfered)
        ids = [create(FIRST), create(FIRST)]
        assert len(others) == 2, "one try each"
        assert len({*ids, *others}) == 4

    @pytest.mark.parametrize("is_one_known", [False, True])
    def test_a_retry_that_is_quicker_than_its_original(
        self, is_one_known: bool, create: Create, creator: Creator, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = create(FIRST) if is_one_known else None
        clock.advance(RETRY_SECONDS + 1)
        won: list[str] = []
        self.interfere(monkeypatch, creator, 1, lambda: won.append(create(RETRY)))
        assert create(FIRST) == won[0] != old

    def test_who_is_never_quick_enough_is_told(self, create: Create, creator: Creator, monkeypatch: pytest.MonkeyPatch) -> None:
        reasons = [{"Code": "ConditionalCheckFailed"}, {"Code": "None"}]
        conflict: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}

        def refuse() -> None:
            raise ClientError(conflict, "TransactWriteItems")

        self.interfere(monkeypatch, creator, TRIES, refuse)
        with pytest.raises(SlacktideError, match="at the same moment"):
            create()
        assert create(), "the next one is"

    def test_another_error_is_no_conflict(self, create: Create, creator: Creator, monkeypatch: pytest.MonkeyPatch) -> None:
        throttled: Any = {"Error": {"Code": "ThrottlingException"}}

        def refuse() -> None:
            raise ClientError(throttled, "TransactWriteItems")

        self.interfere(monkeypatch, creator, 1, refuse)
        with pytest.raises(ClientError, match="Throttling"):
            create()

    def test_an_original_that_comes_twice_at_once(
        self, create: Create, creator: Creator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = create(RETRY)
        find = type(creator)._find

        def find_then_another(self: Creator, place: str) -> Any:
            found = find(self, place)
            monkeypatch.setattr(type(creator), "_find", find)
            create(FIRST)
            return found

        monkeypatch.setattr(type(creator), "_find", find_then_another)
        assert create(FIRST) == first
