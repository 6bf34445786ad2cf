"""The good lines of a batch, as validation keeps them: read back for the jobs."""

from collections.abc import Iterator

import msgspec

from slacktide.batch import Batch, Job, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.errors import ObjectMissingError


class _Line(msgspec.Struct):
    body: msgspec.Raw


def group_lines(bucket: Bucket, batch: Batch, index: LineIndex, job: Job, start: int) -> Iterator[tuple[int, bytes]]:
    """The good lines of a job's group from `start` to the job's last, with their bodies: the users' own bytes.

    An object holds the lines of the group from its first to its last, so the group's bitmap tells their numbers.
    """
    parts = next((entry.parts for entry in index.groups if entry.group == job.group), None)
    if parts is None:
        raise ObjectMissingError(f"the index knows no group {job.group}")
    members = Bitmap(batch.total, bucket.read(batch.keys.members(job.group)))
    decoder = msgspec.json.Decoder(_Line)
    for part in parts:
        if part.last < start or part.first > job.last:
            continue
        numbers = members.between(part.first, part.last)
        for line, text in zip(numbers, bucket.lines(part.key), strict=True):
            if start <= line <= job.last:
                yield line, bytes(decoder.decode(text).body)
