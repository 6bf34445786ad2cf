"""The bucket: streams of lines in, bounded objects out, conditional writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
from botocore.exceptions import ClientError

from slacktide.errors import ConflictError, ObjectMissingError, SlacktideError
from slacktide.reading import AHEAD, Reader, Window

T = TypeVar("T")

_MISSING = {"NoSuchKey", "NoSuchVersion", "404", "NotFound"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


def error_code(error: ClientError) -> str:
    """The code of an AWS error, for example `NoSuchKey`."""
    return error.response.get("Error", {}).get("Code", "")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Slacktide's bucket; `s3` is boto3's client."""

    s3: Any
    name: str

    def head(self, key: str, version_id: str | None = None) -> dict[str, Any] | None:
        """The head of an object; None when it is not there or its newest version is a delete marker."""
        version = {"VersionId": version_id} if version_id else {}
        try:
            return self.s3.head_object(Bucket=self.name, Key=key, **version)
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise

    def find_version(self, key: str, etag: str) -> str | None:
        """The id of the newest version of `key` with this ETag; None when there is none."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=key)
        for page in pages:
            for version in page.get("Versions", []):
                if version["Key"] == key and version["ETag"].strip('"') == etag.strip('"'):
                    return version["VersionId"]
        return None

    def stream(self, key: str, version_id: str | None = None, start: int = 0, window: Window = AHEAD) -> Iterator[bytes]:
        """The content of an object from byte `start` on, in blocks of 64 KB; nothing where it ends before.

        Raises ObjectMissingError, ConflictError if it is replaced meanwhile, and BrokenReadError.
        """
        version = {"VersionId": version_id} if version_id else {}
        try:
            yield from Reader(partial(self._get, key, **version), window).blocks(start)
        except ClientError as error:
            if error_code(error) == "InvalidRange":  # an empty object has no ranges
                return
            if error_code(error) in _CHANGED:
                raise ConflictError(f"s3://{self.name}/{key} was written by somebody else while it was read") from error
            raise

    def lines(self, key: str, start: int = 0, window: Window = AHEAD, version_id: str | None = None) -> Iterator[bytes]:
        """The lines of an object that we wrote, without their line feeds."""
        begun: list[bytes] = []  # joined once, so that a line of many blocks costs no more than its length
        for block in self.stream(key, version_id, start, window):
            first, *lines = block.split(b"\n")
            begun.append(first)
            if lines:
                yield b"".join(begun)
                begun = [lines.pop()]
                yield from lines
        if tail := b"".join(begun):
            yield tail

    def read(self, key: str) -> bytes:
        """The whole of a small object."""
        return self._get(key)["Body"].read()

    def read_json(self, key: str, kind: type[T]) -> T:
        """A small JSON object as a value of `kind`."""
        return msgspec.json.decode(self.read(key), type=kind)

    def write(self, key: str, data: bytes, content_type: str = "application/x-ndjson") -> str:
        """Write one object; answers its ETag."""
        return self.s3.put_object(Bucket=self.name, Key=key, Body=data, ContentType=content_type)["ETag"]

    def write_json(self, key: str, value: object) -> None:
        """Write one JSON object, readable by a person."""
        self.write(key, pretty(value), "application/json")

    def create(self, key: str, value: object) -> None:
        """Write one JSON object that must not exist yet. Raises ConflictError when it does."""
        self._write_if(key, value, IfNoneMatch="*")

    def replace(self, key: str, value: object, etag: str) -> None:
        """Overwrite one JSON object that must still have `etag`. Raises ConflictError when it has not."""
        self._write_if(key, value, IfMatch=etag)

    def delete(self, key: str) -> None:
        """Put a delete marker on an object; its versions stay until the lifecycle of the bucket removes them."""
        self.s3.delete_object(Bucket=self.name, Key=key)

    def delete_below(self, prefix: str) -> None:
        """Put delete markers on all objects below a prefix, a thousand with each call. Raises SlacktideError."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            if keys := [{"Key": entry["Key"]} for entry in page.get("Contents", [])]:
                answer = self.s3.delete_objects(Bucket=self.name, Delete={"Objects": keys, "Quiet": True})
                if errors := answer.get("Errors"):
                    raise SlacktideError(f"{len(errors)} objects below {prefix} were not deleted: {errors[0].get('Code')}")

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The keys and sizes in bytes of the objects below a prefix, in the order of their names."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["Size"]

    def _get(self, key: str, **extra: str) -> dict[str, Any]:
        try:
            return self.s3.get_object(Bucket=self.name, Key=key, **extra)
        except ClientError as error:
            if error_code(error) in _MISSING:
                raise ObjectMissingError(f"s3://{self.name}/{key} is not there") from error
            raise

    def _write_if(self, key: str, value: object, **condition: str) -> None:
        try:
            self.s3.put_object(Bucket=self.name, Key=key, Body=pretty(value), ContentType="application/json", **condition)
        except ClientError as error:
            if error_code(error) in _CHANGED | _MISSING:
                raise ConflictError(f"s3://{self.name}/{key} was written by somebody else") from error
            raise


def pretty(value: object) -> bytes:
    """A value as indented JSON with a final line feed."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
