"""Uploaded files: their records in the table. A file is an ordered list of objects; most have one."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from slacktide.batch import ObjectRef
from slacktide.errors import ConflictError, NotFoundError
from slacktide.ids import FILE_ID
from slacktide.items import from_item, only_failed_condition, query, to_item, update

PENDING = "pending-file"  # gsi2: uploads that have not been completed, by their end
EXPIRING = "expiring-file"  # gsi2: ready files that expire, by that time
PART_SECONDS = 172_800  # how long the table keeps a part: longer than an upload may take


class FileState(StrEnum):
    """Where an uploaded file is."""

    PENDING = "pending"
    READY = "ready"
    CANCELLED = "cancelled"
    DELETED = "deleted"


class File(msgspec.Struct, frozen=True):
    """An uploaded file, or one that is being uploaded. `bytes` is its size, as announced at first and as counted in the end."""

    file_id: str
    owner: str
    filename: str
    purpose: str
    created_at: int
    state: FileState = FileState.PENDING
    bytes: int = 0
    source: ObjectRef | None = None  # the content, once it is whole
    uploads_until: int | None = None  # an upload that was not completed by then is removed
    parts: int = 0  # numbered objects that it is to have; 0: one object, or the parts of an upload
    ready_at: int | None = None  # when its content was whole
    expires_after: int | None = None  # seconds; at an attribute `expires_at` the table would remove a file that is in use

    @property
    def since(self) -> int:
        """When it was created, for those who look at it: an upload becomes a file when its content is whole."""
        return self.ready_at or self.created_at

    @property
    def expires_at(self) -> int | None:
        """From when on it is not there any more; None: never, or its content is not whole."""
        return None if self.ready_at is None or self.expires_after is None else self.ready_at + self.expires_after

    def has_expired(self, now: int) -> bool:
        """Whether it is not there any more."""
        return self.expires_at is not None and self.expires_at <= now


class FilePart(msgspec.Struct, frozen=True):
    """One part of an upload, in the order of `part_id` as long as nobody says otherwise."""

    part_id: str
    created_at: int
    source: ObjectRef


@dataclass(frozen=True, slots=True)
class Files:
    """The records of uploaded files: (file id, "file"); their parts: (file id, "part#" + part id)."""

    table: Any

    def put(self, file: File) -> File:
        """Write a file that is new, or the same one again."""
        self.table.put_item(Item=_file_key(file.file_id) | to_item(file) | _indexes(file))
        return file

    def get(self, file_id: str, owner: str, now: int) -> File:
        """A file as it is now. Raises NotFoundError, also for one of another owner, that was deleted or that has expired."""
        is_id = FILE_ID.fullmatch(file_id)
        item = self.table.get_item(Key=_file_key(file_id), ConsistentRead=True).get("Item") if is_id else None
        file = from_item(item, File) if item else None
        if file is None or file.owner != owner or file.state is FileState.DELETED or file.has_expired(now):
            raise NotFoundError(f"there is no file {file_id}")
        return file

    def change(self, file: File, state: FileState, **fields: Any) -> File:
        """Take a pending file to another state, or delete a ready one. Raises ConflictError where it has left its state."""
        changed = msgspec.structs.replace(file, state=state, **fields)
        try:
            self.table.put_item(
                Item=_file_key(file.file_id) | to_item(changed) | _indexes(changed),
                ConditionExpression=Attr("state").eq(str(file.state)),
            )
        except ClientError as error:
            only_failed_condition(error)
            raise ConflictError(f"{file.file_id} is {file.state} no more") from error
        return changed

    def of_owner(self, owner: str, now: int, until: int | None = None, page: int | None = None) -> Iterator[File]:
        """The ready files of an owner, newest first; those of second `until` and before, if given. `page` is read at once."""
        condition = Key("gsi1pk").eq(_pool(owner))
        if until is not None:
            condition &= Key("gsi1sk").lt(f"{until + 1:012d}")
        for item in query(self.table, "gsi1", condition, forward=False, page=page):
            file = from_item(item, File)
            if not file.has_expired(now):
                yield file

    def overdue(self, now: int) -> Iterator[File]:
        """Pending files whose upload is over."""
        condition = Key("gsi2pk").eq(PENDING) & Key("gsi2sk").lt(f"{now:012d}")
        for item in query(self.table, "gsi2", condition):
            yield from_item(item, File)

    def expired(self, now: int) -> Iterator[File]:
        """Files that are not there any more, and were not put off, the oldest first."""
        condition = Key("gsi2pk").eq(EXPIRING) & Key("gsi2sk").lt(f"{now + 1:012d}")
        for item in query(self.table, "gsi2", condition):
            yield from_item(item, File)

    def put_off(self, file: File, until: int) -> None:
        """Have an expired file that is still needed looked at again at a later time."""
        with suppress(ConflictError):  # another sweep has removed it
            update(self.table, _file_key(file.file_id), File, Attr("pk").exists(), {"gsi2sk": f"{until:012d}"})

    def add_part(self, file: File, part: FilePart) -> None:
        """Record a part; the table removes it by itself when its upload is long over."""
        until = {"expires_at": part.created_at + PART_SECONDS}
        self.table.put_item(Item=_part_key(file.file_id, part.part_id) | to_item(part) | until)

    def parts(self, file_id: str) -> dict[str, FilePart]:
        """The parts of an upload by their ids."""
        condition = Key("pk").eq(file_id) & Key("sk").begins_with("part#")
        parts = (from_item(item, FilePart) for item in query(self.table, None, condition))
        return {part.part_id: part for part in parts}

    def forget(self, file: File) -> None:
        """Remove the record of a file; those of its parts go by themselves."""
        self.table.delete_item(Key=_file_key(file.file_id))


def _pool(owner: str) -> str:
    return f"file#{owner}"


def _file_key(file_id: str) -> dict[str, str]:
    return {"pk": file_id, "sk": "file"}


def _part_key(file_id: str, part_id: str) -> dict[str, str]:
    return {"pk": file_id, "sk": f"part#{part_id}"}


def _indexes(file: File) -> dict[str, str]:
    """Ready files are found by their owner, and by their end if they have one; pending ones by that of their upload."""
    if file.state is FileState.READY:
        owned = {"gsi1pk": _pool(file.owner), "gsi1sk": f"{file.since:012d}#{file.file_id}"}
        return owned if file.expires_at is None else owned | {"gsi2pk": EXPIRING, "gsi2sk": f"{file.expires_at:012d}"}
    if file.state is FileState.PENDING and file.uploads_until is not None:
        return {"gsi2pk": PENDING, "gsi2sk": f"{file.uploads_until:012d}"}
    return {}
