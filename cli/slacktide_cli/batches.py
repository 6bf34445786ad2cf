"""The client of the drop zone: drop a file, follow its batch, download its results. It prints nothing."""

import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from slacktide import keys
from slacktide_cli.documents import LatestBatch, Manifest, ResultFile
from slacktide_cli.errors import BatchReplacedError, ManifestError, ServiceError, UsageError
from slacktide_cli.models import rewrite_models
from slacktide_cli.pacing import growing_pauses
from slacktide_cli.results import find_differences, find_miscounts, write_result, writing_to

_MISSING = {"NoSuchKey", "404", "AccessDenied"}  # without the right to list, S3 answers 403 for what is not there
_BLOCK = 1 << 16  # bytes
_ONE_PUT = 100 << 20  # bytes; a bigger file goes up in parts, side by side


@dataclass(frozen=True, slots=True)
class Drop:
    """A dropped object version, which is one batch."""

    bucket: str
    key: str
    version_id: str

    @property
    def latest_key(self) -> str:
        """Where the status of its batch is to be seen."""
        return keys.latest(keys.input_path(self.key))


def choose_key(file: Path, now: datetime | None = None) -> str:
    """Return a key of its own for a file: `input/cli/<UTC time>-<4 random characters>/<file name>`."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S")
    return f"{keys.INPUT_PREFIX}cli/{stamp}-{secrets.token_hex(2)}/{file.name}"


def check_key(key: str) -> str:
    """Return the key. Raises UsageError when nothing would happen to an object of that name."""
    if not key.startswith(keys.INPUT_PREFIX):
        raise UsageError(f"--key {key}: only what lies below {keys.INPUT_PREFIX} is a drop. Put {keys.INPUT_PREFIX} first.")
    if not key.endswith(keys.DROP_SUFFIXES):
        endings = ", ".join(keys.DROP_SUFFIXES)
        raise UsageError(f"{key}: a dropped file ends in {endings}. Rename it, or name its key with --key.")
    return key


def drop_file(s3: Any, file: Path, *, bucket: str, key: str, options: Mapping[str, str], model: str | None = None) -> Drop:
    """Upload a file with its options as S3 user metadata; `model`, if given, replaces that of each request.

    Raises UsageError when the file cannot be read, ServiceError when it cannot be uploaded.
    """
    with _open_file(file, model) as content, _service_errors(f"uploading to s3://{bucket}/{key}"):
        place = {"Bucket": bucket, "Key": key}
        if os.fstat(content.fileno()).st_size <= _ONE_PUT:
            answer = s3.put_object(**place, Body=content, Metadata=dict(options))
        else:
            s3.upload_fileobj(content, **place, ExtraArgs={"Metadata": dict(options)})
            answer = s3.head_object(**place)
    if "VersionId" not in answer:
        raise UsageError(f"The bucket {bucket} keeps no versions, so it is not Slacktide's. Is SLACKTIDE_BUCKET right?")
    return Drop(bucket, key, answer["VersionId"])


def follow_batch(s3: Any, drop: Drop, *, wait: Callable[[float], None] = time.sleep) -> Iterator[LatestBatch]:
    """Yield the batch of a drop each time its status document has changed, up to the final one.

    `wait` is called with the seconds until the next look, half a second at first and growing with the batch's age.
    Raises BatchReplacedError when a newer version of the key takes its place, ServiceError when S3 refuses.
    """
    seen, was_seen = None, False
    for pause in growing_pauses():
        document = _read_changed(s3, drop, seen)
        if document is not None:
            content, seen = document
            latest = msgspec.json.decode(content, type=LatestBatch)
            if latest.input.version_id == drop.version_id:
                was_seen = True
                yield latest
                if latest.status.is_final:
                    return
            elif was_seen:
                raise BatchReplacedError(
                    f"s3://{drop.bucket}/{drop.key} was written again; its status is now that of {latest.batch_id}. "
                    f"The batch goes on; its results will be below output/{keys.input_path(drop.key)}/."
                )
        wait(pause)


def download_results(s3: Any, drop: Drop, batch: LatestBatch, directory: Path) -> Manifest:
    """Download output, errors, receipt and manifest of an ended batch, and return the manifest.

    Raises ManifestError when there is none, or when the files are not what it says: size, lines, SHA-256; UsageError when
    they cannot be written.
    """
    results = keys.ResultKeys(keys.input_path(drop.key), batch.batch_id)
    content = _read(s3, drop.bucket, results.manifest)
    if content is None:
        raise ManifestError(f"{batch.batch_id} is {batch.status} but has no manifest at {results.manifest}.")
    manifest = msgspec.json.decode(content, type=Manifest)
    problems = _download(s3, drop.bucket, manifest.output, directory / "output.jsonl")
    problems += _download(s3, drop.bucket, manifest.errors, directory / "errors.jsonl")
    problems += find_miscounts(manifest)
    receipt = _read(s3, drop.bucket, manifest.receipt.key)
    if receipt is None:
        problems.append(f"the receipt {manifest.receipt.key} is missing")
    with writing_to(directory):
        if receipt is not None:
            (directory / "receipt.json").write_bytes(receipt)
        (directory / "manifest.json").write_bytes(content)
    if problems:
        raise ManifestError(f"The results of {batch.batch_id} are not those of its manifest: {'; '.join(problems)}.")
    return manifest


def _download(s3: Any, bucket: str, file: ResultFile, target: Path) -> list[str]:
    version = {"VersionId": file.version_id} if file.version_id else {}
    with _service_errors(f"downloading s3://{bucket}/{file.key}"), write_result(target) as writer:
        for block in s3.get_object(Bucket=bucket, Key=file.key, **version)["Body"].iter_chunks(_BLOCK):
            writer.write(block)
    return find_differences(target.name, writer, file)


def _read_changed(s3: Any, drop: Drop, etag: str | None) -> tuple[bytes, str] | None:
    unless = {"IfNoneMatch": etag} if etag else {}
    with _service_errors(f"reading s3://{drop.bucket}/{drop.latest_key}"):
        try:
            answer = s3.get_object(Bucket=drop.bucket, Key=drop.latest_key, **unless)
        except ClientError as error:
            if _code(error) in {*_MISSING, "304", "NotModified"}:
                return None
            raise
        return answer["Body"].read(), answer["ETag"]


def _read(s3: Any, bucket: str, key: str) -> bytes | None:
    with _service_errors(f"reading s3://{bucket}/{key}"):
        try:
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise


@contextmanager
def _open_file(file: Path, model: str | None) -> Generator[IO[bytes]]:
    try:
        opened = file.open("rb")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    with opened as content:
        if model is None:
            yield content
            return
        with NamedTemporaryFile() as rewritten:  # S3 wants to know the length first
            rewritten.writelines(rewrite_models(content, model))
            rewritten.seek(0)
            yield rewritten.file


@contextmanager
def _service_errors(doing: str) -> Generator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(f"{doing} failed: {error}") from error


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
