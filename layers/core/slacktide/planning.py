"""Plan round: re-attach what is not settled, then make jobs of the lines that are still undone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
from boto3.dynamodb.conditions import Attr

from slacktide.batch import Batch, Job, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.errors import ConflictError, ObjectMissingError
from slacktide.executions import Executions
from slacktide.ids import job_execution_name, job_id
from slacktide.model_tables import ModelTables
from slacktide.notifications import Announcer
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus, JobState
from slacktide.steps import Plan, StartJob, grow

MOST_ATTEMPTS = 12  # executions of one job that may die before its lines are given up


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the rounds of a batch. Planning twice makes the same plan."""

    bucket: Bucket
    records: Records
    executions: Executions
    announcer: Announcer
    tables: ModelTables
    settings: Settings
    now: Callable[[], int]

    def plan(self, batch_id: str) -> Plan:
        """The executions to start next; none when the batch is to be assembled."""
        batch = self.records.get_batch(batch_id)
        if batch.status.is_final or batch.status is BatchStatus.FINALIZING:
            return Plan(has_jobs=False, jobs=[], wait_seconds=0)
        attached = [self._attach(job) for job in self._jobs(batch) if not job.state.is_closed]
        # Jobs are read again: one that settled in between has left lines for the next round.
        live = [job for job in attached if not job.state.is_closed] or self._next_round(batch, self._jobs(batch))
        if live and batch.status is BatchStatus.QUEUED:
            batch = self.records.change_status(batch_id, BatchStatus.IN_PROGRESS, self.now())
        self.announcer.announce(batch)
        return self._start(batch, live)

    def _jobs(self, batch: Batch) -> list[Job]:
        """The jobs that count: those of a later round are drafts of a plan that died."""
        return [job for job in self.records.jobs(batch.batch_id) if job.round <= batch.round]

    def _attach(self, job: Job) -> Job:
        """Give a job whose execution died a new one, under the same job id; one whose execution lives stays with it."""
        if self.executions.is_job_running(job):
            return job
        if job.attempt >= MOST_ATTEMPTS:
            deadline = self.records.get_batch(job.batch_id).deadline
            return self.records.abandon_job(job, self.now(), deadline, "Its executions died too often.")
        try:
            return self.records.update_job(job, when=Attr("attempt").eq(job.attempt), attempt=job.attempt + 1)
        except ConflictError:
            return self.records.get_job(job.batch_id, job.job_id)

    def _next_round(self, batch: Batch, jobs: list[Job]) -> list[Job]:
        if batch.refused or batch.is_cancelling or self.now() >= batch.deadline - self.settings.assembly_reserve:
            return []
        index = self.bucket.read_json(batch.keys.index, LineIndex)
        undone = undone_lines(self.bucket, batch, jobs)
        planned = list(self._plan_jobs(batch, index, undone, jobs))
        if planned:
            self.bucket.write(batch.keys.undone(batch.round + 1), bytes(undone), "application/octet-stream")
            for job in planned:
                self.records.put_job(job)
            # Only now do the jobs count: a plan that died half way is made again, over its drafts.
            self.records.update_batch(batch.batch_id, when=Attr("round").eq(batch.round), round=batch.round + 1)
        return planned

    def _plan_jobs(self, batch: Batch, index: LineIndex, undone: Bitmap, jobs: list[Job]) -> Iterator[Job]:
        routes = self.tables.routes(batch.models_version)
        number = 0
        for group in index.groups:
            model = routes.models.find(group.model)
            route = routes.route(model) if model else []
            steps = len({job.round for job in jobs if job.group == group.group})
            if model is None or steps >= len(route):
                continue
            backend = routes.backends[route[steps]]
            members = Bitmap(batch.total, self.bucket.read(batch.keys.members(group.group)))
            for first, last, total in split(members & undone, backend.limits.job_requests):
                number += 1
                yield Job(
                    batch_id=batch.batch_id,
                    job_id=job_id(batch.round + 1, number),
                    round=batch.round + 1,
                    backend=route[steps],
                    model=model.id,
                    upstream_model=backend.upstream_model(model) or model.id,
                    endpoint=group.endpoint,
                    group=group.group,
                    first=first,
                    last=last,
                    total=total,
                    created_at=self.now(),
                )

    def _start(self, batch: Batch, jobs: list[Job]) -> Plan:
        starts = [StartJob(job.job_id, job.attempt, job_execution_name(job.batch_id, job.job_id, job.attempt)) for job in jobs]
        wait = 0
        for _ in range(max((job.attempt for job in jobs), default=0)):  # jobs that keep dying are started ever more slowly
            wait = grow(
                wait,
                first=self.settings.wait_first,
                longest=self.settings.wait_longest,
                ends=[batch.deadline],
                now=self.now(),
            )
        return Plan(has_jobs=bool(jobs), jobs=starts, wait_seconds=wait)


def split(lines: Bitmap, most: int | None) -> Iterator[tuple[int, int, int]]:
    """Cut lines into ranges of even size, at most `most` lines each: first line, last line, number of lines."""
    total = len(lines)
    if total == 0:
        return
    pieces = 1 if most is None else -(-total // most)
    first, piece = 0, 1
    for seen, line in enumerate(lines, 1):
        first = first or line
        if seen == total * piece // pieces:
            yield first, line, total * piece // pieces - total * (piece - 1) // pieces
            first, piece = 0, piece + 1


def undone_lines(bucket: Bucket, batch: Batch, jobs: list[Job]) -> Bitmap:
    """The lines that are valid and that no job has finished for good."""
    undone = Bitmap.full(batch.total) - Bitmap(batch.total, bucket.read(batch.keys.invalid))
    for job in jobs:
        if job.state is JobState.SETTLED:
            undone -= Bitmap(batch.total, bucket.read(job.keys.settled))
        elif job.state is JobState.ABANDONED:
            undone -= lines_of_job(bucket, batch, job)
    return undone


def lines_of_job(bucket: Bucket, batch: Batch, job: Job) -> Bitmap:
    """The lines that were given to a job."""
    members = Bitmap(batch.total, bucket.read(batch.keys.members(job.group)))
    undone = Bitmap(batch.total, bucket.read(batch.keys.undone(job.round)))
    return (members & undone).between(job.first, job.last)


class _Line(msgspec.Struct):
    body: msgspec.Raw


def group_lines(bucket: Bucket, batch: Batch, index: LineIndex, job: Job, start: int) -> Iterator[tuple[int, bytes]]:
    """The valid lines of a job's group from `start` to the job's last, with their bodies: the users' own bytes.

    An object holds the lines of the group from its first to its last, so the group's bitmap tells their numbers.
    """
    parts = next((entry.parts for entry in index.groups if entry.group == job.group), None)
    if parts is None:
        raise ObjectMissingError(f"the index knows no group {job.group}")
    members = Bitmap(batch.total, bucket.read(batch.keys.members(job.group)))
    decoder = msgspec.json.Decoder(_Line)
    for part in parts:
        if part.last < start or part.first > job.last:
            continue
        numbers = members.between(part.first, part.last)
        for line, text in zip(numbers, bucket.lines(part.key), strict=True):
            if start <= line <= job.last:
                yield line, bytes(decoder.decode(text).body)
