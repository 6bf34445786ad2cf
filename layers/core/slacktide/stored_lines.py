"""The good lines of a batch, as validation keeps them: read back for the jobs."""

from collections.abc import Iterator

import msgspec

from slacktide.batch import Group, Job, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.errors import ObjectMissingError


class _Line(msgspec.Struct):
    body: msgspec.Raw


def group_lines(bucket: Bucket, index: LineIndex, job: Job, members: Bitmap, start: int) -> Iterator[tuple[int, bytes]]:
    """The good lines of a job's group, which are `members`, from `start` to the job's last, with the users' own bodies."""
    group = next((entry for entry in index.groups if entry.group == job.group), None)
    if group is None:
        raise ObjectMissingError(f"the index knows no group {job.group}")
    return read_lines(bucket, group, members, start, job.last)


def read_lines(bucket: Bucket, group: Group, members: Bitmap, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a group from `first` to `last`, with their bodies.

    An object holds the lines of the group from its first to its last, so the group's bitmap tells their numbers.
    """
    decoder = msgspec.json.Decoder(_Line)
    for part in group.parts:
        if part.last < first or part.first > last:
            continue
        numbers = members.between(part.first, part.last)
        for line, text in zip(numbers, bucket.lines(part.key), strict=True):
            if first <= line <= last:
                yield line, bytes(decoder.decode(text).body)
