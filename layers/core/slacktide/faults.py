"""What is wrong with a line. A fault never quotes what the line says: it names the place, and what is allowed there."""

import msgspec

from slacktide.codes import Code


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: `param` is the field (`body.messages[0].role`), `column` the 1-based byte of the line."""

    code: Code
    message: str
    param: str | None = None
    column: int | None = None


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is wrong with a line: its first problem, then the others. `custom_id` is None where it cannot be read."""

    line: int
    code: Code
    message: str
    custom_id: str | None = None
    column: int | None = None
    param: str | None = None
    others: list[Problem] = []

    @property
    def problems(self) -> list[Problem]:
        """All problems, the first one included."""
        return [Problem(self.code, self.message, self.param, self.column), *self.others]


def fault_of(line: int, custom_id: str | None, problems: list[Problem]) -> Fault:
    """The fault of a line with at least one problem."""
    first = problems[0]
    return Fault(line, first.code, first.message, custom_id, first.column, first.param, problems[1:])
