"""Plan round: re-attach what is not settled, then make jobs of the lines that are still undone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import or_

from boto3.dynamodb.conditions import Attr

from slacktide.backends.protocol import Backend
from slacktide.batch import Batch, Group, Job, LineIndex, Waiting
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.errors import ConflictError
from slacktide.executions import Executions
from slacktide.ids import job_execution_name, job_id
from slacktide.instances import price_hours
from slacktide.model_tables import ModelTables
from slacktide.models import OWN_GPUS, Model
from slacktide.notifications import Announcer
from slacktide.prices import Rate
from slacktide.records import Records
from slacktide.routes import choose_step, find_fallback
from slacktide.settings import Settings
from slacktide.slots import Slots
from slacktide.splitting import split
from slacktide.statuses import BatchStatus
from slacktide.steps import Plan, StartJob, grow
from slacktide.timetable import fallback_begins, is_last_round, is_overdue, reserve_begins
from slacktide.undone import tried_lines, undone_lines

# A plan may have 256 KiB and an execution 25,000 events, of which a start takes 7; what is more is started by the next plan.
MOST_STARTS = 1_000
MOST_REVIVED = 250  # in one go: each takes a question about its execution, of which all batches share some 10 a second
MOST_ATTEMPTS = 12  # executions of one job that may die before its lines are given up


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a model's route, from 0, and who carries it out."""

    number: int
    route: list[str]
    model: Model
    backend: Backend


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the rounds of a batch. Planning twice makes the same plan."""

    bucket: Bucket
    records: Records
    executions: Executions
    announcer: Announcer
    tables: ModelTables
    batch_slots: Slots
    settings: Settings
    now: Callable[[], int]

    def plan(self, batch_id: str) -> Plan:
        """The executions to start next; none when the batch is to be assembled."""
        batch = self.records.get_batch(batch_id)
        if batch.status.is_final or batch.status is BatchStatus.FINALIZING:
            return Plan(has_jobs=False, jobs=[], wait_seconds=0)
        if self._is_held(batch):
            self.announcer.announce(batch)
            wait = max(0, batch.begins_at - self.now())  # that may have taken until then
            return Plan(has_jobs=False, jobs=[], wait_seconds=wait, is_held=True)
        if (place := self._place_in_queue(batch)) is not None:
            return self._hold_back(batch, place)
        live, starts = self._revive([job for job in self.records.counted_jobs(batch) if not job.state.is_closed])
        if all(is_overdue(batch, job, self.settings, self.now()) for job in live):
            # Jobs are read again: one that settled in between has left lines for the next round.
            batch, planned = self._add_round(batch, live)
            live, starts = live + planned, starts + planned
        if live and batch.status is BatchStatus.QUEUED:
            batch = self.records.change_status(batch_id, BatchStatus.IN_PROGRESS, self.now())
        self.announcer.announce(batch)
        return self._start(batch, starts[:MOST_STARTS]) if live else Plan(has_jobs=False, jobs=[], wait_seconds=0)

    def _is_held(self, batch: Batch) -> bool:
        is_waiting = batch.status is BatchStatus.QUEUED and not batch.refused
        return is_waiting and self.now() < batch.begins_at

    def _place_in_queue(self, batch: Batch) -> int | None:
        """The place of a batch that waits for others of its owner; None when it may go on, if only to its end."""
        is_over = batch.refused or self.now() >= reserve_begins(batch, self.settings)
        if batch.status is not BatchStatus.QUEUED:
            return None
        if is_over:
            self.batch_slots.leave(batch)
            return None
        return self.batch_slots.enter(batch, self.now())

    def _hold_back(self, batch: Batch, place: int) -> Plan:
        """Note where a batch stands, tell of it, and look again later."""
        waiting = Waiting(batch.waiting.since if batch.waiting else self.now(), place)
        if waiting != batch.waiting:
            batch = self.records.update_batch(batch.batch_id, waiting=waiting)
        self.announcer.announce(batch)
        self.announcer.publish_if_due(batch, [], self.settings.progress_interval)
        wait = grow(
            self.now() - waiting.since,
            first=self.settings.wait_first,
            longest=self.settings.wait_longest,
            ends=[reserve_begins(batch, self.settings)],
            now=self.now(),
        )
        return Plan(has_jobs=False, jobs=[], wait_seconds=wait, is_held=True)

    def _add_round(self, batch: Batch, live: list[Job]) -> tuple[Batch, list[Job]]:
        """Plan the lines that are free; `live` jobs are past the cut-off and keep theirs. Answers the new jobs."""
        jobs = self.records.counted_jobs(batch)
        planned = self._next_round(batch, jobs)
        closed = sum(job.state.is_closed for job in jobs)
        if live and closed != batch.closed_jobs:
            batch = self.records.update_batch(batch.batch_id, closed_jobs=closed)
        return batch, planned

    def _revive(self, jobs: list[Job]) -> tuple[list[Job], list[Job]]:
        """The jobs that are still open, and those of them that are to be started: their executions died, or never began."""
        dead = islice(self.executions.find_dead(jobs, self.now()), MOST_REVIVED)
        attached = {job.job_id: self._attach(job) for job in dead}
        live = [job for job in (attached.get(job.job_id, job) for job in jobs) if not job.state.is_closed]
        return live, [job for job in live if job.job_id in attached]

    def _attach(self, job: Job) -> Job:
        """Give a job whose execution died a new one, under the same job id."""
        if job.attempt >= MOST_ATTEMPTS:
            deadline = self.records.get_batch(job.batch_id).deadline
            return self.records.abandon_job(job, self.now(), deadline, "Its executions died too often.")
        try:
            return self.records.update_job(job, when=Attr("attempt").eq(job.attempt), attempt=job.attempt + 1)
        except ConflictError:
            return self.records.get_job(job.batch_id, job.job_id)

    def _next_round(self, batch: Batch, jobs: list[Job]) -> list[Job]:
        is_last = is_last_round(batch, self.settings, self.now())
        if batch.refused or is_last or batch.round >= self._most_rounds(batch):
            return []
        index = self.bucket.read_json(batch.keys.index, LineIndex)
        undone = undone_lines(self.bucket, batch, jobs)
        lines = Bitmap(batch.total)
        planned: list[Job] = []
        for group, step, free in self._next_steps(batch, index, undone, jobs):
            lines |= free
            planned += self._make_jobs(batch, group, step, free, len(planned))
        if planned:
            # By the number of its plan a planner that hangs meanwhile can neither replace these jobs nor let its own count.
            self.records.begin_plan(batch)
            plan = batch.plan + 1
            self.bucket.write(batch.keys.undone(batch.round + 1, plan), bytes(lines), "application/octet-stream")
            for job in planned:
                self.records.put_job(job)
            # Only now do the jobs count: a plan that died half way is made again, over its drafts.
            self.records.count_plan(batch, plan)
        return planned

    def _most_rounds(self, batch: Batch) -> int:
        return batch.options.max_rounds or self.settings.max_rounds

    def _next_steps(
        self, batch: Batch, index: LineIndex, undone: Bitmap, jobs: list[Job]
    ) -> Iterator[tuple[Group, Step, Bitmap]]:
        """The groups that have undone lines and a step left for them, with that step and those lines."""
        routes = self.tables.routes(batch.models_version, batch.options.route)
        is_cut_off = self.now() >= fallback_begins(batch, self.settings)
        for group in index.groups:
            model = routes.models.find(group.model)
            if model is None:
                continue
            route = routes.route(model)
            tried = tried_lines(self.bucket, batch, group.group, jobs, undone)
            steps = [(choose_step(route, taken, is_cut_off=is_cut_off), lines) for taken, lines in tried if len(lines)]
            left = [(step, lines) for step, lines in steps if step is not None]
            if left:
                # Lines that have had different steps go on together, with the earliest.
                step = min(step for step, _ in left)
                free = reduce(or_, (lines for _, lines in left))
                yield group, Step(step, route, model, routes.backends[route[step]]), free

    def _make_jobs(self, batch: Batch, group: Group, step: Step, lines: Bitmap, before: int) -> Iterator[Job]:
        is_last = batch.round + 1 >= self._most_rounds(batch)
        for number, (first, last, total) in enumerate(split(lines, step.backend.limits, group.parts), before + 1):
            yield Job(
                batch_id=batch.batch_id,
                job_id=job_id(batch.round + 1, number),
                round=batch.round + 1,
                backend=step.route[step.number],
                model=step.model.id,
                upstream_model=step.backend.upstream_model(step.model) or step.model.id,
                endpoint=group.endpoint,
                group=group.group,
                first=first,
                last=last,
                total=total,
                created_at=self.now(),
                step=step.number,
                plan=batch.plan + 1,
                fallback=None if is_last else find_fallback(step.route, step.number),
                rate=self._rate(step),
            )

    def _rate(self, step: Step) -> Rate:
        """What the work of a job costs, as it is known now: its receipt goes by this, whatever the table says by then."""
        backend = step.route[step.number]
        hours = price_hours(self.settings.transform_instance_type, self.settings.transform_instance_count)
        return Rate(
            tokens=step.model.terms(backend),
            hours=hours if backend == OWN_GPUS else None,
            compared=step.model.real_time_terms(backend),
        )

    def _start(self, batch: Batch, jobs: list[Job]) -> Plan:
        starts = [StartJob(job.job_id, job.attempt, job_execution_name(job.batch_id, job.job_id, job.attempt)) for job in jobs]
        wait = 0
        for _ in range(max((job.attempt for job in jobs), default=1)):  # jobs that keep dying are started ever more slowly
            wait = grow(
                wait,
                first=self.settings.wait_first,
                longest=self.settings.wait_longest,
                ends=[batch.deadline],
                now=self.now(),
            )
        return Plan(has_jobs=True, jobs=starts, wait_seconds=wait)
