"""A clock that a test sets."""

from dataclasses import dataclass
from datetime import UTC, datetime

START = 1_790_000_000  # 2026-09-21


@dataclass
class SettableClock:
    """Unix seconds; called, it answers the time."""

    time: int = START

    def __call__(self) -> int:
        return self.time

    def advance(self, seconds: int) -> None:
        self.time += seconds

    def advance_to(self, time: int) -> None:
        self.time = max(self.time, time)

    def utc(self) -> datetime:
        """The time as AWS clients answer it."""
        return datetime.fromtimestamp(self.time, UTC)
