"""The lines of a batch in its bucket: what the scan of a dropped object finds, written as objects of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from slacktide.batch import Batch, Group, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.lines import Line
from slacktide.parts import PartWriter, read_parts
from slacktide.routes import Routes
from slacktide.scanning import GroupLines, Scan
from slacktide.validation import Checker, Fault, Request


@dataclass(slots=True)
class Validation:
    """The scan of one dropped object, and its sink. What it writes has the same keys when it is done again."""

    bucket: Bucket
    routes: Routes
    batch: Batch
    _requests: dict[str, PartWriter] = field(default_factory=dict)
    _ids: PartWriter = field(init=False)
    _faults: PartWriter = field(init=False)
    _late: PartWriter = field(init=False)

    def __post_init__(self) -> None:
        keys = self.batch.keys
        self._ids = PartWriter(self.bucket, keys.custom_ids)
        self._faults = PartWriter(self.bucket, lambda number: keys.faults("stream", number))
        self._late = PartWriter(self.bucket, lambda number: keys.faults("late", number))

    def run(self) -> LineIndex:
        """Scan the object; answers what was found, which is written by the caller as the last object."""
        scan = Scan(Checker(self.routes.models.find, self.routes.route, self.batch.options.endpoint), self)
        scan.run(self.bucket.stream(self.batch.input.key, self.batch.input.version_id))
        ids, late = self._ids.close(), self._late.close()
        self._write_bitmap(self.batch.keys.invalid, scan.invalid)
        groups = [self._close_group(group) for group in scan.groups]
        return LineIndex(scan.total, len(scan.invalid), groups, ids, self._faults.close(), late)

    def keep_request(self, group: str, request: Request) -> None:
        """Keep the user's own bytes behind the line number."""
        writer = self._requests.get(group)
        if writer is None:
            keys = self.batch.keys
            writer = self._requests[group] = PartWriter(self.bucket, lambda number: keys.requests(group, number))
        writer.add(request.line, b'{"line":%d,"body":%b}' % (request.line, request.body))

    def keep_fault(self, line: Line, fault: Fault) -> None:
        """Keep the fault alone: what the line says is quoted nowhere."""
        self._faults.add(line.number, msgspec.json.encode(fault))

    def keep_id(self, line: int, custom_id: str | None) -> None:
        """Keep the id, which results are given back with."""
        self._ids.add(line, msgspec.json.encode(custom_id))

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        """All ids, read back from the bucket."""
        for number, text in enumerate(read_parts(self.bucket, self._ids.close()), 1):
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
