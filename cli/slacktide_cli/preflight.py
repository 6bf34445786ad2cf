"""What the pipeline would find in a file, found here: the same scan, without AWS."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from tempfile import TemporaryFile
from typing import IO

import msgspec

from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.lines import Line
from slacktide.models import Model, ModelTable
from slacktide.refusals import refuse_file, refuse_lines
from slacktide.scanning import Scan
from slacktide.validation import Checker, Fault, Request

CONTEXT_BEFORE, CONTEXT_AFTER = 48, 24  # bytes of a line that are kept around the column of its fault


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line around a column: the bytes in front of it, those from it on, and whether more was cut off at either side."""

    before: bytes
    after: bytes
    cut_before: bool
    cut_after: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, and the line around its column if it has one."""

    fault: Fault
    excerpt: Excerpt | None = None


@dataclass(frozen=True, slots=True)
class GroupCount:
    """How many good lines there are for one model and endpoint; they are one job of its backend."""

    model: str
    endpoint: str
    lines: int


@dataclass(frozen=True, slots=True)
class Report:
    """What is in a file. `findings` are the first of all faults, by line; `failure` is why nothing of it would run."""

    total: int
    invalid: int
    groups: list[GroupCount]
    codes: dict[Code, int]
    findings: list[Finding]
    failure: Failure | None

    @property
    def is_clean(self) -> bool:
        """Whether every line would run."""
        return self.failure is None and self.invalid == 0


def examine(blocks: Iterable[bytes], *, name: str, models: ModelTable, options: Options, most: int) -> Report:
    """Scan a file of that name, which comes in blocks, and keep its first `most` faults.

    Which backends a stack has is not known here: every backend of a model's route counts as there. So
    `no_backend_for_model` is only found for a model that no backend runs in batches.
    """
    rest = iter(blocks)
    start = next(rest, b"")
    refused = refuse_file(name, start)
    if refused:
        return Report(0, 0, [], {}, [], refused)
    with TemporaryFile() as ids:
        notes = _Notes(ids, most)
        scan = Scan(Checker(models.find, _possible_route, options.endpoint), notes)
        scan.run(chain([start], rest))
    counts = [GroupCount(group.model, group.endpoint, len(group.members - scan.invalid)) for group in scan.groups]
    invalid = len(scan.invalid)
    return Report(
        total=scan.total,
        invalid=invalid,
        groups=[count for count in counts if count.lines],
        codes=dict(notes.codes.most_common()),
        findings=sorted(notes.early + notes.late, key=lambda finding: finding.fault.line)[:most],
        failure=refuse_lines(scan.total, invalid, options),
    )


def _possible_route(model: Model) -> list[str]:
    upstreams = ((name, model.upstream(name)) for name in model.route)
    return [name for name, upstream in upstreams if upstream is not None and upstream.batchable]


@dataclass(slots=True)
class _Notes:
    """The sink of a local scan: counts, the first faults, and the ids in a temporary file."""

    ids: IO[bytes]
    most: int
    codes: Counter[Code] = field(default_factory=Counter[Code])
    early: list[Finding] = field(default_factory=list)
    late: list[Finding] = field(default_factory=list)

    def keep_request(self, group: str, request: Request) -> None:
        """Nothing is kept of a good line: the scan counts it."""

    def keep_fault(self, line: Line, fault: Fault) -> None:
        self.codes[fault.code] += 1
        if len(self.early) < self.most:
            self.early.append(Finding(fault, _excerpt(line, fault)))

    def keep_id(self, line: int, custom_id: str | None) -> None:  # noqa: ARG002 - there is one for each line, from 1 on
        self.ids.write(msgspec.json.encode(custom_id) + b"\n")

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        self.ids.seek(0)
        for number, text in enumerate(self.ids, 1):
            yield number, msgspec.json.decode(text, type=str | None)

    def keep_late_fault(self, fault: Fault) -> None:
        self.codes[fault.code] += 1
        if len(self.late) < self.most:
            self.late.append(Finding(fault))


def _excerpt(line: Line, fault: Fault) -> Excerpt | None:
    if line.content is None or fault.column is None:
        return None
    at = fault.column - 1
    first, last = max(0, at - CONTEXT_BEFORE), at + CONTEXT_AFTER
    while 0 < first < at and line.content[first] & 0xC0 == 0x80:  # not in the middle of a UTF-8 character
        first += 1
    return Excerpt(line.content[first:at], line.content[at:last], first > 0, last < len(line.content))
