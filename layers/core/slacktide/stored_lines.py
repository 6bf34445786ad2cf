"""The good lines of a batch, as validation keeps them: read back for the jobs."""

from collections.abc import Iterator

import msgspec

from slacktide.batch import Batch, Group, Job, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.errors import ObjectMissingError


class _Line(msgspec.Struct):
    body: msgspec.Raw


def group_lines(bucket: Bucket, batch: Batch, index: LineIndex, job: Job, start: int) -> Iterator[tuple[int, bytes]]:
    """The good lines of a job's group from `start` to the job's last, with their bodies: the users' own bytes."""
    group = next((entry for entry in index.groups if entry.group == job.group), None)
    if group is None:
        raise ObjectMissingError(f"the index knows no group {job.group}")
    return read_lines(bucket, batch, group, start, job.last)


def read_lines(bucket: Bucket, batch: Batch, group: Group, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a group from `first` to `last`, with their bodies.

    An object holds the lines of the group from its first to its last, so the group's bitmap tells their numbers.
    """
    members = Bitmap(batch.total, bucket.read(batch.keys.members(group.group)))
    decoder = msgspec.json.Decoder(_Line)
    for part in group.parts:
        if part.last < first or part.first > last:
            continue
        numbers = members.between(part.first, part.last)
        for line, text in zip(numbers, bucket.lines(part.key), strict=True):
            if first <= line <= last:
                yield line, bytes(decoder.decode(text).body)
