"""Validate: a dropped object becomes a batch. One streaming pass checks, numbers and sorts every line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from slacktide.batch import Batch, Failure, Group, LineIndex, ObjectRef, Options, Part, StatusChange
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.codes import Code
from slacktide.duplicates import CustomIds, confirm
from slacktide.errors import ConflictError, TransitionError
from slacktide.events import Dropped, unquoted
from slacktide.executions import Executions
from slacktide.ids import new_batch_id
from slacktide.lines import Line, read_lines
from slacktide.notifications import Announcer
from slacktide.options import read_options
from slacktide.parts import PartWriter, read_parts
from slacktide.records import Guard, Records
from slacktide.routes import Routes
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus
from slacktide.validation import Checker, Fault, Request

DROP_OWNER = "drop"  # whoever may write to input/ of the bucket
# The first bytes of formats that people put behind a .jsonl name.
MAGIC = {b"\x1f\x8b": "gzip", b"(\xb5/\xfd": "Zstandard", b"PK\x03\x04": "ZIP", b"PAR1": "Parquet"}


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns dropped objects into batches."""

    bucket: Bucket
    records: Records
    announcer: Announcer
    executions: Executions
    routes: Routes
    settings: Settings
    now: Callable[[], int]

    def accept(self, dropped: Dropped, *, invocation: str) -> str | None:
        """Make the batch of a dropped object and start its execution; answers its id.

        The same event again finds the batch that there is; a delivery that died half way is completed under the same id.
        Raises LeaseHeldError while another invocation is at it.
        """
        source, metadata = self._locate(dropped)
        guard = self.records.claim_input(source, new_batch_id(), invocation=invocation, now=self.now(), lease=self.settings.lease)
        if guard.state == "started":
            return guard.batch_id
        try:
            self._make_batch(guard, source, metadata)
        except BaseException:
            self.records.release_input(source, invocation=invocation)
            raise
        self.records.start_input(source)
        return guard.batch_id

    def give_up(self, dropped: Dropped) -> None:
        """Fail the batch of an input before the queue gives its message up, so that it ends where its user can see it."""
        source, _ = self._locate(dropped)
        guard = self.records.find_guard(source)
        if guard is None or guard.state == "started":
            return
        failure = Failure(Code.INTERNAL_ERROR, "The file could not be validated; see the log of the function validate.")
        batch = self._record(guard.batch_id, source, Options())
        if not batch.is_validated:
            self.records.update_batch(batch.batch_id, refused=True, failure=failure)
        self.executions.start_batch(batch.batch_id, batch.attempt)
        self.records.start_input(source)

    def _locate(self, dropped: Dropped) -> tuple[ObjectRef, dict[str, str]]:
        """The version of the object that the event tells of, and its metadata; size -1 when it is not there any more."""
        key = dropped.key
        head = self.bucket.head(key, dropped.version_id)
        plain = unquoted(key)
        if head is None and plain is not None and (head := self.bucket.head(plain, dropped.version_id)) is not None:
            key = plain
        newest = head
        if dropped.version_id is not None and head is not None:
            newest = self.bucket.head(key)  # a delete marker on top: the input was taken back
        if head is None or newest is None:
            return ObjectRef(dropped.bucket, dropped.key, dropped.version_id or f"missing-{dropped.time}", -1), {}
        version = dropped.version_id
        if version is None:
            version = self._version_of(key, dropped.etag, head)
            head = self.bucket.head(key, version) or head
        return ObjectRef(dropped.bucket, key, version, head["ContentLength"]), head.get("Metadata", {})

    def _version_of(self, key: str, etag: str, head: dict[str, object]) -> str:
        """The version that an event without a version id means: the newest with its ETag."""
        if etag and str(head["ETag"]).strip('"') != etag.strip('"'):
            found = self.bucket.find_version(key, etag)
            if found is not None:
                return found
        return str(head["VersionId"])

    def _make_batch(self, guard: Guard, source: ObjectRef, metadata: dict[str, str]) -> None:
        options = read_options(metadata, self.settings)
        batch = self._record(guard.batch_id, source, options)
        if not batch.is_validated:  # cancelled or not: every line has to be accounted for
            self.announcer.announce(batch)
            self._publish(batch)
            failure = options if isinstance(options, Failure) else self._refusal(source)
            index = _empty_index() if failure else Validation(self.bucket, self.routes, batch).run()
            failure = failure or _judge(index, batch)
            self.bucket.write_json(batch.keys.index, index)
            batch = self._finish(batch, index, failure)
        if batch.status is BatchStatus.VALIDATING and not batch.refused:
            batch = self._queue(batch)
        self.announcer.announce(batch)
        self._publish(batch)
        self.executions.start_batch(batch.batch_id, batch.attempt)

    def _record(self, batch_id: str, source: ObjectRef, options: Options | Failure) -> Batch:
        now = self.now()
        batch = Batch(
            batch_id=batch_id,
            owner=DROP_OWNER,
            status=BatchStatus.VALIDATING,
            input=source,
            created_at=now,
            deadline=now + self.settings.window_shortest,
            history=[StatusChange(BatchStatus.VALIDATING, now)],
        )
        if not isinstance(options, Failure):
            deadline = now + options.completion_window
            batch = msgspec.structs.replace(batch, options=options, deadline=deadline)
        return self.records.create_batch(batch)

    def _refusal(self, source: ObjectRef) -> Failure | None:
        if source.bytes < 0:
            return Failure(Code.INPUT_NOT_FOUND, "The input was deleted before it was validated.")
        if source.bytes == 0:
            return Failure(Code.EMPTY_FILE, "The file is empty.")
        if not source.key.endswith(".jsonl"):
            return Failure(Code.UNSUPPORTED_FILE, "Compressed files are not read yet: drop the plain .jsonl file.")
        start = next(self.bucket.stream(source.key, source.version_id), b"")
        for magic, name in MAGIC.items():
            if start.startswith(magic):
                return Failure(Code.UNSUPPORTED_FILE, f"The file is {name}, not JSONL: drop the plain .jsonl file.")
        return None

    def _finish(self, batch: Batch, index: LineIndex, failure: Failure | None) -> Batch:
        counts: dict[str, Any] = {"total": index.total, "invalid": index.invalid, "failed": index.invalid}
        if failure:
            return self.records.update_batch(batch.batch_id, refused=True, failure=failure, **counts)
        return self.records.update_batch(batch.batch_id, **counts)

    def _queue(self, batch: Batch) -> Batch:
        try:
            return self.records.change_status(batch.batch_id, BatchStatus.QUEUED, self.now())
        except TransitionError:
            return self.records.get_batch(batch.batch_id)  # cancelled in between: its execution assembles it

    def _publish(self, batch: Batch) -> None:
        try:
            self.announcer.publish(batch, [])
        except ConflictError:
            return  # another batch of the same input was quicker; follow writes it again


def _empty_index() -> LineIndex:
    return LineIndex(total=0, invalid=0, groups=[], custom_ids=[], faults=[], late_faults=[])


def _judge(index: LineIndex, batch: Batch) -> Failure | None:
    """Why nothing of this file is to run, if so."""
    if index.total == 0:
        return Failure(Code.EMPTY_FILE, "The file has no lines.")
    bad, total = index.invalid, index.total
    if bad == total:
        return Failure(Code.INVALID_LINES, f"None of the {total} lines is a valid request; the error file has each fault.")
    if bad and batch.options.on_invalid == "reject":
        return Failure(Code.INVALID_LINES, f"{bad} of {total} lines are invalid and on-invalid is reject: nothing was run.")
    if bad / total > batch.options.max_invalid_ratio:
        ratio = batch.options.max_invalid_ratio
        return Failure(Code.INVALID_LINES, f"{bad} of {total} lines are invalid, more than max-invalid-ratio {ratio} allows.")
    return None


@dataclass(slots=True)
class _GroupWriter:
    group: str
    model: str
    endpoint: str
    lines: PartWriter
    members: Bitmap = field(default_factory=lambda: Bitmap(0))


@dataclass(slots=True)
class Validation:
    """The streaming pass over one input. What it writes has the same keys when it is done again."""

    bucket: Bucket
    routes: Routes
    batch: Batch
    _groups: dict[tuple[str, str], "_GroupWriter"] = field(default_factory=dict)
    _invalid: Bitmap = field(default_factory=lambda: Bitmap(0))
    _custom_ids: CustomIds = field(default_factory=CustomIds)

    def run(self) -> LineIndex:
        """Check, number and sort all lines; answers what was found, which is written by the caller as the last object."""
        checker = Checker(self.routes.models.find, self.routes.route, self.batch.options.endpoint)
        ids = PartWriter(self.bucket, self.batch.keys.custom_ids)
        faults = PartWriter(self.bucket, lambda number: self.batch.keys.faults("stream", number))
        total = 0
        for line in read_lines(self.bucket.stream(self.batch.input.key, self.batch.input.version_id)):
            total = line.number
            outcome = checker.check(line)
            if isinstance(outcome, Request):
                self._keep(outcome)
            else:
                self._invalid.grow(line.number)
                self._invalid.add(line.number)
                faults.add(line.number, msgspec.json.encode(outcome))
            self._note_id(ids, line, outcome.custom_id)
        id_parts = ids.close()
        self._invalid.grow(total)
        late = self._late_faults(id_parts)
        self._write_bitmap(self.batch.keys.invalid, self._invalid)
        groups = [self._close_group(writer, total) for writer in self._groups.values()]
        return LineIndex(total, len(self._invalid), groups, id_parts, faults.close(), late)

    def _close_group(self, writer: "_GroupWriter", total: int) -> Group:
        writer.members.grow(total)
        self._write_bitmap(self.batch.keys.members(writer.group), writer.members)
        return Group(writer.group, writer.model, writer.endpoint, writer.lines.lines, writer.lines.close())

    def _write_bitmap(self, key: str, bitmap: Bitmap) -> None:
        self.bucket.write(key, bytes(bitmap), "application/octet-stream")

    def _note_id(self, ids: PartWriter, line: Line, custom_id: str | None) -> None:
        ids.add(line.number, msgspec.json.encode(custom_id))
        if custom_id is not None:
            self._custom_ids.add(custom_id, line.number)

    def _keep(self, request: Request) -> None:
        writer = self._groups.get((request.model.id, request.endpoint))
        if writer is None:
            group = f"g{len(self._groups) + 1}"
            lines = PartWriter(self.bucket, lambda number: self.batch.keys.requests(group, number))
            writer = _GroupWriter(group, request.model.id, request.endpoint, lines)
            self._groups[request.model.id, request.endpoint] = writer
        writer.lines.add(request.line, b'{"line":%d,"body":%b}' % (request.line, request.body))
        writer.members.grow(request.line)
        writer.members.add(request.line)

    def _late_faults(self, id_parts: list[Part]) -> list[Part]:
        """Faults that only the whole file shows: a custom_id that an earlier line has."""
        writer = PartWriter(self.bucket, lambda number: self.batch.keys.faults("late", number))
        suspects = self._custom_ids.suspects()
        repeated = confirm(suspects, self._read_ids(id_parts)) if suspects else {}
        for line, first in repeated.items():
            if line in self._invalid:
                continue  # it has a fault of its own
            message = f"custom_id of line {line} is that of line {first} already."
            fault = Fault(line, Code.DUPLICATE_CUSTOM_ID, message)
            writer.add(line, msgspec.json.encode(fault))
            self._invalid.add(line)
        return writer.close()

    def _read_ids(self, parts: list[Part]) -> Iterator[tuple[int, str | None]]:
        for number, text in enumerate(read_parts(self.bucket, parts), 1):
            yield number, msgspec.json.decode(text, type=str | None)
