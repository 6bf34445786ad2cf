"""S3 as a dict: the calls of boto3's client that Slacktide makes, versions, conditional writes and multipart uploads."""
# ruff: noqa: N803 - the names of arguments are boto3's

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fakes.clock import SettableClock
from fakes.wire import Wire, external, refuse

MOST_DELETED = 1_000  # objects with one call


@dataclass(frozen=True)
class Version:
    version_id: str
    data: bytes | None  # None: a delete marker
    modified: datetime
    metadata: dict[str, str]

    @property
    def etag(self) -> str:
        return '"' + hashlib.md5(self.data or b"", usedforsecurity=False).hexdigest() + '"'


class Body:
    """A streaming body."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self) -> bytes:
        return self._data

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        for start in range(0, len(self._data), size):
            yield self._data[start : start + size]


MOST_PARTS = 10_000  # of one upload (Amazon S3 User Guide, "Amazon S3 multipart upload limits")


@dataclass
class Paginator:
    page: Callable[..., dict[str, Any]]

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        yield self.page(**arguments)


@dataclass
class FakeS3:
    """One versioned bucket, whatever its name."""

    wire: Wire
    clock: SettableClock
    objects: dict[str, list[Version]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # keys of heads
    _count: int = 0

    @external
    def put_object(
        self,
        *,
        Key: str,
        Body: bytes = b"",
        Metadata: dict[str, str] | None = None,
        IfNoneMatch: str | None = None,
        IfMatch: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        now = self._newest(Key)
        if (IfNoneMatch == "*" and now is not None) or (IfMatch is not None and (now is None or now.etag != IfMatch)):
            refuse("PreconditionFailed", "PutObject")
        return self._put(Key, Body, Metadata or {})

    @external
    def get_object(
        self, *, Key: str, VersionId: str | None = None, Range: str | None = None, IfMatch: str | None = None, **_: Any
    ) -> dict[str, Any]:
        version = self._find(Key, VersionId, missing="NoSuchKey")
        data = version.data or b""
        if IfMatch not in {None, version.etag}:
            refuse("PreconditionFailed", "GetObject")
        if not Range:
            return {"Body": Body(data), "ETag": version.etag, "ContentLength": len(data)}
        first, last = Range.removeprefix("bytes=").split("-")
        if int(first) >= len(data):
            refuse("InvalidRange", "GetObject")
        part = data[int(first) : int(last) + 1 if last else None]
        content_range = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return {"Body": Body(part), "ETag": version.etag, "ContentLength": len(part), "ContentRange": content_range}

    @external
    def head_object(self, *, Key: str, VersionId: str | None = None, **_: Any) -> dict[str, Any]:
        self.asked.append(Key)
        version = self._find(Key, VersionId, missing="404")
        return {
            "ContentLength": len(version.data or b""),
            "ETag": version.etag,
            "VersionId": version.version_id,
            "LastModified": version.modified,
            "Metadata": version.metadata,
        }

    @external
    def delete_object(self, *, Key: str, **_: Any) -> None:
        self._append(Key, None, {})

    @external
    def delete_objects(self, *, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:
        assert len(Delete["Objects"]) <= MOST_DELETED, "S3 refuses so many"
        for entry in Delete["Objects"]:
            self._append(entry["Key"], None, {})
        return {}

    def get_paginator(self, name: str) -> Paginator:
        return Paginator(getattr(self, name))

    @external
    def list_objects_v2(self, *, Prefix: str, **_: Any) -> dict[str, Any]:
        found = [(key, self._newest(key)) for key in sorted(self.objects, key=str.encode) if key.startswith(Prefix)]
        return {"Contents": [{"Key": key, "Size": len(version.data or b"")} for key, version in found if version]}

    @external
    def list_object_versions(self, *, Prefix: str, **_: Any) -> dict[str, Any]:
        return {
            "Versions": [
                {"Key": key, "VersionId": version.version_id, "ETag": version.etag}
                for key in sorted(self.objects)
                if key.startswith(Prefix)
                for version in reversed(self.objects[key])
                if version.data is not None
            ]
        }

    @external
    def create_multipart_upload(self, **_: Any) -> dict[str, Any]:
        self._count += 1
        self.uploads[f"u{self._count}"] = {}
        return {"UploadId": f"u{self._count}"}

    @external
    def upload_part(self, *, UploadId: str, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:
        assert 1 <= PartNumber <= MOST_PARTS, PartNumber
        self._upload(UploadId)[PartNumber] = Body
        return {"ETag": f'"{PartNumber}"'}

    @external
    def list_parts(self, *, UploadId: str, **_: Any) -> dict[str, Any]:
        parts = sorted(self._upload(UploadId).items())
        return {"Parts": [{"PartNumber": number, "ETag": f'"{number}"', "ChecksumCRC32": _crc32(data)} for number, data in parts]}

    @external
    def complete_multipart_upload(self, *, Key: str, UploadId: str, MultipartUpload: dict[str, Any], **_: Any) -> dict[str, Any]:
        parts = self._upload(UploadId)
        if not MultipartUpload["Parts"]:
            refuse("MalformedXML", "CompleteMultipartUpload")
        for part in MultipartUpload["Parts"]:
            # boto3 gives every upload a checksum; S3 then wants those of all parts (emulators do not).
            if part.get("ChecksumCRC32") != _crc32(parts[part["PartNumber"]]):
                refuse("InvalidRequest", "CompleteMultipartUpload")
        data = b"".join(parts[part["PartNumber"]] for part in MultipartUpload["Parts"])
        del self.uploads[UploadId]
        return self._put(Key, data, {})

    # For the tests themselves

    def unwired(self) -> "FakeS3":
        """The same bucket for somebody who is no function."""
        return FakeS3(Wire(), self.clock, self.objects, self.uploads)

    def data(self, key: str) -> bytes:
        """The newest content of a key that must be there."""
        version = self._newest(key)
        assert version is not None, f"{key} is not there"
        return version.data or b""

    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in sorted(self.objects) if key.startswith(prefix) and self._newest(key)]

    def _put(self, key: str, data: bytes, metadata: dict[str, str]) -> dict[str, Any]:
        version = self._append(key, bytes(data), metadata)
        return {"ETag": version.etag, "VersionId": version.version_id}

    def _append(self, key: str, data: bytes | None, metadata: dict[str, str]) -> Version:
        version = Version(f"v{sum(map(len, self.objects.values())) + 1}", data, self.clock.utc(), metadata)
        self.objects.setdefault(key, []).append(version)
        return version

    def _newest(self, key: str) -> Version | None:
        versions = self.objects.get(key)
        return versions[-1] if versions and versions[-1].data is not None else None

    def _find(self, key: str, version_id: str | None, *, missing: str) -> Version:
        if version_id is None:
            return self._newest(key) or refuse(missing)
        found = [version for version in self.objects.get(key, []) if version.version_id == version_id]
        return found[0] if found else refuse(missing)

    def _upload(self, upload_id: str) -> dict[int, bytes]:
        return self.uploads[upload_id] if upload_id in self.uploads else refuse("NoSuchUpload")


def _crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
