"""The time of one invocation."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Unix seconds now, and the end of this invocation's working time."""

    now: Callable[[], int]
    ends_at: float

    @property
    def is_late(self) -> bool:
        """Whether this invocation should answer and go on in another."""
        return self.now() >= self.ends_at
