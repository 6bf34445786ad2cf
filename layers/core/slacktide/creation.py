"""A batch of an uploaded file, created by a call: once, however often the client sends the call again."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase

from slacktide.batch import Batch
from slacktide.errors import ConflictError, SlacktideError
from slacktide.events import create_message
from slacktide.items import from_item, to_item, update
from slacktide.records import Records, batch_item
from slacktide.transactions import commit, put

KEY_SECONDS = 86_400  # for how long an Idempotency-Key means the same batch
RETRY_SECONDS = 3_600  # for how long a call that says that it is a retry does: three tries of 10 minutes, and their pauses
SILENT_SECONDS = 900  # for how long an equal call of a client that does not say whether it is one does
TRIES = 5  # of the transaction, when others create with the same key at the same moment


class KeyReusedError(SlacktideError):
    """An Idempotency-Key came again, with another call than the first time."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a client says about the call itself: its Idempotency-Key, and which retry it is (0: none, None: it does not say)."""

    idempotency_key: str | None = None
    retry_count: int | None = None


class Creation(msgspec.Struct, frozen=True):
    """What was created last by calls that are alike."""

    batch_id: str
    created_at: int
    fingerprint: str
    by_retry: bool  # the first call that came said that it was a retry, so the one before it may still come
    expires_at: int


@dataclass(frozen=True, slots=True)
class Creator:
    """Creates batches. `queue` is boto3's SQS client, `queue_url` the input queue."""

    records: Records
    queue: Any
    queue_url: str
    now: Callable[[], int]

    def create(self, make: Callable[[], Batch], owner: str, call: object, attempt: Attempt) -> Batch:
        """The batch that a call means: one that an equal call created before, if it is the same call come again, or a new one.

        `make` makes the new record; `call` is all that decides what the batch does.
        Neither client sends a key of its own accord. So a call that says that it is a retry is the call before it, and one
        that comes soon after an equal one without saying anything is that one too: to run a file twice costs money.
        Raises KeyReusedError, and ConflictError when others were always quicker.
        """
        fingerprint = _digest(owner, msgspec.json.encode(call, order="deterministic"))
        place = fingerprint if attempt.idempotency_key is None else _digest(owner, b"key\0" + attempt.idempotency_key.encode())
        batch = self._settle(make, place, fingerprint, attempt)
        return self.send(batch) if batch.is_unsent else batch

    def send(self, batch: Batch) -> Batch:
        """Have a batch validated: send its message, and note that."""
        self.queue.send_message(QueueUrl=self.queue_url, MessageBody=create_message(batch.batch_id))
        return self.records.update_batch(batch.batch_id, is_sent=True)

    def _settle(self, make: Callable[[], Batch], place: str, fingerprint: str, attempt: Attempt) -> Batch:
        for _ in range(TRIES):
            known = self._find(place)
            if known is not None and self._is_same(known, fingerprint, attempt):
                self._note_original(place, known, attempt)
                return self.records.get_batch(known.batch_id)
            batch = make()
            creation = Creation(batch.batch_id, self.now(), fingerprint, bool(attempt.retry_count), self.now() + KEY_SECONDS)
            if self._write(batch, creation, place, _still_new(known, attempt)):
                return batch
        raise ConflictError("others create batches with the same key at the same moment; try again")

    def _is_same(self, known: Creation, fingerprint: str, attempt: Attempt) -> bool:
        age = self.now() - known.created_at
        if attempt.idempotency_key is not None:
            if age <= KEY_SECONDS and known.fingerprint != fingerprint:
                raise KeyReusedError("this Idempotency-Key was used for another call; use a new one")
            return age <= KEY_SECONDS
        if attempt.retry_count is None:
            return age <= SILENT_SECONDS
        return (attempt.retry_count > 0 or known.by_retry) and age <= RETRY_SECONDS

    def _find(self, place: str) -> Creation | None:
        item = self.records.table.get_item(Key=_key(place), ConsistentRead=True).get("Item")
        return from_item(item, Creation) if item else None

    def _note_original(self, place: str, known: Creation, attempt: Attempt) -> None:
        """The call came that an earlier one was a retry of: a further one like it will be another batch."""
        if known.by_retry and attempt.retry_count == 0:
            with suppress(ConflictError):  # it has come twice at once, or another batch was created since
                update(self.records.table, _key(place), Creation, Attr("batch_id").eq(known.batch_id), {"by_retry": False})

    def _write(self, batch: Batch, creation: Creation, place: str, when: ConditionBase) -> bool:
        """Write batch and creation, both or none; False when somebody else was quicker."""
        writes = [
            put(_key(place) | to_item(creation), when),
            put(batch_item(batch), Attr("pk").not_exists()),
        ]
        return not commit(self.records.table, writes)


def _still_new(known: Creation | None, attempt: Attempt) -> ConditionBase:
    """What must hold of the place for a call to be a new one: nobody was quicker, or only such as meant batches of their own."""
    is_unchanged = Attr("pk").not_exists() if known is None else Attr("batch_id").eq(known.batch_id)
    is_original = attempt.idempotency_key is None and attempt.retry_count == 0
    return is_unchanged | Attr("by_retry").eq(False) if is_original else is_unchanged  # noqa: FBT003 - a value of the table


def _key(place: str) -> dict[str, str]:
    return {"pk": f"create#{place}", "sk": "create"}


def _digest(owner: str, content: bytes) -> str:
    return hashlib.sha256(owner.encode() + b"\0" + content).hexdigest()
