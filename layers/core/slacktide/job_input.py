"""The input of a job: lines are written as objects of bounded size, and counted; what one job must not have is cut off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
from boto3.dynamodb.conditions import Attr

from slacktide.backends.spool import Spool
from slacktide.batch import Batch, Job, LineIndex
from slacktide.bucket import Bucket
from slacktide.clock import Clock
from slacktide.ids import job_id
from slacktide.keys import line_range
from slacktide.models import Model
from slacktide.prices import micro_dollars
from slacktide.quotas import Cap
from slacktide.records import Records
from slacktide.request_lines import RequestLines
from slacktide.splitting import cut_evenly
from slacktide.statuses import JobState
from slacktide.stored_lines import group_lines
from slacktide.tokens import TokenBound, bound_bodies, bound_of
from slacktide.undone import lines_of_job, members_of

WRITTEN = "written"  # the cursor behind the last line
METERED_LINES = 250  # counted at once
MOST_PIECES = 90  # that one cut makes, since they are recorded in one transaction; a piece that is too big is cut again
MOST_JOBS = 200  # of one batch, from which on no job is cut for a budget any more: each has an execution of its own


class Request(NamedTuple):
    """A request of a job: its line number, its body, and its line for the backend."""

    line: int
    body: bytes
    text: bytes


@dataclass(slots=True)
class Meter:
    """Sums up the bounds of lines, and tells when they are more than one job may need. Without a cap nothing is counted."""

    endpoint: str
    model: Model
    cap: Cap | None
    prompt: int = 0
    output: int = 0
    is_capped: bool = True

    def take(self, bodies: Sequence[bytes]) -> int:
        """Count lines, as many of the first as fit; answers how many. The first of a job always fits."""
        if self.cap is None:
            return len(bodies)
        for start in range(0, len(bodies), METERED_LINES):
            some = bodies[start : start + METERED_LINES]
            if not self._add(bound_bodies(some, self.endpoint, self.model)):
                return start + self._take_one_by_one(some)
        return len(bodies)

    def _take_one_by_one(self, bodies: Sequence[bytes]) -> int:
        for number, body in enumerate(bodies):
            if not self._add(bound_of(body, self.endpoint, self.model), is_first=not self.prompt):
                return number
        return len(bodies)

    def _add(self, bound: TokenBound, *, is_first: bool = False) -> bool:
        """Add a bound; False, and it is not added, when it is too much."""
        prompt, output = self.prompt + bound.prompt, self.output + bound.output
        if self.cap is not None and self.is_capped and not is_first and _exceeds(self.cap, prompt, output):
            return False
        self.prompt, self.output = prompt, output
        return True

    def cursor(self, line: int) -> str:
        """Where to go on, with the sums of the lines before, if they count."""
        return str(line) if self.cap is None else f"{line}:{self.prompt}:{self.output}"


def _exceeds(cap: Cap, prompt: int, output: int) -> bool:
    if cap.prompt is not None and prompt > cap.prompt:
        return True
    if cap.tokens is not None and prompt + output > cap.tokens:
        return True
    if cap.micro_dollars is None or cap.price is None:
        return False
    return micro_dollars(cap.price.cost(prompt, output)) > cap.micro_dollars


@dataclass(slots=True)
class Draft:
    """The input of a job whose backend takes it as one file: written to the function's disk while its lines are counted."""

    content: Spool
    last: int = 0
    lines: int = 0

    def add(self, requests: Sequence[Request]) -> None:
        """Append requests."""
        self.content.write(b"".join(request.text for request in requests))
        self.last = requests[-1].line
        self.lines += len(requests)

    def holds(self, job: Job) -> bool:
        """Whether all lines of a job are here, and no others: it may have been cut, and counting may have begun in its middle."""
        return (self.last, self.lines) == (job.last, job.total)

    def clear(self) -> None:
        """Begin anew."""
        self.content.clear()
        self.last = self.lines = 0


@dataclass(frozen=True, slots=True)
class JobInput:
    """Writes the inputs of jobs, as objects of at most `most_lines` lines and, but for a longer line, `most_bytes`."""

    bucket: Bucket
    records: Records
    most_lines: int
    most_bytes: int
    draft: Draft | None = None  # takes the lines in place of objects

    def write(self, batch: Batch, job: Job, model: Model, cap: Cap | None, *, clock: Clock, cursor: str | None) -> str:
        """Write the lines from the cursor on; answers the next cursor. Behind the last line the job's bounds are recorded."""
        start, meter = self._resume(job, model, self._loosen(batch, cap), cursor)
        for place, requests in enumerate(self.read(batch, job, start)):
            if place and clock.is_late:
                return meter.cursor(requests[0].line)
            fitting = meter.take([request.body for request in requests])
            if fitting < len(requests):
                line = requests[fitting].line
                if self._is_clear_from(job, line):
                    self._write_object(job, requests[:fitting])
                    return self._cut(batch, job, line, meter)
                meter.is_capped = False
                meter.take([request.body for request in requests[fitting:]])
            self._write_object(job, requests)
        if meter.cap is not None:
            self.records.update_job(job, prompt_bound=meter.prompt, output_bound=meter.output)
        return WRITTEN

    def read(self, batch: Batch, job: Job, start: int) -> Iterator[list[Request]]:
        """The requests of a job's lines from `start` on, as many at a time as one object may hold."""
        members = members_of(self.bucket, batch, job.group)
        lines = lines_of_job(self.bucket, batch, job, members)
        index = self.bucket.read_json(batch.keys.index, LineIndex)
        written = RequestLines.of(job)
        pending: list[Request] = []
        size = 0
        for line, body in group_lines(self.bucket, index, job, members, start):
            if line not in lines:
                continue
            text = written.write(line, body)
            if pending and (len(pending) >= self.most_lines or size + len(text) > self.most_bytes):
                yield pending
                pending, size = [], 0
            pending.append(Request(line, body, text))
            size += len(text)
        if pending:
            yield pending

    def _loosen(self, batch: Batch, cap: Cap | None) -> Cap | None:
        """The cap without its money, where a batch has many jobs: a budget far below its bound would make one of every line."""
        if cap is None or cap.micro_dollars is None or len(self.records.jobs(batch.batch_id)) < MOST_JOBS:
            return cap
        return replace(cap, micro_dollars=None)

    def _resume(self, job: Job, model: Model, cap: Cap | None, cursor: str | None) -> tuple[int, Meter]:
        """The line to go on with, and what was counted before it; a cursor without counts goes back to the first line."""
        meter = Meter(job.endpoint, model, cap)
        line, _, sums = (cursor or "").partition(":")
        if not line.isdigit() or (cap is not None and not sums):
            return job.first, meter
        if sums:
            meter.prompt, meter.output = map(int, sums.split(":"))
        return int(line), meter

    def _write_object(self, job: Job, requests: Sequence[Request]) -> None:
        if not requests:
            return
        if self.draft is not None:
            self.draft.add(requests)
        else:
            key = job.keys.input_object(requests[0].line, requests[-1].line)
            self.bucket.write(key, b"".join(request.text for request in requests))

    def _is_clear_from(self, job: Job, line: int) -> bool:
        """Whether no object of an earlier try, under other limits, has lines from `line` on: they would be run twice."""
        return all((line_range(key) or (line, line))[1] < line for key, _ in self.bucket.list(job.keys.input))

    def _cut(self, batch: Batch, job: Job, line: int, meter: Meter) -> str:
        """End the job in front of `line`, and make jobs of the rest, which the next plan starts."""
        lines = lines_of_job(self.bucket, batch, job)
        kept, rest = lines.between(job.first, line - 1), lines.between(line, job.last)
        pieces = cut_evenly(rest, min(MOST_PIECES, -(-len(rest) // len(kept))))
        taken = [int(other.job_id.partition("-j")[2]) for other in self.records.jobs(batch.batch_id) if other.round == job.round]
        others = [
            msgspec.structs.replace(
                job,
                job_id=job_id(job.round, number),
                first=first,
                last=last,
                total=total,
                state=JobState.PLANNED,
                attempt=1,
                asks=0,
                reason=None,
                waiting=None,
            )
            for number, (first, last, total) in enumerate(pieces, max(taken) + 1)
        ]
        fields = {"last": max(kept), "total": len(kept), "prompt_bound": meter.prompt, "output_bound": meter.output}
        fields["asks"] = job.asks + 1  # an upload that is under way is of the whole: it does not count
        # Whoever has changed the job since it was read may have submitted it: then it stays as it is.
        self.records.cut_job(job, fields, others, when=Attr("last").eq(job.last) & Attr("asks").eq(job.asks))
        return WRITTEN
