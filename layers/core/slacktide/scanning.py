"""The one pass over an input, wherever it lies: every line checked, numbered and sorted; what is found goes to a sink."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Protocol

from slacktide.bitmap import Bitmap
from slacktide.codes import Code
from slacktide.duplicates import CustomIds
from slacktide.faults import Fault
from slacktide.lines import MOST_LINES, Chunk, Line, read_chunks
from slacktide.models import Model
from slacktide.plain import PlainChecker, PlainRequests
from slacktide.validation import Checker, Request

FEW_LINES = 4  # so few lines are checked one by one
MOST_MODELS = 256  # in one chunk
_FLAGS = [bytes(byte == code for byte in range(256)) for code in range(MOST_MODELS)]  # a byte to whether it is that code


class Sink(Protocol):
    """Where a scan puts what it finds, in line order. Memory stays flat if the sink keeps nothing for each line."""

    def keep_requests(self, group: str, numbers: Sequence[int], text: bytes) -> None:
        """Keep good lines of a group, given their numbers, and the lines themselves, each with a line feed."""
        ...

    def keep_fault(self, line: Line, fault: Fault) -> None:
        """Keep the fault of a line, as the stream shows it."""
        ...

    def keep_ids(self, custom_ids: Sequence[str | None]) -> None:
        """Keep the custom_ids of the next lines, good or not; None where one cannot be read."""
        ...

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        """All ids that were kept, in line order; read after the last line, if two of them may be equal, maybe several times."""
        ...

    def keep_late_fault(self, fault: Fault) -> None:
        """Keep a fault that only the whole file shows; such a line was kept as a good one before."""
        ...


@dataclass(slots=True)
class GroupLines:
    """The lines of one model and endpoint. Repeated custom_ids are among `members`; `Scan.invalid` has them too."""

    name: str
    model: str
    endpoint: str
    members: Bitmap = field(default_factory=lambda: Bitmap(0))


@dataclass(slots=True)
class Scan:
    """One pass. Its own memory is 8 bytes and two bits a line."""

    checker: Checker
    sink: Sink
    total: int = 0
    invalid: Bitmap = field(default_factory=lambda: Bitmap(0))
    _groups: dict[tuple[str, str], GroupLines] = field(default_factory=dict)
    _custom_ids: CustomIds = field(default_factory=CustomIds)
    _plain: PlainChecker = field(init=False)

    def __post_init__(self) -> None:
        self._plain = PlainChecker(self.checker)

    def run(self, blocks: Iterable[bytes]) -> None:
        """Check, number and sort the lines of a file, which comes in blocks of any size; at most one more than `MOST_LINES`."""
        for piece in read_chunks(blocks):
            room = MOST_LINES + 1 - self.total
            if isinstance(piece, Line):
                self._check_line(piece)
            else:
                self._check_chunk(piece if len(piece.texts) <= room else Chunk(piece.number, piece.texts[:room]))
            if self.total > MOST_LINES:
                break
        for bitmap in (self.invalid, *(group.members for group in self.groups)):
            bitmap.grow(self.total)
        self._find_late_faults()

    @property
    def groups(self) -> list[GroupLines]:
        """The groups, in the order of their first lines."""
        return list(self._groups.values())

    def _check_chunk(self, chunk: Chunk) -> None:
        """Check many lines at once; where one of them is not plain, half as many, until few are left."""
        if len(chunk.texts) <= FEW_LINES:
            for line in chunk.lines:
                self._check_line(line)
            return
        plain = self._plain.check(chunk.texts)
        if plain is not None and len(plain.models) <= MOST_MODELS:
            self._keep_plain(chunk.number, plain)
            return
        half = len(chunk.texts) // 2
        self._check_chunk(Chunk(chunk.number, chunk.texts[:half]))
        self._check_chunk(Chunk(chunk.number + half, chunk.texts[half:]))

    def _check_line(self, line: Line) -> None:
        self.total = line.number
        outcome = self.checker.check(line)
        if isinstance(outcome, Request):
            group = self._group(outcome.model, outcome.endpoint)
            group.members.add_range(line.number, line.number)
            self.sink.keep_requests(group.name, [line.number], (line.content or b"") + b"\n")
        else:
            self.invalid.add_range(line.number, line.number)
            self.sink.keep_fault(line, outcome)
        self.sink.keep_ids([outcome.custom_id])
        if outcome.custom_id is not None:
            self._custom_ids.extend([outcome.custom_id])

    def _keep_plain(self, first: int, plain: PlainRequests) -> None:
        numbers = range(first, first + len(plain.lines))
        self.total = numbers[-1]
        groups = {kind: self._group(model, kind[0]) for kind, model in plain.models.items()}
        distinct = list({group.name: group for group in groups.values()}.values())  # two names can be of one model
        if len(distinct) == 1:
            distinct[0].members.add_range(first, self.total)
            self.sink.keep_requests(distinct[0].name, numbers, plain.text)
        else:
            codes = {kind: distinct.index(group) for kind, group in groups.items()}
            coded = bytes([codes[kind] for kind in plain.kinds])
            for code, group in enumerate(distinct):
                chosen = coded.translate(_FLAGS[code])
                group.members.add_flags(first, chosen)
                text = b"".join(compress(plain.lines, chosen))
                self.sink.keep_requests(group.name, list(compress(numbers, chosen)), text)
        self.sink.keep_ids(plain.custom_ids)
        self._custom_ids.extend(plain.custom_ids)

    def _group(self, model: Model, endpoint: str) -> GroupLines:
        key = model.id, endpoint
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = GroupLines(f"g{len(self._groups) + 1}", *key)
        return group

    def _find_late_faults(self) -> None:
        """Faults that only the whole file shows: a custom_id that an earlier line has."""
        for line, first in self._custom_ids.repeated(self.sink.read_ids):
            message = f"custom_id of line {line} is that of line {first} already."
            self.invalid.add(line)
            self.sink.keep_late_fault(Fault(line, Code.DUPLICATE_CUSTOM_ID, message, param="custom_id"))
