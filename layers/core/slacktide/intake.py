"""Validate: a dropped object becomes a batch, once; a created batch gets its lines, once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from slacktide.batch import DROP_OWNER, MOST_NAMED_MODELS, Batch, Failure, LineIndex, ObjectRef, Options, StatusChange
from slacktide.bucket import Bucket
from slacktide.budgets import refuse_budget
from slacktide.cancelling import is_meant
from slacktide.codes import Code
from slacktide.errors import ConflictError, ModelTableError, ObjectMissingError, TransitionError
from slacktide.events import Dropped, unquoted
from slacktide.executions import Executions
from slacktide.ids import new_batch_id
from slacktide.keys import CANCEL_SUFFIX, LONGEST_KEY, MODELS_KEY
from slacktide.line_store import Validation
from slacktide.model_tables import ModelTables
from slacktide.notifications import Announcer
from slacktide.options import read_options
from slacktide.quotas import Quotas
from slacktide.records import Guard, Records, Source
from slacktide.refusals import refuse_lines
from slacktide.retrying import RetryInput
from slacktide.routes import Routes
from slacktide.settings import Settings
from slacktide.sources import Sources
from slacktide.statuses import BatchStatus


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns dropped objects and created batches into batches that run."""

    bucket: Bucket
    records: Records
    sources: Sources
    retries: RetryInput
    announcer: Announcer
    executions: Executions
    tables: ModelTables
    quotas: Quotas
    settings: Settings
    now: Callable[[], int]

    def accept(self, dropped: Dropped, *, invocation: str) -> str | None:
        """Make the batch of a dropped object and start its execution; answers its id.

        The same event again finds the batch that there is; a delivery that died half way is completed under the same id.
        Raises LeaseHeldError while another invocation is at it.
        """
        source, written_at, metadata = self._locate(dropped)
        guard = self.records.claim_input(source, new_batch_id(), invocation=invocation, now=self.now(), lease=self.settings.lease)
        if guard.state == "started":
            return guard.batch_id
        try:
            self._make_batch(guard, source, written_at, metadata)
        except BaseException:
            self.records.release_input(source, invocation=invocation)
            raise
        self.records.start_input(source)
        return guard.batch_id

    def accept_created(self, batch_id: str, *, invocation: str) -> None:
        """Validate a batch that a call has created, and start its execution. Raises LeaseHeldError and NotFoundError."""
        batch = self.records.get_batch(batch_id)
        guard = self.records.claim_input(batch_id, batch_id, invocation=invocation, now=self.now(), lease=self.settings.lease)
        if guard.state == "started":
            return
        try:
            self._start(*self._prepare(batch))
        except BaseException:
            self.records.release_input(batch_id, invocation=invocation)
            raise
        self.records.start_input(batch_id)

    def _prepare(self, batch: Batch) -> tuple[Batch, Failure | None]:
        """A created batch with its input; or why it has none."""
        try:
            return self.retries.build(batch), None
        except ObjectMissingError:
            message = f"The input of {batch.retry_of}, or its results, are not there any more: its lines cannot be run again."
            return batch, Failure(Code.INPUT_NOT_FOUND, message)

    def give_up(self, dropped: Dropped) -> None:
        """Fail the batch of an input before the queue gives its message up, so that it ends where its user can see it."""
        source, written_at, _ = self._locate(dropped)
        guard = self.records.find_guard(source)
        if guard is None or guard.state == "started":
            return
        self._fail(self._record(guard.batch_id, source, written_at, Options()), source)

    def give_up_created(self, batch_id: str) -> None:
        """The same for a batch that a call has created."""
        guard = self.records.find_guard(batch_id)
        if guard is None or guard.state != "started":
            self._fail(self.records.get_batch(batch_id), batch_id)

    def _fail(self, batch: Batch, source: Source) -> None:
        if not batch.is_validated:
            failure = Failure(Code.INTERNAL_ERROR, "The file could not be validated; see the log of the function validate.")
            self.records.update_batch(batch.batch_id, refused=True, failure=failure)
        self.executions.start_batch(batch.batch_id, batch.attempt)
        self.records.start_input(source)

    def _locate(self, dropped: Dropped) -> tuple[ObjectRef, int, dict[str, str]]:
        """The version of the object that the event tells of, when it was written, and its metadata; size -1 when it is gone."""
        key = dropped.key
        head = self.bucket.head(key, dropped.version_id)
        plain = unquoted(key)
        if head is None and plain is not None and (head := self.bucket.head(plain, dropped.version_id)) is not None:
            key = plain
        newest = head
        if dropped.version_id is not None and head is not None:
            newest = self.bucket.head(key)  # a delete marker on top: the input was taken back
        if head is None or newest is None:
            missing = ObjectRef(dropped.bucket, dropped.key, dropped.version_id or f"missing-{dropped.time}", -1)
            return missing, dropped.seconds, {}
        version = dropped.version_id
        if version is None:
            version = self._version_of(key, dropped.etag, head)
            head = self.bucket.head(key, version) or head
        written_at = int(head["LastModified"].timestamp())
        return ObjectRef(dropped.bucket, key, version, head["ContentLength"]), written_at, head.get("Metadata", {})

    def _version_of(self, key: str, etag: str, head: dict[str, object]) -> str:
        """The version that an event without a version id means: the newest with its ETag."""
        if etag and str(head["ETag"]).strip('"') != etag.strip('"'):
            found = self.bucket.find_version(key, etag)
            if found is not None:
                return found
        return str(head["VersionId"])

    def _make_batch(self, guard: Guard, source: ObjectRef, written_at: int, metadata: dict[str, str]) -> None:
        options = read_options(metadata, self.settings, self.now())
        batch = self._record(guard.batch_id, source, written_at, options, self.tables.newest())
        if self._was_cancelled(batch):
            batch = self._cancel(batch)
        self._start(batch, options if isinstance(options, Failure) else None)

    def _start(self, batch: Batch, refusal: Failure | None) -> None:
        """Validate a batch, unless that is done or the batch is refused before; then start its execution."""
        if not batch.is_validated:  # cancelled or not: every line has to be accounted for
            self.announcer.announce(batch)
            self._publish(batch)
            index, failure = (_empty_index(), refusal) if refusal else self._validate(batch, batch.input)
            self.bucket.write_json(batch.keys.index, index)
            batch = self._finish(batch, index, failure)
        if batch.status is BatchStatus.VALIDATING and not batch.refused:
            batch = self._queue(batch)
        self.announcer.announce(batch)
        self._publish(batch)
        self.executions.start_batch(batch.batch_id, batch.attempt)

    def _validate(self, batch: Batch, source: ObjectRef) -> tuple[LineIndex, Failure | None]:
        """What the input holds, and why nothing of it is run, if so."""
        if batch.retry_of and not source.bytes:
            return _empty_index(), Failure(Code.EMPTY_FILE, f"No line of {batch.retry_of} failed so that it could be run again.")
        if source.bytes < 0:
            return _empty_index(), Failure(Code.INPUT_NOT_FOUND, "The input was deleted before it was validated.")
        file = self.sources.open(source)
        routes = file.refusal or self._routes(batch)
        if isinstance(routes, Failure):
            return _empty_index(), routes
        index = Validation(self.bucket, routes, batch, media_urls=self.settings.allow_media_urls).run(file.blocks)
        failure = file.failure or refuse_lines(index.total, index.invalid, batch.options)
        return index, failure or refuse_budget(self.bucket, batch, index, routes, self.quotas)

    def _routes(self, batch: Batch) -> Routes | Failure:
        try:
            return self.tables.routes(batch.models_version, batch.options.route)
        except ModelTableError as error:
            version = f"{MODELS_KEY} (version {batch.models_version})"
            return Failure(Code.INVALID_MODEL_TABLE, f"{version} cannot be followed: {error}. Mend it, then drop the file again.")

    def _record(
        self, batch_id: str, source: ObjectRef, written_at: int, options: Options | Failure, models_version: str | None = None
    ) -> Batch:
        now = self.now()
        batch = Batch(
            batch_id=batch_id,
            owner=DROP_OWNER,
            status=BatchStatus.VALIDATING,
            input=source,
            created_at=now,
            deadline=now + self.settings.window_shortest,
            history=[StatusChange(BatchStatus.VALIDATING, now)],
            dropped_at=written_at,
            models_version=models_version,
        )
        if not isinstance(options, Failure):
            deadline = max(now, options.not_before or 0) + options.completion_window
            batch = msgspec.structs.replace(batch, options=options, deadline=deadline)
        return self.records.create_batch(batch)

    def _was_cancelled(self, batch: Batch) -> bool:
        """Whether there is a cancel marker that is not older than the input: one that was handled before there was this batch."""
        key = batch.input.key + CANCEL_SUFFIX
        marker = self.bucket.head(key) if len(key.encode()) <= LONGEST_KEY else None
        return marker is not None and is_meant(batch, int(marker["LastModified"].timestamp()))

    def _cancel(self, batch: Batch) -> Batch:
        try:
            return self.records.change_status(batch.batch_id, BatchStatus.CANCELLING, self.now())
        except TransitionError:
            return self.records.get_batch(batch.batch_id)

    def _finish(self, batch: Batch, index: LineIndex, failure: Failure | None) -> Batch:
        counts: dict[str, Any] = {"total": index.total, "invalid": index.invalid, "failed": index.invalid}
        models = list(dict.fromkeys(group.model for group in index.groups))
        counts["models"] = models[:MOST_NAMED_MODELS]
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
