"""What happened, for tests to count: calls, batches, and which lines were billed. No key and no presigned URL is kept."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

KEPT = 100_000  # calls; a server that is kept running is polled for days


class CallEntry(msgspec.Struct, frozen=True):
    """One call. `status` is null when no answer was sent; `retry_count` is the client's own `x-stainless-retry-count`."""

    time: float
    call: str
    path: str
    status: int | None
    fault: str | None = None
    retry_count: int | None = None


class BatchEntry(msgspec.Struct):
    """One batch: its lines, those that were billed, those of them whose result a script then destroyed, and the billed tokens."""

    id: str
    input_file_id: str
    created_at: float
    status: str
    custom_ids: list[str] = []
    billed: list[str] = []
    destroyed: list[str] = []
    faults: list[str] = []
    tokens_in: int = 0
    tokens_out: int = 0


class Ledger:
    """The newest calls, and every batch."""

    def __init__(self) -> None:
        self.calls: deque[CallEntry] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self.entries: dict[str, BatchEntry] = {}

    @property
    def batches(self) -> list[BatchEntry]:
        """Every batch that was created, in that order, whether the client learned of it or not."""
        return list(self.entries.values())

    def note_call(self, entry: CallEntry) -> None:
        self.calls.append(entry)
        self.counts[entry.call] += 1

    def note_batch(self, entry: BatchEntry) -> None:
        self.entries[entry.id] = entry

    def export(self) -> dict[str, Any]:
        """As JSON values: `calls, counts, batches`."""
        return {
            "calls": msgspec.to_builtins(list(self.calls)),
            "counts": dict(self.counts),
            "batches": msgspec.to_builtins(self.batches),
        }


def _itself(custom_id: str) -> str:
    return custom_id


def find_paid_twice(batches: Iterable[BatchEntry], identity: Callable[[str], str] = _itself) -> dict[str, list[str]]:
    """The lines that were paid for more than once, with the batches that did. A destroyed result may be paid for again.

    `identity`: what makes two custom_ids the same line; Slacktide's carry a round, which does not.
    """
    paid: dict[str, list[str]] = {}
    destroyed: Counter[str] = Counter()
    for batch in batches:
        for custom_id in batch.billed:
            paid.setdefault(identity(custom_id), []).append(batch.id)
        destroyed.update(identity(custom_id) for custom_id in batch.destroyed)
    return {line: ids for line, ids in paid.items() if len(ids) - destroyed[line] > 1}
