"""Batches as a caller sees them: created, looked at, cancelled, run again where they failed."""

import heapq
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

import msgspec
from msgspec import Raw

from slacktide import keys
from slacktide.api.errors import BadRequestError, NoSuchThingError
from slacktide.api.files import FileService
from slacktide.api.pages import Page, take_page
from slacktide.batch import Batch, Failure, LineIndex, ObjectRef, Options, StatusChange
from slacktide.bucket import Bucket
from slacktide.cancelling import Canceller
from slacktide.codes import Code, CodeClass
from slacktide.creation import Attempt, Creator, KeyReusedError
from slacktide.errors import NotFoundError, ObjectMissingError
from slacktide.faults import Fault
from slacktide.files import File
from slacktide.ids import BATCH_ID, new_batch_id, new_file_id
from slacktide.model_tables import ModelTables
from slacktide.models import ENDPOINTS
from slacktide.options import OPTIONS, read_options
from slacktide.parts import read_parts
from slacktide.records import Records
from slacktide.results import read_fault
from slacktide.retrying import DEFAULT_CLASSES, INPUT_NAME, name_retry
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus
from slacktide.waits import Wait, find_wait

MOST_METADATA, LONGEST_NAME, LONGEST_VALUE = 16, 64, 512  # as OpenAI has them
MOST_FAULTS = 100  # that the API tells of one batch; the error file has all


class Creation(msgspec.Struct, frozen=True):
    """What somebody wants to be run. Together these fields decide whether two calls are the same."""

    input_file_id: str
    endpoint: str | None
    options: dict[str, str]
    metadata: dict[str, str] | None


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the engines counted them."""

    prompt_tokens: int
    completion_tokens: int


class _Receipt(msgspec.Struct):
    usage: Usage


@dataclass(frozen=True, slots=True)
class BatchService:
    """What can be done with batches, whoever asks in whichever dialect."""

    bucket: Bucket
    records: Records
    files: FileService
    creator: Creator
    canceller: Canceller
    tables: ModelTables
    settings: Settings
    now: Callable[[], int]

    def create(self, owner: str, wanted: Creation, attempt: Attempt) -> Batch:
        """The batch of an uploaded file; the same call again is answered with it, even if the file is gone by then.

        Raises NoSuchThingError without such a file, and BadRequestError where it cannot be run as it is wanted.
        """
        if wanted.endpoint is not None and wanted.endpoint not in ENDPOINTS:
            raise BadRequestError(f"endpoint is one of {', '.join(ENDPOINTS)}.", param="endpoint", code="invalid_endpoint")
        options = self._options(wanted)

        def make() -> Batch:
            file, source = self._input(owner, wanted.input_file_id)
            batch = self._record(owner, source, options, wanted.metadata)
            return msgspec.structs.replace(batch, file_id=file.file_id, filename=file.filename)

        return self._create(make, owner, wanted, attempt)

    def retry(self, owner: str, batch_id: str, classes: list[CodeClass] | None, attempt: Attempt) -> Batch:
        """A new batch of the lines of an ended one that failed, with the options that it had."""
        original = self.get(owner, batch_id)
        if not original.status.is_final:
            raise BadRequestError(f"{batch_id} is {original.status}: its failed lines can be run again when it has ended.")
        if original.failure is not None and original.failure.code is Code.CHECKSUM_MISMATCH:
            raise BadRequestError(f"The input of {batch_id} is not what was sent: upload it again.", code=original.failure.code)
        if not original.failed:
            raise BadRequestError(f"No line of {batch_id} failed.", code="nothing_to_retry")
        wanted = sorted(set(classes or DEFAULT_CLASSES))

        def make() -> Batch:
            file_id = new_file_id()
            source = ObjectRef(self.bucket.name, keys.upload(file_id, INPUT_NAME), "", 0)  # validate writes it
            options = msgspec.structs.replace(original.options, not_before=None)
            batch = self._record(owner, source, options, original.metadata)
            batch = msgspec.structs.replace(batch, file_id=file_id, filename=name_retry(batch_id))
            return msgspec.structs.replace(batch, retry_of=batch_id, retried_classes=wanted)

        return self._create(make, owner, ["retry", batch_id, wanted], attempt)

    def get(self, owner: str, batch_id: str) -> Batch:
        """One batch. Raises NoSuchThingError."""
        try:
            batch = self.records.get_batch(batch_id) if BATCH_ID.fullmatch(batch_id) else None
        except NotFoundError:
            batch = None
        if batch is None or batch.owner != owner:
            raise NoSuchThingError("There is no such batch.")
        return batch.seen_at(self.now())

    def page(self, owner: str, *, after: str | None, limit: int) -> Page[Batch]:
        """A page of the owner's batches, newest first. Raises BadRequestError for an `after` that is none of them."""
        try:
            last = None if after is None else self.get(owner, after)
        except NoSuchThingError:
            raise BadRequestError("after is none of your batches.", param="after") from None
        now = self.now()
        found = self.records.batches_of_owner(owner, None if last is None else last.created_at, limit + 1)
        return take_page((batch.seen_at(now) for batch in found if last is None or batch.order < last.order), limit)

    def cancel(self, owner: str, batch_id: str) -> Batch:
        """Ask a batch to end; one that is ending is answered as it is. Raises BadRequestError when it has ended."""
        batch = self.get(owner, batch_id)
        if not self.canceller.cancel(batch_id) and self.get(owner, batch_id).status.is_final:
            raise BadRequestError(f"{batch_id} is {batch.status}: it has ended already.", code="batch_ended")
        return self.get(owner, batch_id)

    def document(self, owner: str, batch_id: str, name: str) -> Raw:
        """The receipt or the manifest. Raises NoSuchThingError before the end."""
        batch = self.get(owner, batch_id)
        try:
            return Raw(self.bucket.read(batch.results.prefix + name))
        except ObjectMissingError:
            if batch.outcome is not None:  # somebody has removed it
                raise
            raise NoSuchThingError(f"{batch_id} is {batch.status}: it has no {name} yet.", code="not_ended") from None

    def usage(self, batch: Batch) -> Usage | None:
        """What an ended batch has used; None before, and when somebody has removed its receipt."""
        if batch.outcome is None:
            return None
        try:
            return self.bucket.read_json(batch.results.receipt, _Receipt).usage
        except ObjectMissingError:
            return None

    def wait(self, batch: Batch) -> Wait | None:
        """Why a batch waits; None when nothing of it does."""
        jobs = self.records.counted_jobs(batch) if batch.status is BatchStatus.IN_PROGRESS else []
        return find_wait(batch, jobs)

    def faults(self, batch: Batch) -> list[Fault]:
        """The first faults of the lines of a batch that was refused."""
        try:
            index = self.bucket.read_json(batch.keys.index, LineIndex)
            streams = [map(read_fault, read_parts(self.bucket, parts)) for parts in (index.faults, index.late_faults)]
            return [fault for _, fault in islice(heapq.merge(*streams, key=itemgetter(0)), MOST_FAULTS)]
        except ObjectMissingError:  # too old: working data is kept for some days
            return []

    def _input(self, owner: str, file_id: str) -> tuple[File, ObjectRef]:
        """An uploaded file with its content. Raises NoSuchThingError."""
        with suppress(NoSuchThingError):
            file = self.files.ready(owner, file_id)
            if file.source is not None:
                return file, file.source
        message = "There is no such file among your uploaded ones."
        raise NoSuchThingError(message, param="input_file_id", code="file_not_found")

    def _options(self, wanted: Creation) -> Options:
        metadata = wanted.metadata or {}
        fits = all(1 <= len(name) <= LONGEST_NAME and len(value) <= LONGEST_VALUE for name, value in metadata.items())
        if len(metadata) > MOST_METADATA or not fits:
            limits = f"{MOST_METADATA} pairs, names of 1 to {LONGEST_NAME} and values of up to {LONGEST_VALUE} characters"
            raise BadRequestError(f"metadata has at most {limits}.", param="metadata")
        given = {name: value for name, value in metadata.items() if name in OPTIONS} | wanted.options
        if wanted.endpoint is not None:
            given["endpoint"] = wanted.endpoint
        options = read_options(given, self.settings, self.now())
        if isinstance(options, Failure):
            raise BadRequestError(options.message, code=str(options.code), param="metadata")
        return options

    def _create(self, make: Callable[[], Batch], owner: str, call: object, attempt: Attempt) -> Batch:
        try:
            return self.creator.create(make, owner, call, attempt)
        except KeyReusedError as error:
            raise BadRequestError(f"{error}.", param="Idempotency-Key", code="idempotency_key_reused") from None

    def _record(self, owner: str, source: ObjectRef, options: Options, metadata: dict[str, str] | None) -> Batch:
        now = self.now()
        return Batch(
            batch_id=new_batch_id(),
            owner=owner,
            status=BatchStatus.VALIDATING,
            input=source,
            created_at=now,
            deadline=max(now, options.not_before or 0) + options.completion_window,
            history=[StatusChange(BatchStatus.VALIDATING, now)],
            options=options,
            models_version=self.tables.newest(),
            metadata=metadata,
            is_sent=False,
        )
