"""The lines of a batch that failed, as the input of another: taken from the input that it ran, in their order."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from slacktide.batch import Batch, ObjectRef
from slacktide.bucket import Bucket
from slacktide.codes import CLASSES, Code, CodeClass
from slacktide.errors import NotFoundError
from slacktide.files import File, Files, FileState
from slacktide.keys import upload
from slacktide.lines import read_lines
from slacktide.records import Records
from slacktide.sources import Sources
from slacktide.uploads import Upload

DEFAULT_CLASSES = (CodeClass.TRANSIENT, CodeClass.GIVEN_UP, CodeClass.REJECTED)  # an invalid line would be invalid again
INPUT_NAME = "retry.jsonl"


class _Error(msgspec.Struct):
    code: Code


class _ErrorLine(msgspec.Struct):
    line: int
    error: _Error


class _ErrorFile(msgspec.Struct):
    key: str
    version_id: str | None
    lines: int


class _Manifest(msgspec.Struct):
    errors: _ErrorFile


_ERROR_LINE = msgspec.json.Decoder(_ErrorLine)


def name_retry(batch_id: str) -> str:
    """The name of the file with the lines of a batch that are run again."""
    return f"{batch_id}_retry.jsonl"


@dataclass(frozen=True, slots=True)
class RetryInput:
    """Writes the inputs of batches that run failed lines again."""

    bucket: Bucket
    records: Records
    files: Files
    sources: Sources

    def build(self, batch: Batch) -> Batch:
        """Write the input of a batch that has none yet; done again it has the same bytes. Answers the batch with it."""
        if batch.retry_of is None or batch.file_id is None or batch.input.version_id:
            return batch
        original = self.records.get_batch(batch.retry_of)
        key = upload(batch.file_id, INPUT_NAME)
        with Upload(self.bucket, key, tail_key=lambda size: f"{key}.{size:012d}.tail", state=None) as written:
            for text in self._lines(original, frozenset(batch.retried_classes or DEFAULT_CLASSES)):
                written.write(text + b"\n")
            done = written.complete()
        source = ObjectRef(batch.input.bucket, key, done.version_id or self._version(key), done.bytes)
        name, created_at = name_retry(original.batch_id), batch.created_at
        self.files.put(File(batch.file_id, batch.owner, name, "batch", created_at, FileState.READY, done.bytes, source))
        return self.records.update_batch(batch.batch_id, input=source)

    def _version(self, key: str) -> str:
        head = self.bucket.head(key)
        if head is None:
            raise NotFoundError(f"{key} was removed while it was written")
        return str(head["VersionId"])

    def _lines(self, batch: Batch, classes: frozenset[CodeClass]) -> Iterator[bytes]:
        """The lines of the input of a batch that failed for a reason of these classes."""
        wanted = self._failed_lines(batch, classes)
        line = next(wanted, None)
        if line is None:
            return
        for text in read_lines(self.sources.open(batch.input).blocks):
            if text.number < line:
                continue
            if text.content is not None:  # one that was too long to keep failed for that
                yield text.content
            line = next(wanted, None)
            if line is None:
                return

    def _failed_lines(self, batch: Batch, classes: frozenset[CodeClass]) -> Iterator[int]:
        errors = self.bucket.read_json(batch.results.manifest, _Manifest).errors
        if not errors.lines:
            return
        for text in self.bucket.lines(errors.key, version_id=errors.version_id):
            entry = _ERROR_LINE.decode(text)
            if CLASSES[entry.error.code] in classes:
                yield entry.line
