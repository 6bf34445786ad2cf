"""Which backend answered a line: for the option `show-backend`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from slacktide.batch import Batch, Job
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.undone import lines_of_job


class Origin(msgspec.Struct, frozen=True):
    """The field `slacktide` of an output line."""

    backend: str
    round: int


@dataclass(slots=True)
class Origins:
    """Knows the jobs of a batch by round and line. For a round with several backends the lines of its jobs are read, once."""

    bucket: Bucket
    batch: Batch
    jobs: Sequence[Job]
    _rounds: dict[int, list[tuple[str, Bitmap | None]]] = field(default_factory=dict)

    def find(self, line: int, round_number: int) -> Origin | None:
        """Where a line was answered in a round; None when no job of that round had it."""
        if round_number not in self._rounds:
            self._rounds[round_number] = self._read(round_number)
        for backend, lines in self._rounds[round_number]:
            if lines is None or line in lines:
                return Origin(backend, round_number)
        return None

    def _read(self, round_number: int) -> list[tuple[str, Bitmap | None]]:
        jobs = [job for job in self.jobs if job.round == round_number]
        backends = {job.backend for job in jobs}
        if len(backends) == 1:
            return [(backends.pop(), None)]
        return [(job.backend, lines_of_job(self.bucket, self.batch, job)) for job in jobs]
