"""Assemble: every input line ends in exactly one of output and error file, in input order; the manifest commits them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from slacktide.batch import Batch, Failure, Job, LineIndex, Summary
from slacktide.bucket import Bucket
from slacktide.codes import CLASSES, Code, CodeClass
from slacktide.collection import Collected
from slacktide.errors import ConflictError, ObjectMissingError
from slacktide.ids import RequestId
from slacktide.notifications import Announcer, counts_of, error_of, rfc3339
from slacktide.parts import Merge, read_parts
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus, JobState
from slacktide.steps import Loop
from slacktide.uploads import Upload, UploadLostError, UploadState, Written
from slacktide.validation import Fault

CHECK_EVERY = 1_000  # lines between two looks at the clock

MESSAGES = {
    Code.BATCH_FAILED: "The batch failed before this request was run.",
    Code.BATCH_EXPIRED: "The completion window of the batch ended before this request was done.",
    Code.BATCH_CANCELLED: "The batch was cancelled before this request was done.",
    Code.MISSING_RESULT: "No backend answered this request.",
    Code.BACKEND_ERROR: "The backend could not answer this request.",
    Code.BACKEND_REJECTED: "The backend refused this request.",
}


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a line is in the error file."""

    code: Code
    message: str
    column: int | msgspec.UnsetType = msgspec.UNSET


class ResultLine(msgspec.Struct, frozen=True):
    """A line of the output or of the error file; `id` is batch, round (0: never run) and line."""

    id: str
    custom_id: msgspec.Raw
    line: int
    response: dict[str, object] | None
    error: ErrorBody | None


class _Cursor(msgspec.Struct, frozen=True):
    """How far an assembly is: the next line, both uploads, and what was counted."""

    line: int
    output: UploadState
    errors: UploadState
    given_up: int


@dataclass(slots=True)
class _Run:
    output: Upload
    errors: Upload
    line: int = 1
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Assembler:
    """Builds the results of a batch. To build them again makes the same bytes."""

    bucket: Bucket
    records: Records
    announcer: Announcer
    settings: Settings
    now: Callable[[], int]

    def assemble(self, batch_id: str, *, cursor: str | None, is_late: Callable[[], bool], gave_up: bool = False) -> Loop:
        """Write as much of both files as this invocation can; done when the manifest is there.

        `gave_up` says that the execution could not go on: what is undone then is `batch_failed`.
        """
        batch = self._begin(batch_id, gave_up=gave_up)
        if batch.outcome is not None:
            return Loop(done=True)
        index = self._index(batch)
        jobs = [job for job in self.records.jobs(batch_id) if job.state is JobState.SETTLED]
        run = self._resume(batch, cursor)
        try:
            for line in self._lines(batch, index, jobs, run):
                if line % CHECK_EVERY == 0 and line < index.total and is_late():
                    return Loop(done=False, cursor=_save(run))
            output, errors = run.output.complete(), run.errors.complete()
        except UploadLostError:
            return Loop(done=False)  # from the start
        self._commit(batch, jobs, run, output, errors)
        return Loop(done=True)

    def _begin(self, batch_id: str, *, gave_up: bool) -> Batch:
        """Take the batch to `finalizing` and close its jobs, so that what is assembled cannot change any more."""
        batch = self.records.get_batch(batch_id)
        now = self.now()
        if batch.reached(BatchStatus.FINALIZING) is None:
            fields: dict[str, object] = {"give_up": self._give_up_code(batch, now, gave_up=gave_up)}
            if gave_up and batch.failure is None:
                message = "Slacktide could not finish this batch; see the log of the state machine batch."
                fields["failure"] = Failure(Code.INTERNAL_ERROR, message)
            batch = self.records.change_status(batch_id, BatchStatus.FINALIZING, now, **fields)
        for job in self.records.jobs(batch_id):
            if not job.state.is_closed:
                self.records.abandon_job(job, now, batch.deadline, "The batch ended before it did.")
        self.announcer.announce(batch)
        self.announcer.publish_if_due(batch, self.records.jobs(batch_id), 0)
        return batch

    def _give_up_code(self, batch: Batch, now: int, *, gave_up: bool) -> Code | None:
        if batch.refused or gave_up:
            return Code.BATCH_FAILED
        if batch.is_cancelling:
            return Code.BATCH_CANCELLED
        is_over = now >= batch.deadline - self.settings.assembly_reserve
        return Code.BATCH_EXPIRED if is_over else None

    def _index(self, batch: Batch) -> LineIndex:
        try:
            return self.bucket.read_json(batch.keys.index, LineIndex)
        except ObjectMissingError:  # the file could not be validated
            return LineIndex(total=0, invalid=0, groups=[], custom_ids=[], faults=[], late_faults=[])

    def _resume(self, batch: Batch, text: str | None) -> _Run:
        cursor = msgspec.json.decode(text, type=_Cursor) if text else None
        output = Upload(
            self.bucket,
            batch.results.output,
            tail_key=lambda size: batch.keys.tail("output", size),
            state=cursor.output if cursor else None,
        )
        errors = Upload(
            self.bucket,
            batch.results.errors,
            tail_key=lambda size: batch.keys.tail("errors", size),
            state=cursor.errors if cursor else None,
        )
        return _Run(output, errors, cursor.line, cursor.given_up) if cursor else _Run(output, errors)

    def _lines(self, batch: Batch, index: LineIndex, jobs: list[Job], run: _Run) -> Iterator[int]:
        """Write every line from `run.line` on to its file; yields the number of each written line."""
        faults = Merge(self.bucket, [index.faults, index.late_faults], Fault, run.line)
        parts = [self.bucket.read_json(job.keys.summary, Summary).parts for job in jobs]
        collected = Merge(self.bucket, parts, Collected, run.line)
        first = next((part.first for part in index.custom_ids if part.last >= run.line), 1)
        for line, custom_id in enumerate(read_parts(self.bucket, index.custom_ids, run.line), first):
            if line < run.line:
                continue
            result = _settle(batch, line, custom_id, faults.take(line), collected.take(line))
            text = msgspec.json.encode(result) + b"\n"
            (run.output if result.error is None else run.errors).write(text)
            if result.error and CLASSES[result.error.code] is CodeClass.GIVEN_UP:
                run.given_up += 1
            run.line = line + 1
            yield line

    def _commit(self, batch: Batch, jobs: list[Job], run: _Run, output: Written, errors: Written) -> None:
        outcome = _outcome(batch, run.given_up)
        batch = msgspec.structs.replace(batch, total=output.lines + errors.lines, completed=output.lines, failed=errors.lines)
        now = self.now()
        self.bucket.write_json(batch.results.receipt, self._receipt(batch, outcome, jobs))
        manifest = {
            "version": "1",
            "batch_id": batch.batch_id,
            "status": outcome,
            "input": {**msgspec.to_builtins(batch.input)},
            "counts": counts_of(batch),
            "output": output,
            "errors": errors,
            "receipt": {"key": batch.results.receipt},
            "error": error_of(batch),
            "created_at": rfc3339(batch.created_at),
            "completed_at": rfc3339(now),
        }
        try:
            self.bucket.create(batch.results.manifest, manifest)
        except ConflictError:
            outcome = BatchStatus(self.bucket.read_json(batch.results.manifest, _Manifest).status)
        self.records.update_batch(
            batch.batch_id, outcome=outcome, total=batch.total, completed=batch.completed, failed=batch.failed
        )

    def _receipt(self, batch: Batch, outcome: BatchStatus, jobs: list[Job]) -> dict[str, object]:
        summaries = {job.job_id: self.bucket.read_json(job.keys.summary, Summary) for job in jobs}
        return {
            "version": "1",
            "batch_id": batch.batch_id,
            "status": outcome,
            "counts": counts_of(batch) | {"invalid": batch.invalid},
            "usage": {
                "prompt_tokens": sum(summary.prompt_tokens for summary in summaries.values()),
                "completion_tokens": sum(summary.completion_tokens for summary in summaries.values()),
            },
            "jobs": [_job_receipt(job, summaries.get(job.job_id)) for job in self.records.jobs(batch.batch_id)],
        }


class _Manifest(msgspec.Struct):
    status: BatchStatus


def _job_receipt(job: Job, summary: Summary | None) -> dict[str, object]:
    seconds = (job.ended_at or 0) - job.submitted_at if job.submitted_at and job.ended_at else None
    counts = {} if summary is None else msgspec.to_builtins(summary)
    names = (
        "completed",
        "rejected",
        "transient",
        "missing",
        "foreign",
        "repeated",
        "prompt_tokens",
        "completion_tokens",
    )
    return {
        "job_id": job.job_id,
        "round": job.round,
        "backend": job.backend,
        "model": job.model,
        "endpoint": job.endpoint,
        "state": job.state,
        "submissions": job.submission,
        "seconds": seconds,
        "requests": job.total,
        **{name: counts.get(name) for name in names},
        "reason": job.reason,
    }


def _save(run: _Run) -> str:
    cursor = _Cursor(run.line, run.output.suspend(), run.errors.suspend(), run.given_up)
    return msgspec.json.encode(cursor).decode()


def _outcome(batch: Batch, given_up: int) -> BatchStatus:
    if batch.failure is not None:
        return BatchStatus.FAILED
    if batch.is_cancelling:
        return BatchStatus.CANCELLED
    return BatchStatus.EXPIRED if given_up else BatchStatus.COMPLETED


def _settle(batch: Batch, line: int, custom_id: bytes, faults: list[Fault], collected: list[Collected]) -> ResultLine:
    """What becomes of a line: its fault, else its first success, else its refusal, else why it was given up."""
    if faults:
        fault = faults[0]
        column = msgspec.UNSET if fault.column is None else fault.column
        entry, error = None, ErrorBody(fault.code, fault.message, column)
    else:
        entry = _decisive(batch, collected)
        error = _error(batch, entry)
    request = str(RequestId(batch.batch_id, entry.round if entry else 0, line))
    return ResultLine(request, msgspec.Raw(custom_id), line, _response(request, entry), error)


def _decisive(batch: Batch, collected: list[Collected]) -> Collected | None:
    """The entry that decides about a line; None when the line is given up, or nothing came back."""
    rounds = sorted(collected, key=lambda entry: entry.round)
    successes = [entry for entry in rounds if entry.code is None]
    refusals = [entry for entry in rounds if entry.code is not None and CLASSES[entry.code] is CodeClass.REJECTED]
    if successes or refusals:
        return (successes or refusals)[0]
    return rounds[-1] if rounds and batch.give_up is None else None


def _error(batch: Batch, entry: Collected | None) -> ErrorBody | None:
    if entry is None:
        code = batch.give_up or Code.MISSING_RESULT
        return ErrorBody(code, MESSAGES[code])
    return ErrorBody(entry.code, entry.error or MESSAGES[entry.code]) if entry.code else None


def _response(request: str, entry: Collected | None) -> dict[str, object] | None:
    if entry is None or entry.response is None:
        return None
    response = entry.response
    # The request id is ours: an upstream's own ids stay with it.
    return {"status_code": response.status_code, "request_id": request, "body": response.body}
