"""A stream of bytes as numbered lines, in flat memory whatever it holds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST_LINE = 10_000_000  # bytes; the hosted side's limit for one request
BOM = b"\xef\xbb\xbf"
SPARE = len(BOM) + len(b"\r")  # what may stand around the content


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its 1-based number, its bytes without line end, and their number. `content` is None when there are too many."""

    number: int
    content: bytes | None
    length: int


def read_lines(blocks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[Line]:
    """The lines of a JSONL file, split on LF only; a CR before it and a BOM at the start of the file are not content.

    Blank lines at the end are not lines; a blank line between two others is one.
    A line above `longest` bytes is counted, not kept.
    """
    blanks = 0
    for number, (piece, length) in enumerate(_split(blocks, longest), 1):
        content = piece
        if piece is not None:
            content = (piece.removeprefix(BOM) if number == 1 else piece).removesuffix(b"\r")
            if not content.strip():
                blanks += 1
                continue
        for blank in range(number - blanks, number):
            yield Line(blank, b"", 0)
        blanks = 0
        yield Line(number, None if content is not None and len(content) > longest else content, length)


def _split(blocks: Iterable[bytes], longest: int) -> Iterator[tuple[bytes | None, int]]:
    """The pieces between line feeds with their lengths; None for the bytes of one that is too long."""
    kept: list[bytes] = []
    length = 0
    for block in blocks:
        *ends, rest = block.split(b"\n")
        for end in ends:
            length += len(end)
            kept.append(end)
            yield (b"".join(kept) if length <= longest + SPARE else None), length
            kept.clear()
            length = 0
        length += len(rest)
        if length <= longest + SPARE:
            kept.append(rest)
        else:
            kept.clear()
    if length:
        yield (b"".join(kept) if length <= longest + SPARE else None), length
