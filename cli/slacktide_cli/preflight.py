"""What the pipeline would find in a file, found here: the same scan, without AWS."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO

import msgspec

from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.compression import Limits
from slacktide.faults import Fault, Problem
from slacktide.inputs import open_input
from slacktide.instances import find_fits, shipped_instances
from slacktide.lines import Line
from slacktide.models import Model, ModelTable
from slacktide.refusals import refuse_lines
from slacktide.scanning import Scan
from slacktide.validation import Checker

_JSON = msgspec.json.Encoder()

DEFAULT_LIMITS = Limits()
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
    """One thing that is wrong with a line, and the line around its column if it has one."""

    line: int
    problem: Problem
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
    without_fallback: list[str]  # models that fit no instance type of own GPUs

    @property
    def is_clean(self) -> bool:
        """Whether every line would run."""
        return self.failure is None and self.invalid == 0


def examine(
    blocks: Iterable[bytes],
    *,
    name: str | None,
    models: ModelTable,
    options: Options,
    most: int,
    size: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Report:
    """Scan a file of that name and size in bytes, which comes in blocks, and keep its first `most` faults.

    A file without a name is decompressed if its first bytes say that it is compressed.
    Which backends a stack has is not known here: every backend of a model's route counts as there. So
    `no_backend_for_model` is only found for a model that no backend runs in batches.
    """
    file = open_input(blocks, name=name, size=size, limits=limits)
    if file.refusal:
        return Report(0, 0, [], {}, [], file.refusal, [])
    with TemporaryFile() as ids:
        notes = _Notes(ids, most)
        scan = Scan(Checker(models.find, possible_route, options.endpoint, only_model=options.only_model), notes)
        scan.run(file.blocks)
    counts = [GroupCount(group.model, group.endpoint, len(group.members - scan.invalid)) for group in scan.groups]
    invalid = len(scan.invalid)
    return Report(
        total=scan.total,
        invalid=invalid,
        groups=[count for count in counts if count.lines],
        codes=dict(notes.codes.most_common()),
        findings=sorted(notes.early + notes.late, key=lambda finding: finding.line)[:most],
        failure=file.failure or refuse_lines(scan.total, invalid, options),
        without_fallback=[name for name in dict.fromkeys(group.model for group in scan.groups) if _has_no_fallback(models, name)],
    )


def _has_no_fallback(models: ModelTable, name: str) -> bool:
    """Whether own GPUs stand in a model's route, and it is known that none can hold it."""
    model = models.find(name)
    return model is not None and "sagemaker" in model.route and find_fits(model, shipped_instances()) == []


def possible_route(model: Model) -> list[str]:
    """The backends of a model's route that run it in batches, on a stack that has them all."""
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

    def keep_requests(self, group: str, numbers: Sequence[int], text: bytes) -> None:
        """Nothing is kept of a good line: the scan counts it."""

    def keep_fault(self, line: Line, fault: Fault) -> None:
        self._note(self.early, fault, line.content)

    def keep_ids(self, custom_ids: Sequence[str | None]) -> None:
        self.ids.write(_JSON.encode_lines(custom_ids))

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        self.ids.seek(0)
        for number, text in enumerate(self.ids, 1):
            yield number, msgspec.json.decode(text, type=str | None)

    def keep_late_fault(self, fault: Fault) -> None:
        self._note(self.late, fault, None)

    def _note(self, findings: list[Finding], fault: Fault, content: bytes | None) -> None:
        self.codes.update({problem.code for problem in fault.problems})
        shown = fault.problems[: self.most - len(findings)]
        findings += [Finding(fault.line, problem, _excerpt(content, problem)) for problem in shown]


def _excerpt(content: bytes | None, problem: Problem) -> Excerpt | None:
    if content is None or problem.column is None:
        return None
    at = problem.column - 1
    first, last = max(0, at - CONTEXT_BEFORE), at + CONTEXT_AFTER
    while 0 < first < at and content[first] & 0xC0 == 0x80:  # not in the middle of a UTF-8 character
        first += 1
    return Excerpt(content[first:at], content[at:last], first > 0, last < len(content))
