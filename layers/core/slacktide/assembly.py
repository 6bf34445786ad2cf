"""Assemble: every input line ends in exactly one of output and error file, in input order; the manifest commits them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import msgspec

from slacktide.batch import Batch, Failure, Job, LineIndex, ObjectRef, Summary
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.codes import CLASSES, Code, CodeClass
from slacktide.errors import ConflictError, ObjectMissingError
from slacktide.faults import Fault
from slacktide.ids import RequestId
from slacktide.notifications import Announcer, counts_of, error_of, rfc3339
from slacktide.parts import Merge, Sequence, read_parts
from slacktide.receipts import build_receipt
from slacktide.records import Records
from slacktide.results import (
    MESSAGES,
    ErrorBody,
    give_custom_id,
    is_success,
    join_faults,
    read_code,
    read_fault,
    result_reader,
    write_result,
)
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus, JobState
from slacktide.steps import Loop
from slacktide.undone import lines_of_jobs
from slacktide.uploads import Upload, UploadLostError, UploadState, Written

CHECK_EVERY = 1_000  # lines between two looks at the clock, and written at once
WRITE_BYTES = 8_000_000  # written at once however few lines that is: one can have 30 MB


class _Cursor(msgspec.Struct, frozen=True):
    """How far an assembly is: the next line, both uploads, and what was counted."""

    line: int
    output: UploadState
    errors: UploadState
    given_up: int  # for want of time


@dataclass(slots=True)
class _Run:
    output: Upload
    errors: Upload
    line: int = 1
    given_up: int = 0

    @property
    def needs_pass(self) -> bool:
        return self.output.needs_pass or self.errors.needs_pass

    def write(self, good: list[bytes], bad: list[bytes]) -> None:
        """Write finished lines to both files; the lists are empty then."""
        for upload, lines in ((self.output, good), (self.errors, bad)):
            upload.write(b"\n".join([*lines, b""]))
            lines.clear()


@dataclass(frozen=True, slots=True)
class _Settlement:
    """What became of each line: its fault, else its first success, else its refusal, else why it was given up."""

    batch: Batch
    faults: Merge[Fault]
    collected: Merge[bytes]  # in the order of rounds
    refused: dict[Code, Bitmap]  # lines that were not submitted, by why

    def line(self, line: int) -> bytes:
        """The result of a line, without its custom_id; lines must rise from call to call."""
        results = self.collected.take(line)
        if line >= self.faults.next and (faults := self.faults.take(line)):
            return write_result(RequestId(self.batch.batch_id, 0, line), None, join_faults(faults))
        if len(results) == 1 and is_success(results[0]):  # by far the most
            return results[0]
        return self._decisive(results) or self._refused(line) or self._last(results) or self._given_up(line)

    def _decisive(self, results: list[bytes]) -> bytes | None:
        """The result that decides about a line, whatever else came back; None where there is none."""
        successes = [result for result in results if is_success(result)]
        refusals = [result for result in results if not successes and CLASSES[read_code(result)] is CodeClass.REJECTED]
        return next(iter(successes or refusals), None)

    def _refused(self, line: int) -> bytes | None:
        """What a line ends with that was not to be submitted."""
        code = next((code for code, lines in self.refused.items() if line in lines), None)
        return None if code is None else self._error(line, code)

    def _last(self, results: list[bytes]) -> bytes | None:
        """What a backend said last about a line; None when the line is given up, or nothing came back."""
        return results[-1] if results and self.batch.give_up is None else None

    def _given_up(self, line: int) -> bytes:
        return self._error(line, self.batch.give_up or Code.MISSING_RESULT)

    def _error(self, line: int, code: Code) -> bytes:
        return write_result(RequestId(self.batch.batch_id, 0, line), None, ErrorBody(code, MESSAGES[code]))


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
        jobs = [job for job in self.records.counted_jobs(batch) if job.state is JobState.SETTLED]
        summaries = {job.job_id: self.bucket.read_json(job.keys.summary, Summary) for job in jobs}
        run = self._resume(batch, cursor)
        try:
            with run.output, run.errors:
                settlement = self._settlement(batch, index, jobs, summaries, run.line)
                begun = run.line
                if not self._write_lines(settlement, index, run, is_late) or (run.needs_pass and run.line > begun):
                    return Loop(done=False, cursor=_save(run))  # a pass over all that was written has an invocation of its own
                output, errors = run.output.complete(), run.errors.complete()
        except UploadLostError:
            return Loop(done=False)  # from the start
        self._commit(batch, summaries, run, output, errors)
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
        for job in self.records.counted_jobs(batch):
            if not job.state.is_closed:
                self.records.abandon_job(job, now, batch.deadline, "The batch ended before it did.")
        self.announcer.announce(batch)
        self.announcer.publish_if_due(batch, self.records.counted_jobs(batch), 0)
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

    def _write_lines(self, settlement: _Settlement, index: LineIndex, run: _Run, is_late: Callable[[], bool]) -> bool:
        """Write every line from `run.line` on to its file; False when it became late before the last."""
        first = next((part.first for part in index.custom_ids if part.last >= run.line), run.line)
        custom_ids = islice(read_parts(self.bucket, index.custom_ids, run.line), run.line - first, None)
        while block := list(islice(custom_ids, CHECK_EVERY)):
            good: list[bytes] = []
            bad: list[bytes] = []
            size = 0
            for line, custom_id in enumerate(block, run.line):
                result = settlement.line(line)
                text = give_custom_id(result, custom_id)
                if is_success(result):
                    good.append(text)
                else:
                    bad.append(text)
                    run.given_up += read_code(result) is Code.BATCH_EXPIRED
                size += len(text)
                if size >= WRITE_BYTES:
                    run.write(good, bad)
                    size = 0
            run.write(good, bad)
            run.line += len(block)
            if run.line <= index.total and is_late():
                return False
        return True

    def _settlement(
        self, batch: Batch, index: LineIndex, jobs: list[Job], summaries: Mapping[str, Summary], start: int
    ) -> _Settlement:
        faults = [Sequence(parts, read_fault) for parts in (index.faults, index.late_faults)]
        collected = [
            Sequence(summaries[job.job_id].parts, _reader(batch, job)) for job in sorted(jobs, key=lambda job: job.round)
        ]
        codes = sorted({job.refusal for job in jobs if job.refusal})
        refused = {code: lines_of_jobs(self.bucket, batch, [job for job in jobs if job.refusal is code]) for code in codes}
        return _Settlement(batch, Merge(self.bucket, faults, start), Merge(self.bucket, collected, start), refused)

    def _commit(self, batch: Batch, summaries: Mapping[str, Summary], run: _Run, output: Written, errors: Written) -> None:
        outcome = _outcome(batch, run.given_up)
        batch = msgspec.structs.replace(batch, total=output.lines + errors.lines, completed=output.lines, failed=errors.lines)
        now = self.now()
        jobs = self.records.counted_jobs(batch)
        self.bucket.write_json(batch.results.receipt, build_receipt(batch, outcome, jobs, summaries))
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
            committed = self.bucket.read_json(batch.results.manifest, _Manifest)
            outcome, output, errors = committed.status, committed.output, committed.errors
        self.records.update_batch(
            batch.batch_id,
            outcome=outcome,
            total=batch.total,
            completed=batch.completed,
            failed=batch.failed,
            output=self._ref(output),
            errors=self._ref(errors),
        )

    def _ref(self, written: Written) -> ObjectRef:
        return ObjectRef(self.bucket.name, written.key, written.version_id or "", written.bytes)


def _reader(batch: Batch, job: Job) -> Callable[[bytes], tuple[int, bytes]]:
    return result_reader(batch.batch_id, job.round, job.backend if batch.options.show_backend else None)


class _Manifest(msgspec.Struct):
    status: BatchStatus
    output: Written
    errors: Written


def _save(run: _Run) -> str:
    cursor = _Cursor(run.line, run.output.suspend(), run.errors.suspend(), run.given_up)
    return msgspec.json.encode(cursor).decode()


def _outcome(batch: Batch, given_up: int) -> BatchStatus:
    if batch.failure is not None:
        return BatchStatus.FAILED
    if batch.is_cancelling:
        return BatchStatus.CANCELLED
    return BatchStatus.EXPIRED if given_up else BatchStatus.COMPLETED
