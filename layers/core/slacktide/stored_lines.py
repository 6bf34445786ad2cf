"""The valid lines of a batch, as validation keeps them: read back for the jobs."""

from collections.abc import Iterator

import msgspec

from slacktide.batch import LineIndex
from slacktide.bucket import Bucket
from slacktide.errors import ObjectMissingError


class StoredLine(msgspec.Struct):
    """A valid line as validation keeps it: the user's own bytes behind the line number."""

    line: int
    body: msgspec.Raw


def group_lines(bucket: Bucket, index: LineIndex, group: str, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """The valid lines of a group between two lines, with their bodies."""
    decoder = msgspec.json.Decoder(StoredLine)
    parts = next((entry.parts for entry in index.groups if entry.group == group), None)
    if parts is None:
        raise ObjectMissingError(f"the index knows no group {group}")
    for part in parts:
        if part.last < first or part.first > last:
            continue
        for text in bucket.lines(part.key):
            stored = decoder.decode(text)
            if first <= stored.line <= last:
                yield stored.line, bytes(stored.body)
