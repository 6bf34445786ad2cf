"""The lines of a batch in its bucket: what the scan of a dropped object finds, written as objects of bounded size."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from slacktide.batch import Batch, Group, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.faults import Fault
from slacktide.lines import Line
from slacktide.parts import PartWriter, read_parts
from slacktide.routes import Routes
from slacktide.scanning import GroupLines, Scan
from slacktide.validation import Checker
from slacktide.writing import Writes

MOST_PENDING = 16_000_000  # bytes of all groups that are held in memory
_JSON = msgspec.json.Encoder()


@dataclass(slots=True)
class Validation:
    """The scan of one dropped object, and its sink. What it writes has the same keys when it is done again."""

    bucket: Bucket
    routes: Routes
    batch: Batch
    media_urls: bool = True
    _writes: Writes = field(init=False)
    _requests: dict[str, PartWriter] = field(default_factory=dict)
    _ids: PartWriter = field(init=False)
    _faults: PartWriter = field(init=False)
    _late: PartWriter = field(init=False)

    def __post_init__(self) -> None:
        keys = self.batch.keys
        self._writes = Writes(self.bucket)
        self._ids = PartWriter(self._writes.write, keys.custom_ids)
        self._faults = PartWriter(self._writes.write, lambda number: keys.faults("stream", number))
        self._late = PartWriter(self._writes.write, lambda number: keys.faults("late", number))

    def run(self, blocks: Iterable[bytes] | None = None) -> LineIndex:
        """Scan the object's content; answers what was found, which is written by the caller as the last object.

        `blocks` are those of the content; without them the object is read as it is, so it must be plain.
        """
        options, routes = self.batch.options, self.routes
        checker = Checker(
            routes.models.find, routes.route, options.endpoint, media_urls=self.media_urls, only_model=options.only_model
        )
        scan = Scan(checker, self)
        with self._writes:
            scan.run(self.bucket.stream(self.batch.input.key, self.batch.input.version_id) if blocks is None else blocks)
            ids, late = self._ids.close(), self._late.close()
            self._write_bitmap(self.batch.keys.invalid, scan.invalid)
            groups = [self._close_group(group) for group in scan.groups]
            return LineIndex(scan.total, len(scan.invalid), groups, ids, self._faults.close(), late)

    def keep_requests(self, group: str, numbers: Sequence[int], text: bytes) -> None:
        """Keep the users' own lines; the group's bitmap knows their numbers."""
        writer = self._requests.get(group)
        if writer is None:
            keys = self.batch.keys
            writer = self._requests[group] = PartWriter(self._writes.write, lambda number: keys.requests(group, number))
        writer.extend(numbers, text)
        if sum(other.pending_bytes for other in self._requests.values()) > MOST_PENDING:
            max(self._requests.values(), key=lambda other: other.pending_bytes).flush()

    def keep_fault(self, line: Line, fault: Fault) -> None:
        """Keep the fault alone: what the line says is quoted nowhere."""
        self._faults.add(line.number, msgspec.json.encode(fault))

    def keep_ids(self, custom_ids: Sequence[str | None]) -> None:
        """Keep the ids, which results are given back with."""
        first = self._ids.lines + 1
        self._ids.extend(range(first, first + len(custom_ids)), _JSON.encode_lines(custom_ids))

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        """All ids, read back from the bucket."""
        parts = self._ids.close()
        self._writes.wait()
        for number, text in enumerate(read_parts(self.bucket, parts), 1):
            yield number, msgspec.json.decode(text, type=str | None)

    def keep_late_fault(self, fault: Fault) -> None:
        """Keep it apart from the others, so that both are in line order."""
        self._late.add(fault.line, msgspec.json.encode(fault))

    def _close_group(self, group: GroupLines) -> Group:
        writer = self._requests[group.name]
        self._write_bitmap(self.batch.keys.members(group.name), group.members)
        return Group(group.name, group.model, group.endpoint, writer.lines, writer.close())

    def _write_bitmap(self, key: str, bitmap: Bitmap) -> None:
        self.bucket.write(key, bytes(bitmap), "application/octet-stream")
