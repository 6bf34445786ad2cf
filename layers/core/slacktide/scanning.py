"""The one pass over an input, wherever it lies: every line checked, numbered and sorted; what is found goes to a sink."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from slacktide.bitmap import Bitmap
from slacktide.codes import Code
from slacktide.duplicates import CustomIds, confirm
from slacktide.lines import Line, read_lines
from slacktide.validation import Checker, Fault, Request


class Sink(Protocol):
    """Where a scan puts what it finds, in line order. Memory stays flat if the sink keeps nothing for each line."""

    def keep_request(self, group: str, request: Request) -> None:
        """Keep a good line of a group."""
        ...

    def keep_fault(self, line: Line, fault: Fault) -> None:
        """Keep the fault of a line, as the stream shows it."""
        ...

    def keep_id(self, line: int, custom_id: str | None) -> None:
        """Keep the custom_id of a line, good or not; None where it cannot be read."""
        ...

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        """All ids that were kept, in line order; read once, after the last line, and only if two of them may be equal."""
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
    """One pass. Its own memory is 12 bytes and two bits a line."""

    checker: Checker
    sink: Sink
    total: int = 0
    invalid: Bitmap = field(default_factory=lambda: Bitmap(0))
    _groups: dict[tuple[str, str], GroupLines] = field(default_factory=dict)
    _custom_ids: CustomIds = field(default_factory=CustomIds)

    def run(self, blocks: Iterable[bytes]) -> None:
        """Check, number and sort all lines of a file, which comes in blocks of any size."""
        for line in read_lines(blocks):
            self.total = line.number
            outcome = self.checker.check(line)
            if isinstance(outcome, Request):
                self._keep_request(outcome)
            else:
                self._note_invalid(line.number)
                self.sink.keep_fault(line, outcome)
            self.sink.keep_id(line.number, outcome.custom_id)
            if outcome.custom_id is not None:
                self._custom_ids.add(outcome.custom_id, line.number)
        for bitmap in (self.invalid, *(group.members for group in self.groups)):
            bitmap.grow(self.total)
        self._find_late_faults()

    @property
    def groups(self) -> list[GroupLines]:
        """The groups, in the order of their first lines."""
        return list(self._groups.values())

    def _keep_request(self, request: Request) -> None:
        key = request.model.id, request.endpoint
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = GroupLines(f"g{len(self._groups) + 1}", *key)
        group.members.grow(request.line)
        group.members.add(request.line)
        self.sink.keep_request(group.name, request)

    def _note_invalid(self, line: int) -> None:
        self.invalid.grow(line)
        self.invalid.add(line)

    def _find_late_faults(self) -> None:
        """Faults that only the whole file shows: a custom_id that an earlier line has."""
        suspects = self._custom_ids.suspects()
        repeated = confirm(suspects, self.sink.read_ids()) if suspects else {}
        for line, first in repeated.items():
            if line in self.invalid:
                continue  # it has a fault of its own
            message = f"custom_id of line {line} is that of line {first} already."
            self.invalid.add(line)
            self.sink.keep_late_fault(Fault(line, Code.DUPLICATE_CUSTOM_ID, message))
