"""Files as a caller sees them: those that he uploaded, and those that his batches have of themselves."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr

from slacktide import keys
from slacktide.api.errors import BadRequestError, NoSuchThingError
from slacktide.api.pages import Page, take_page
from slacktide.batch import Batch, ObjectRef
from slacktide.bucket import Bucket
from slacktide.errors import ConflictError, NotFoundError
from slacktide.files import File, Files, FileState
from slacktide.ids import BatchFile, FileKind, parse_file_id
from slacktide.links import Links
from slacktide.records import Records
from slacktide.sources import Sources
from slacktide.uploads import Upload

LIST_NAME, CONTENT_NAME = "objects.json", "content"  # of a file of several objects
LARGEST_JOINED = 500_000_000  # bytes; joined within the 29 seconds of a call
RESULT_KINDS = (FileKind.OUTPUT, FileKind.ERRORS)


@dataclass(frozen=True, slots=True)
class FileView:
    """A file. `source` is its content; times are in Unix seconds, `expires_at` is when it will be gone, if ever."""

    file_id: str
    kind: FileKind
    filename: str
    bytes: int
    created_at: int
    source: ObjectRef
    order: tuple[int, str]  # lists are sorted by it, the newest first
    expires_at: int | None = None


class _Result(msgspec.Struct):
    key: str
    version_id: str | None
    lines: int
    bytes: int


class _Manifest(msgspec.Struct):
    output: _Result
    errors: _Result


@dataclass(frozen=True, slots=True)
class FileService:
    """What can be done with files, whoever asks in whichever dialect."""

    bucket: Bucket
    records: Records
    files: Files
    sources: Sources
    links: Links
    now: Callable[[], int]

    def get(self, owner: str, file_id: str) -> FileView:
        """One file. Raises NoSuchThingError."""
        of_batch = parse_file_id(file_id)
        if of_batch is not None:
            return self._of_batch(owner, of_batch)
        return view_uploaded(self.ready(owner, file_id))

    def page(self, owner: str, *, after: str | None, limit: int, kinds: Sequence[FileKind]) -> Page[FileView]:
        """A page of the owner's files, newest first. Raises BadRequestError for an `after` that is none of them."""
        last = self._cursor(owner, after)
        until = None if last is None else last[0]
        now = self.now()
        files = self.files.of_owner(owner, now, until, limit + 1) if FileKind.UPLOADED in kinds else iter(())
        batches = (batch.seen_at(now) for batch in self.records.batches_of_owner(owner, until, limit + 1))
        merged = heapq.merge(map(view_uploaded, files), self._results(batches, kinds), key=lambda file: file.order, reverse=True)
        return take_page((file for file in merged if last is None or file.order < last), limit)

    def locate(self, owner: str, file_id: str) -> str:
        """A presigned URL of a file's content. Raises NoSuchThingError."""
        source = self.get(owner, file_id).source
        return self.links.to_get(self._join(source) if source.is_list else source)

    def delete(self, owner: str, file_id: str) -> None:
        """Delete a file: its record, and its content. Raises NoSuchThingError, and BadRequestError while a batch needs it."""
        file = self.get(owner, file_id)
        if file.kind is FileKind.INPUT:
            raise BadRequestError("This file was dropped into the bucket: delete it there.", code="file_not_deletable")
        if file.kind is not FileKind.UPLOADED:
            self._delete_result(owner, file)
            return
        batch_id = self.records.open_batch_of_input(file.source.key)
        if batch_id is not None:
            raise BadRequestError(f"{batch_id} runs this file; delete it when that has ended.", code="file_in_use")
        try:
            self.files.change(self.ready(owner, file_id), FileState.DELETED)
        except ConflictError as error:
            raise NoSuchThingError(f"There is no file {file_id}.") from error
        self.bucket.delete_below(keys.upload(file_id))

    def ready(self, owner: str, file_id: str) -> File:
        """The record of an uploaded file. Raises NoSuchThingError, also while its upload is not completed."""
        try:
            file = self.files.get(file_id, owner, self.now())
        except NotFoundError:
            file = None
        if file is None or file.state is not FileState.READY:
            raise NoSuchThingError("There is no such file, or its upload has not been completed.")
        return file

    def _join(self, source: ObjectRef) -> ObjectRef:
        """The object that holds the content of several, made when it is first asked for."""
        key = source.key.removesuffix(LIST_NAME) + CONTENT_NAME
        head = self.bucket.head(key)
        if head is None:
            if source.bytes > LARGEST_JOINED:
                raise BadRequestError(
                    f"This file was uploaded in parts; above {LARGEST_JOINED} bytes it cannot be had as a whole."
                )
            with Upload(self.bucket, key, tail_key=lambda size: f"{key}.{size}", state=None) as joined:
                for block in self.sources.blocks(source):
                    joined.write(block)
                joined.complete()
            head = self.bucket.head(key) or {}
        return ref_of(self.bucket.name, key, head)

    def _cursor(self, owner: str, after: str | None) -> tuple[int, str] | None:
        if after is None:
            return None
        try:
            return self.get(owner, after).order
        except NoSuchThingError:
            raise BadRequestError("after is none of your files.", param="after") from None

    def _results(self, batches: Iterator[Batch], kinds: Sequence[FileKind]) -> Iterator[FileView]:
        wanted = [kind for kind in reversed(RESULT_KINDS) if kind in kinds]
        if not wanted:
            return
        for batch in batches:
            for kind in wanted:
                if batch.result_file_id(kind):
                    yield self._view(batch, BatchFile(batch.batch_id, kind))

    def _of_batch(self, owner: str, of_batch: BatchFile) -> FileView:
        try:
            batch = self.records.get_batch(of_batch.batch_id).seen_at(self.now())
        except NotFoundError:
            raise NoSuchThingError("There is no such file.") from None
        is_there = of_batch.kind is FileKind.INPUT if batch.file_id is None else False
        is_there = is_there or (of_batch.kind in RESULT_KINDS and batch.result_file_id(of_batch.kind) is not None)
        if batch.owner != owner or not is_there:
            raise NoSuchThingError("There is no such file.")
        return self._view(batch, of_batch)

    def _view(self, batch: Batch, of_batch: BatchFile) -> FileView:
        kind, order = of_batch.kind, (batch.created_at, str(of_batch))
        if kind is FileKind.INPUT:
            size = max(0, batch.input.bytes)
            return FileView(str(of_batch), kind, batch.input_file_name or "", size, batch.created_at, batch.input, order)
        source = self._result(batch, kind)
        name = f"{batch.batch_id}_{'output' if kind is FileKind.OUTPUT else 'errors'}.jsonl"
        since, until = batch.ended_at or batch.created_at, batch.results_until
        return FileView(str(of_batch), kind, name, source.bytes, since, source, order, until)

    def _result(self, batch: Batch, kind: FileKind) -> ObjectRef:
        """Where a result file is; batches that ended under an earlier version have it in the manifest alone."""
        known = batch.output if kind is FileKind.OUTPUT else batch.errors
        if known is not None:
            return known
        manifest = self.bucket.read_json(batch.results.manifest, _Manifest)
        result = manifest.output if kind is FileKind.OUTPUT else manifest.errors
        return ObjectRef(self.bucket.name, result.key, result.version_id or "", result.bytes)

    def _delete_result(self, owner: str, file: FileView) -> None:
        if of_batch := parse_file_id(file.file_id):
            batch = self.records.get_batch(of_batch.batch_id)
            try:
                when = Attr("deleted").eq(batch.deleted) | Attr("deleted").not_exists()  # as of a former version
                self.records.update_batch(batch.batch_id, when=when, deleted=[*batch.deleted, of_batch.kind])
            except ConflictError:  # one of the two was deleted in between: this one, or the other
                self.delete(owner, file.file_id)
            else:
                self.bucket.delete(file.source.key)


def view_uploaded(file: File) -> FileView:
    if file.source is None:
        raise NoSuchThingError(f"There is no file {file.file_id}; its upload has not been completed.")
    order = file.since, file.file_id
    return FileView(file.file_id, FileKind.UPLOADED, file.filename, file.bytes, file.since, file.source, order, file.expires_at)


def ref_of(bucket: str, key: str, head: dict[str, Any]) -> ObjectRef:
    return ObjectRef(bucket, key, str(head["VersionId"]), head["ContentLength"])
