"""S3 as a folder: the calls of boto3's client that Slacktide makes, with objects as files, so that they take no memory.

An object is a file, or, after a multipart upload, a folder with its parts. There is no wire, no checksum and one version.
"""
# ruff: noqa: N803 - the names of arguments are boto3's

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NoReturn

from botocore.exceptions import ClientError

ETAG = '"0"'
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Body:
    """The bytes of some files one after the other, from `start` on, `size` of them at most; read as boto3's body is."""

    def __init__(self, paths: list[Path], start: int, size: int) -> None:
        self._waiting = list(reversed(paths))
        self._skip = start
        self._left = size
        self._file: IO[bytes] | None = None

    def read(self, amt: int | None = None) -> bytes:
        """At most `amt` bytes, or all that are left."""
        pieces: list[bytes] = []
        wanted = self._left if amt is None else min(amt, self._left)
        while wanted > 0 and (piece := self._next(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self._left -= len(piece)
        if self._left <= 0:
            self.close()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def iter_chunks(self, chunk_size: int = 1024) -> Iterator[bytes]:
        """The rest in pieces of `chunk_size` bytes."""
        while piece := self.read(chunk_size):
            yield piece

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._waiting.clear()

    def _next(self, wanted: int) -> bytes:
        while self._file is not None or self._waiting:
            if self._file is None:
                self._file = self._open(self._waiting.pop())
            if piece := self._file.read(wanted):
                return piece
            self._file.close()
            self._file = None
        return b""

    def _open(self, path: Path) -> IO[bytes]:
        file = path.open("rb", buffering=0)
        skipped = min(self._skip, path.stat().st_size)
        file.seek(skipped)
        self._skip -= skipped
        return file


@dataclass
class Paginator:
    """One page of everything."""

    page: Callable[..., dict[str, Any]]

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The pages."""
        yield self.page(**arguments)


@dataclass
class FolderS3:
    """One bucket, whatever its name, below `root`."""

    root: Path
    _uploads: dict[str, Path] = field(default_factory=dict)

    def put_object(self, *, Key: str, Body: bytes = b"", IfNoneMatch: str | None = None, **_: Any) -> dict[str, Any]:
        """Write a file; the folder of an object with parts is replaced."""
        path = self.root / Key
        if IfNoneMatch and path.exists():
            _refuse("PreconditionFailed", "PutObject")
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)
        return {"ETag": ETAG, "VersionId": "1"}

    def get_object(self, *, Key: str, Range: str | None = None, **_: Any) -> dict[str, Any]:
        """Open a file, or the parts of an object, or a range of either."""
        paths = self._parts_of(Key, "NoSuchKey")
        total = sum(path.stat().st_size for path in paths)
        start, end = find_range(Range, total) or _refuse("InvalidRange", "GetObject")
        size = end - start
        answer = {"ETag": ETAG, "VersionId": "1", "ContentLength": size, "Body": Body(paths, start, size)}
        return answer | ({"ContentRange": f"bytes {start}-{end - 1}/{total}"} if Range else {})

    def head_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        """The size of an object, and what else a head has."""
        total = sum(path.stat().st_size for path in self._parts_of(Key, "404"))
        modified = datetime.fromtimestamp((self.root / Key).stat().st_mtime, UTC)
        return {"ETag": ETAG, "VersionId": "1", "ContentLength": total, "LastModified": modified, "Metadata": {}}

    def create_multipart_upload(self, *, Key: str, **_: Any) -> dict[str, Any]:
        """Begin an object of parts."""
        upload_id = f"u{len(self._uploads) + 1}"
        self._uploads[upload_id] = folder = (self.root / Key).with_name(f".{upload_id}-{Path(Key).name}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return {"UploadId": upload_id}

    def upload_part(self, *, UploadId: str, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:
        """Write a part."""
        (self._uploads[UploadId] / f"{PartNumber:05d}").write_bytes(Body)
        return {"ETag": ETAG}

    def list_parts(self, *, UploadId: str, **_: Any) -> dict[str, Any]:
        """The parts of an upload, as numbers with ETags."""
        return {"Parts": [{"PartNumber": int(path.name), "ETag": ETAG} for path in sorted(self._uploads[UploadId].iterdir())]}

    def complete_multipart_upload(self, *, Key: str, UploadId: str, **_: Any) -> dict[str, Any]:
        """Make the object of an upload appear."""
        path = self.root / Key
        shutil.rmtree(path, ignore_errors=True)
        self._uploads.pop(UploadId).replace(path)
        return {"ETag": ETAG, "VersionId": "1"}

    def get_paginator(self, name: str) -> Paginator:
        """The call of that name as pages."""
        return Paginator(getattr(self, name))

    def _parts_of(self, key: str, missing: str) -> list[Path]:
        path = self.root / key
        if path.is_file():
            return [path]
        return sorted(path.iterdir()) if path.is_dir() else _refuse(missing, "GetObject")


def find_range(text: str | None, total: int) -> tuple[int, int] | None:
    """The first byte of a range and the one behind its last; None where an object of `total` bytes has no such range."""
    if text is None:
        return 0, total
    match = _RANGE.fullmatch(text)
    if match is None or int(match[1]) >= total:
        return None
    return int(match[1]), min(int(match[2]) + 1, total) if match[2] else total


def _refuse(code: str, operation: str) -> NoReturn:
    raise ClientError({"Error": {"Code": code, "Message": code}}, operation)
