"""Dead letters: at least one message for each line of the error file, with ids, a code and a place; never the text."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import msgspec

from slacktide.batch import Batch
from slacktide.bucket import Bucket
from slacktide.codes import CLASSES, Code
from slacktide.errors import SlacktideError
from slacktide.ids import parse_request_id
from slacktide.records import Records
from slacktide.steps import Loop

T = TypeVar("T")

BATCH_ENTRIES = 10  # SQS's limit for one SendMessageBatch
SENDERS = 8
TRIES = 5
MESSAGE_BYTES = 100_000  # ten of them are less than the 1 MiB that SQS takes in one SendMessageBatch


class NotSentError(SlacktideError):
    """The queue did not take some messages, even when asked again; the step is repeated from its cursor."""


class _Error(msgspec.Struct):
    code: Code


class _ErrorLine(msgspec.Struct):
    id: str
    custom_id: str | None
    line: int
    error: _Error


@dataclass(frozen=True, slots=True)
class Message:
    """One dead letter, and the byte of the error file behind its line."""

    body: str
    ends_at: int


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Sends the dead letters of a batch; `queue` is boto3's SQS client."""

    bucket: Bucket
    records: Records
    queue: Any
    queue_url: str

    def send(self, batch_id: str, *, cursor: str | None, is_late: Callable[[], bool]) -> Loop:
        """Send messages for the error file from byte `cursor` on. A repeated step repeats messages: `batch_id:line` tells."""
        batch = self.records.get_batch(batch_id)
        pending: deque[tuple[Future[None], int]] = deque()
        with ThreadPoolExecutor(SENDERS) as senders:
            for entries in _batched(self._messages(batch, int(cursor or 0)), BATCH_ENTRIES):
                pending.append((senders.submit(self._send_batch, entries), entries[-1].ends_at))
                if len(pending) < SENDERS:
                    continue
                sent = _await_oldest(pending)
                if is_late():
                    while pending:
                        sent = _await_oldest(pending)
                    return Loop(done=False, cursor=str(sent))
            while pending:
                _await_oldest(pending)
        return Loop(done=True)

    def _messages(self, batch: Batch, start: int) -> Iterator[Message]:
        key = batch.results.errors
        for text in self.bucket.lines(key, start):
            end = start + len(text)
            yield Message(_body(batch, msgspec.json.decode(text, type=_ErrorLine), key, start, end - 1), end + 1)
            start = end + 1

    def _send_batch(self, messages: tuple[Message, ...]) -> None:
        entries = [{"Id": str(number), "MessageBody": message.body} for number, message in enumerate(messages)]
        for _ in range(TRIES):
            answer = self.queue.send_message_batch(QueueUrl=self.queue_url, Entries=entries)
            failed = {entry["Id"] for entry in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
        raise NotSentError(f"{len(entries)} messages were not taken by the dead-letter queue")


def _body(batch: Batch, line: _ErrorLine, key: str, first: int, last: int) -> str:
    request = parse_request_id(line.id)
    message = {
        "v": 1,
        "batch_id": batch.batch_id,
        "line": line.line,
        "custom_id": line.custom_id,
        "code": line.error.code,
        "class": CLASSES[line.error.code],
        "round": request.round if request else 0,
        "s3": {"bucket": batch.input.bucket, "key": key, "range": f"bytes={first}-{last}"},
    }
    text = json.dumps(message)  # ASCII: SQS refuses a message with a character that XML does not have
    return text if len(text) <= MESSAGE_BYTES else json.dumps(message | {"custom_id": None})


def _await_oldest(pending: deque[tuple[Future[None], int]]) -> int:
    """Wait until the oldest messages are sent; answers the byte behind them. All before them are sent too."""
    future, ends_at = pending.popleft()
    future.result()
    return ends_at


def _batched(entries: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """`itertools.batched`, which Python 3.11 lacks."""
    rest = iter(entries)
    while batch := tuple(islice(rest, size)):
        yield batch
