"""What the upstream should have and does not show: believed to be gone only when nothing else was said for long.

Kept in the bucket from look to look, since each may be in another invocation. Whoever believes too early pays twice: what is gone
here is run again elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from slacktide.bucket import Bucket

LEAST_LOOKS = 4  # in a row, since nobody may have looked in between


class _Absence(msgspec.Struct):
    """Since when (Unix seconds), and how many looks in a row have said so; 0: none."""

    since: float
    looks: int


@dataclass(frozen=True, slots=True)
class Absences:
    """The absences of one job, by name; `prefix` is where they are kept, `now` tells Unix seconds."""

    bucket: Bucket
    prefix: str
    now: Callable[[], float]

    def is_lasting(self, name: str, seconds: float) -> bool:
        """Note one more look that did not find it; whether it counts as gone, after so many seconds of that and nothing else."""
        now, before = self.now(), self._read(name)
        absence = _Absence(before.since if before.looks else now, before.looks + 1)
        self.bucket.write_json(self._key(name), absence)
        return absence.looks >= LEAST_LOOKS and now - absence.since >= seconds

    def interrupt(self, *names: str) -> None:
        """Anything but "not there", an outage too, says that it may be there: what was counted up to then proves nothing."""
        for name in names:
            if self._read(name).looks:
                self.bucket.write_json(self._key(name), _Absence(0, 0))

    def _read(self, name: str) -> _Absence:
        """Listed, not asked for: to a role that may list a prefix alone, S3 answers 403 for an object that is missing."""
        key = self._key(name)
        is_noted = any(True for _ in self.bucket.list(key))
        return self.bucket.read_json(key, _Absence) if is_noted else _Absence(0, 0)

    def _key(self, name: str) -> str:
        return f"{self.prefix}absent/{name}.json"
