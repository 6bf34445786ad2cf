"""Finished parts of a batch that still runs: the answers of its settled jobs, with the users' custom_ids."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from slacktide.api.batches import BatchService
from slacktide.api.errors import NoSuchThingError
from slacktide.batch import Batch, Job, LineIndex, ObjectRef, Part, Summary
from slacktide.bucket import Bucket
from slacktide.errors import ObjectMissingError
from slacktide.ids import FileKind
from slacktide.links import Links
from slacktide.parts import read_parts
from slacktide.records import Records
from slacktide.results import give_custom_id, is_success, result_reader
from slacktide.statuses import JobState

_PART_ID = re.compile(r"(r\d{1,4}-j\d{1,6})\.(\d{1,6})")


class FinishedPart(msgspec.Struct, frozen=True):
    """Answers that are final: lines of the output file, in line order, from `first` to `last` of one job."""

    id: str
    job_id: str
    round: int
    model: str
    endpoint: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PartService:
    """What can be had of a batch before its end."""

    bucket: Bucket
    records: Records
    batches: BatchService
    links: Links

    def finished(self, owner: str, batch_id: str) -> list[FinishedPart]:
        """The parts that there are by now; none any more of a batch whose working data has expired."""
        batch = self.batches.get(owner, batch_id)
        return [view for view, _ in self._parts(batch)]

    def locate(self, owner: str, batch_id: str, part_id: str) -> str:
        """A presigned URL of a part. Raises NoSuchThingError."""
        batch = self.batches.get(owner, batch_id)
        for view, part in self._parts(batch) if _PART_ID.fullmatch(part_id) else ():
            if view.id == part_id:
                return self.links.to_get(self._write(batch, view, part))
        raise NoSuchThingError("There is no such part.")

    def _parts(self, batch: Batch) -> Iterator[tuple[FinishedPart, Part]]:
        if FileKind.OUTPUT in batch.deleted:  # they hold what it held
            return
        for job in self.records.counted_jobs(batch):
            if job.state is JobState.SETTLED and job.completed:
                yield from ((_view(job, number, part), part) for number, part in enumerate(self._collected(job), 1))

    def _collected(self, job: Job) -> list[Part]:
        try:
            return self.bucket.read_json(job.keys.summary, Summary).parts
        except ObjectMissingError:  # too old: working data is kept for some days
            return []

    def _write(self, batch: Batch, view: FinishedPart, part: Part) -> ObjectRef:
        """The part with custom_ids, written when it is first asked for."""
        key = batch.keys.finished(view.job_id, int(view.id.rpartition(".")[2]))
        head = self.bucket.head(key)
        if head is None:
            self.bucket.write(key, b"".join(self._lines(batch, view, part)))
            head = self.bucket.head(key) or {}
        return ObjectRef(self.bucket.name, key, str(head["VersionId"]), head["ContentLength"])

    def _lines(self, batch: Batch, view: FinishedPart, part: Part) -> Iterator[bytes]:
        index = self.bucket.read_json(batch.keys.index, LineIndex)
        first = next((ids.first for ids in index.custom_ids if ids.last >= part.first), part.first)
        custom_ids = enumerate(read_parts(self.bucket, index.custom_ids, part.first), first)
        read = result_reader(batch.batch_id, view.round)
        for number, result in map(read, self.bucket.lines(part.key)):
            custom_id = next(text for line, text in custom_ids if line == number)
            if is_success(result):
                yield give_custom_id(result, custom_id) + b"\n"


def _view(job: Job, number: int, part: Part) -> FinishedPart:
    return FinishedPart(f"{job.job_id}.{number}", job.job_id, job.round, job.model, job.endpoint, part.first, part.last)
