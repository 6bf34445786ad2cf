"""A big object written over several invocations: a multipart upload that can be put down and taken up again."""

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import msgspec
from botocore.exceptions import ClientError

from slacktide.bucket import Bucket, error_code
from slacktide.errors import SlacktideError

PART_BYTES = 8 << 20  # every part but the last has at least 5 MiB
SENDERS = 2  # parts on their way at once: what makes the next one need not wait for the network
SIZE_PARTS = 1_000  # parts of one size; the next ones are 8 MiB bigger: S3 takes 10,000 parts, which so are 440 GB and not 80


class UploadLostError(SlacktideError):
    """The upload is gone (completed or aborted by another invocation): the object is to be written from the start."""


class UploadState(msgspec.Struct, frozen=True):
    """Where an upload stands: what it has sent (without id: nothing), and the object that holds the bytes behind that."""

    upload_id: str
    parts: int
    lines: int
    bytes: int
    tail: str


class Written(msgspec.Struct, frozen=True):
    """A finished object: the same fields stand in the manifest."""

    key: str
    version_id: str | None
    lines: int
    bytes: int
    sha256: str


class Upload:
    """Writes lines to one object. Its parts are cut at fixed places, so a step that is repeated overwrites its own.

    At the end of its context nothing of it is under way any more.
    """

    def __init__(self, bucket: Bucket, key: str, *, tail_key: Callable[[int], str], state: UploadState | None) -> None:
        self._bucket = bucket
        self._key = key
        self._tail_key = tail_key
        self._upload_id = state.upload_id if state else ""
        self._parts = state.parts if state else 0
        self._lines = state.lines if state else 0
        self._bytes = state.bytes if state else 0
        self._buffer = bytearray(bucket.read(state.tail) if state else b"")
        self._hash: Any = None if state else hashlib.sha256()
        self._senders = ThreadPoolExecutor(SENDERS)  # it has no thread before there is something to send
        self._sending: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._senders.shutdown(cancel_futures=True)

    def write(self, lines: bytes) -> None:
        """Append lines, each with its line feed."""
        self._buffer += lines
        self._lines += lines.count(b"\n")
        self._bytes += len(lines)
        if self._hash is not None:
            self._hash.update(lines)
        while len(self._buffer) >= self._part_bytes:
            self._send_part()

    @property
    def needs_pass(self) -> bool:
        """Whether the SHA-256 takes a pass over the whole, which may last as long as an invocation does."""
        return bool(self._upload_id) and self._hash is None

    def suspend(self) -> UploadState:
        """Put the upload down; the state is enough to take it up in another invocation.

        The tail is named by the bytes written so far, so a step that is repeated finds the one it began with.
        """
        self._wait(0)
        tail = self._tail_key(self._bytes)
        self._bucket.write(tail, bytes(self._buffer), "application/octet-stream")
        return UploadState(self._upload_id, self._parts, self._lines, self._bytes, tail)

    def complete(self) -> Written:
        """Make the object appear. Raises UploadLostError."""
        s3, name = self._bucket.s3, self._bucket.name
        if not self._upload_id:
            self._hash = hashlib.sha256(self._buffer)  # nothing was sent: the buffer is the whole
            answer = s3.put_object(Bucket=name, Key=self._key, Body=bytes(self._buffer), ContentType="application/x-ndjson")
        else:
            if self._buffer:
                self._send_part()
            self._wait(0)
            answer = self._call(s3.complete_multipart_upload, MultipartUpload={"Parts": self._sent_parts()})
        digest = self._hash.hexdigest() if self._hash is not None else self._digest(answer.get("VersionId"))
        return Written(self._key, answer.get("VersionId"), self._lines, self._bytes, digest)

    def _start(self) -> None:
        answer = self._bucket.s3.create_multipart_upload(
            Bucket=self._bucket.name, Key=self._key, ContentType="application/x-ndjson"
        )
        self._upload_id = answer["UploadId"]

    def _send_part(self) -> None:
        if not self._upload_id:
            self._start()
        self._wait(SENDERS - 1)
        size = self._part_bytes
        part = {"PartNumber": self._parts + 1, "Body": bytes(self._buffer[:size])}
        self._sending.append(self._senders.submit(self._call, self._bucket.s3.upload_part, **part))
        self._parts += 1
        del self._buffer[:size]

    def _wait(self, most: int) -> None:
        """Until at most so many parts are under way. Raises what kept one from being sent."""
        while len(self._sending) > most:
            self._sending.popleft().result()

    @property
    def _part_bytes(self) -> int:
        """The size of the next part; its number decides, so a step that is repeated cuts as it did."""
        return PART_BYTES * (1 + self._parts // SIZE_PARTS)

    def _sent_parts(self) -> list[dict[str, object]]:
        """The parts with their checksums: boto3 gives an upload one, and S3 then completes it only with those of all parts."""
        pages = self._call(self._list_parts)
        parts = [part for page in pages for part in page.get("Parts", []) if part["PartNumber"] <= self._parts]
        return [
            {name: value for name, value in part.items() if name in {"PartNumber", "ETag"} or name.startswith("Checksum")}
            for part in parts
        ]

    def _list_parts(self, **upload: object) -> list[dict[str, Any]]:
        return list(self._bucket.s3.get_paginator("list_parts").paginate(**upload))

    def _call(self, method: Callable[..., Any], **arguments: object) -> Any:
        try:
            return method(Bucket=self._bucket.name, Key=self._key, UploadId=self._upload_id, **arguments)
        except ClientError as error:
            if error_code(error) == "NoSuchUpload":
                raise UploadLostError(f"the upload of {self._key} is gone") from error
            raise

    def _digest(self, version_id: str | None) -> str:
        """SHA-256 of the whole, in a pass of its own: a hash cannot be carried from one invocation to the next."""
        digest = hashlib.sha256()
        for block in self._bucket.stream(self._key, version_id):
            digest.update(block)
        return digest.hexdigest()
