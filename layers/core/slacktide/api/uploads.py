"""Uploads: how files come, in one piece or in many, until they are completed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from slacktide import keys
from slacktide.api.errors import BadRequestError, NoSuchThingError
from slacktide.api.files import LIST_NAME, FileView, ref_of, view_uploaded
from slacktide.batch import ObjectRef
from slacktide.bucket import Bucket, pretty
from slacktide.errors import ConflictError, NotFoundError
from slacktide.files import File, FilePart, Files, FileState
from slacktide.ids import new_digits, new_file_id
from slacktide.links import HOUR, Links

LONGEST_NAME = 255  # characters
MOST_PARTS = 250  # of an upload by URLs (Together's client makes no more)
MOST_SENT_PARTS = 10_000  # of an upload by calls: 40 GB
HEADS = 16  # looked at side by side
UPLOAD_SECONDS = 24 * 3_600  # until an upload that was not completed is removed


@dataclass(frozen=True, slots=True)
class UploadService:
    """What can be done with files that are being uploaded."""

    bucket: Bucket
    files: Files
    links: Links
    now: Callable[[], int]

    # Uploads in one piece

    def begin_put(self, owner: str, filename: str) -> tuple[File, str]:
        """A file that is to be uploaded, and the URL where one PUT does that."""
        file = self._begin(owner, filename)
        return file, self.links.to_put(keys.upload_part(file.file_id, 1))

    def finish_put(self, owner: str, file_id: str) -> FileView:
        """Take what was uploaded as the file. Done again it changes nothing. Raises BadRequestError when nothing is there."""
        file = self._not_given_up(owner, file_id)
        if file.state is FileState.READY:
            return view_uploaded(file)
        if file.parts:
            raise BadRequestError("This upload has parts: complete it with them.")
        return self._finish(file, [self._object(keys.upload_part(file_id, 1), "the file")])

    def store(self, owner: str, filename: str, content: bytes, expires_after: int | None = None) -> FileView:
        """Store a file that came with the call, for `expires_after` seconds."""
        file = self._begin(owner, filename, expires_after=expires_after)
        return self._finish(file, [self._write(keys.upload_part(file.file_id, 1), content)])

    # Uploads in numbered parts, by URLs

    def begin_parts(self, owner: str, filename: str, size: int, count: int) -> tuple[File, list[str]]:
        """A file that is to be uploaded as `count` objects, and a URL for each, valid for an hour."""
        if not 1 <= count <= MOST_PARTS:
            raise BadRequestError(f"num_parts is 1 to {MOST_PARTS}.", param="num_parts")
        file = self._begin(owner, filename, size=size, parts=count)
        return file, [self.links.to_put(keys.upload_part(file.file_id, number), HOUR) for number in range(1, count + 1)]

    def finish_parts(self, owner: str, file_id: str, etags: dict[int, str]) -> FileView:
        """Take the parts as the file, if all are there and as they were sent. Raises BadRequestError."""
        file = self._not_given_up(owner, file_id)
        if file.state is FileState.READY:
            return view_uploaded(file)
        numbers = range(1, file.parts + 1)
        if sorted(etags) != list(numbers):
            raise BadRequestError(f"parts must name each of the {file.parts} parts once.", param="parts")
        with ThreadPoolExecutor(HEADS) as pool:
            heads = list(pool.map(self.bucket.head, [keys.upload_part(file_id, number) for number in numbers]))
        for number, head in zip(numbers, heads, strict=True):
            if head is None or head["ETag"].strip('"') != etags[number].strip('"'):
                raise BadRequestError(f"part {number} is not there, or not as it was sent: send it again.", param="parts")
        objects = [
            ref_of(self.bucket.name, keys.upload_part(file_id, number), head or {}) for number, head in enumerate(heads, 1)
        ]
        total = sum(one.bytes for one in objects)
        if total != file.bytes:
            raise BadRequestError(f"The parts have {total} bytes together; {file.bytes} were announced.", param="parts")
        return self._finish(file, objects)

    def abort(self, owner: str, file_id: str) -> File:
        """Give an upload up; what it holds is removed. Raises BadRequestError if it was completed."""
        file = self.look(owner, file_id)
        if file.state is FileState.READY:
            raise BadRequestError("This upload was completed; delete its file.")
        if file.state is FileState.PENDING:
            file = self._change(file, FileState.CANCELLED)
            self.bucket.delete_below(keys.upload(file_id))
        return file

    # Uploads in parts that come with calls (OpenAI's `uploads`)

    def begin_upload(self, owner: str, filename: str, size: int, expires_after: int | None = None) -> File:
        """A file that is to be uploaded by calls; it will have `size` bytes, and be kept for `expires_after` seconds."""
        return self._begin(owner, filename, size=size, expires_after=expires_after)

    def look(self, owner: str, file_id: str) -> File:
        """An upload as it is. Raises NoSuchThingError."""
        try:
            return self.files.get(file_id, owner, self.now())
        except NotFoundError:
            raise NoSuchThingError("There is no such upload.") from None

    def add_part(self, owner: str, file_id: str, content: bytes) -> FilePart:
        """Store a part; parts may come in any order, and side by side."""
        file = self._not_given_up(owner, file_id)
        if file.state is FileState.READY:
            raise BadRequestError("This upload was completed.")
        part_id = "part_" + new_digits()
        part = FilePart(part_id, self.now(), self._write(keys.upload(file_id, part_id), content))
        self.files.add_part(file, part)
        return part

    def complete_upload(self, owner: str, file_id: str, part_ids: list[str], md5: str | None = None) -> FileView:
        """Take parts, in this order, as the file. Raises BadRequestError when they are not those, or not as long.

        Their bytes are not looked at here: a batch of the file fails if they do not have this `md5`.
        """
        md5 = None if md5 is None else md5.lower()
        view = self._complete(owner, file_id, part_ids, md5)
        if md5 not in {None, view.source.md5}:
            raise BadRequestError("This upload was completed before, without this md5.", param="md5")
        return view

    def _complete(self, owner: str, file_id: str, part_ids: list[str], md5: str | None) -> FileView:
        file = self._not_given_up(owner, file_id)
        if file.state is FileState.READY:
            return view_uploaded(file)
        if not 1 <= len(part_ids) <= MOST_SENT_PARTS:
            raise BadRequestError(f"part_ids names 1 to {MOST_SENT_PARTS} parts.", param="part_ids")
        known = self.files.parts(file_id)
        unknown = [number for number, part_id in enumerate(part_ids) if part_id not in known]
        if unknown or len(set(part_ids)) < len(part_ids):
            raise BadRequestError("part_ids names a part that this upload does not have, or one twice.", param="part_ids")
        objects = [known[part_id].source for part_id in part_ids]
        total = sum(one.bytes for one in objects)
        if total != file.bytes:
            raise BadRequestError(f"The parts have {total} bytes together; {file.bytes} were announced.", param="part_ids")
        return self._finish(file, objects, md5)

    # What they share

    def _begin(self, owner: str, filename: str, *, size: int = 0, parts: int = 0, expires_after: int | None = None) -> File:
        if not 1 <= len(filename) <= LONGEST_NAME:
            raise BadRequestError(f"The name of a file has 1 to {LONGEST_NAME} characters.", param="filename")
        now = self.now()
        until = now + UPLOAD_SECONDS
        file = File(new_file_id(), owner, filename, "batch", now, bytes=size, uploads_until=until, parts=parts)
        return self.files.put(msgspec.structs.replace(file, expires_after=expires_after))

    def _finish(self, file: File, objects: list[ObjectRef], md5: str | None = None) -> FileView:
        total = sum(one.bytes for one in objects)
        source = objects[0]
        if len(objects) > 1:
            key = keys.upload(file.file_id, LIST_NAME)
            listed = self._write(key, pretty(objects))
            source = msgspec.structs.replace(listed, bytes=total, is_list=True)
        source = msgspec.structs.replace(source, md5=md5)
        return view_uploaded(self._change(file, FileState.READY, bytes=total, source=source, ready_at=self.now()))

    def _change(self, file: File, state: FileState, **fields: Any) -> File:
        try:
            return self.files.change(file, state, **fields)
        except ConflictError:
            now = self.look(file.owner, file.file_id)
            if now.state is state:  # the same call, twice at once
                return now
            raise BadRequestError(f"This upload is {now.state} by now.") from None

    def _write(self, key: str, content: bytes) -> ObjectRef:
        answer = self.bucket.s3.put_object(Bucket=self.bucket.name, Key=key, Body=content)
        return ObjectRef(self.bucket.name, key, answer["VersionId"], len(content))

    def _object(self, key: str, what: str) -> ObjectRef:
        head = self.bucket.head(key)
        if head is None:
            raise BadRequestError(f"The content of {what} has not been uploaded yet.", code="not_uploaded")
        return ref_of(self.bucket.name, key, head)

    def _not_given_up(self, owner: str, file_id: str) -> File:
        """An upload that is to be completed, or was. Raises NoSuchThingError, and BadRequestError where it was given up."""
        file = self.look(owner, file_id)
        if file.state is FileState.CANCELLED:
            raise BadRequestError("This upload was given up: begin another.")
        return file
