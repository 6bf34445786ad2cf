"""A stream of bytes as numbered lines, in flat memory whatever it holds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from operator import itemgetter

LONGEST_LINE = 10_000_000  # bytes; the hosted side's limit for one request
MOST_LINES = 100_000_000  # of a file: at 12 bytes each, what fits the function that reads it, with room to spare
ENOUGH_LINES, ENOUGH_BYTES = 128, 1 << 18  # of a chunk
BOM = b"\xef\xbb\xbf"
SPARE = len(BOM) + len(b"\r\n")  # what may stand around the content
_BEFORE_LAST = itemgetter(-2)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its 1-based number, its bytes without line end, and their number. `content` is None when there are too many."""

    number: int
    content: bytes | None
    length: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines in a row, `number` being that of the first: what a block of the stream completed. Each ends in a line feed."""

    number: int
    texts: list[bytes]

    @property
    def lines(self) -> Iterator[Line]:
        """The lines one by one."""
        return (Line(number, text[:-1], len(text) - 1) for number, text in enumerate(self.texts, self.number))


def read_lines(blocks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[Line]:
    """The lines of a JSONL file, split on LF only; a CR before it and a BOM at the start of the file are not content.

    Blank lines at the end are not lines; a blank line between two others is one.
    A line above `longest` bytes is counted, not kept.
    """
    for piece in read_chunks(blocks, longest):
        if isinstance(piece, Line):
            yield piece
        else:
            yield from piece.lines


def read_chunks(blocks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[Chunk | Line]:
    """The same lines, as many at once as a block completes; a line that is too long comes by itself."""
    number, blanks = 1, 0
    for pieces in _gather(_split(blocks, longest), longest):
        if isinstance(pieces, int):
            yield from _blank_chunk(number, blanks)
            yield Line(number + blanks, None, pieces)
            number, blanks = number + blanks + 1, 0
            continue
        texts = _trim(pieces, is_first=number + blanks == 1)
        held = 0
        while texts and texts[-1] == b"\n":
            texts.pop()
            held += 1
        if texts:
            yield from _blank_chunk(number, blanks)
            number, blanks = number + blanks, 0
            yield from _cut_long(Chunk(number, texts), longest)
            number += len(texts)
        blanks += held


def _trim(pieces: list[bytes], *, is_first: bool) -> list[bytes]:
    """The lines without CR and BOM, each with a line feed; of white space alone, nothing but that."""
    if is_first:
        pieces[0] = pieces[0].removeprefix(BOM)
    try:
        if bytes(map(_BEFORE_LAST, pieces)) == b"}" * len(pieces):
            return pieces
    except IndexError:  # a blank line
        pass
    return [piece.removesuffix(b"\n").removesuffix(b"\r") + b"\n" if piece.strip() else b"\n" for piece in pieces]


def _cut_long(chunk: Chunk, longest: int) -> Iterator[Chunk | Line]:
    """The chunk, with a line apart that is too long now that what stood around its content is off: it is alone in its chunk."""
    if len(chunk.texts) > 1 or len(chunk.texts[0]) <= longest + len(b"\n"):
        yield chunk
    else:
        yield Line(chunk.number, None, len(chunk.texts[0]) - len(b"\n"))


def _blank_chunk(number: int, count: int) -> Iterator[Chunk]:
    """Blank lines, few at a time: they may be as many as a file has bytes."""
    for first in range(0, count, ENOUGH_LINES):
        yield Chunk(number + first, [b"\n"] * min(ENOUGH_LINES, count - first))


def _gather(split: Iterable[list[bytes] | int], longest: int) -> Iterator[list[bytes] | int]:
    """The same, but not few short lines at a time: what is done for each chunk has its price. Long ones stay alone."""
    gathered: list[bytes] = []
    for pieces in split:
        is_alone = isinstance(pieces, int) or (len(pieces) == 1 and len(pieces[0]) > longest)
        if gathered and is_alone:
            yield gathered
            gathered = []
        if isinstance(pieces, int) or is_alone:
            yield pieces
            continue
        gathered += pieces
        if len(gathered) >= ENOUGH_LINES or sum(map(len, gathered)) >= ENOUGH_BYTES:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _split(blocks: Iterable[bytes], longest: int) -> Iterator[list[bytes] | int]:
    """The pieces up to each line feed, as many as a block completes; of one that is too long, its length alone.

    `readlines` of BytesIO splits on LF alone, three times as fast as `split`. The last piece is given its line feed.
    """
    kept: list[bytes] = []
    length = 0  # of the line that is under way
    for block in blocks:
        pieces = BytesIO(block).readlines()
        rest = b"" if block.endswith(b"\n") or not pieces else pieces.pop()
        if pieces:
            length += len(pieces[0])
            kept.append(pieces[0])
            if length <= longest + SPARE:
                pieces[0] = b"".join(kept)
            else:
                yield length - len(b"\n")
                del pieces[0]
            yield from _part_long(pieces, longest, max(length, len(block)))
            kept, length = [], 0
        length += len(rest)
        if length <= longest + SPARE:
            kept.append(rest)
        else:
            kept.clear()
    if length:
        yield [b"".join(kept) + b"\n"] if length <= longest + SPARE else length


def _part_long(pieces: list[bytes], longest: int, most: int) -> Iterator[list[bytes] | int]:
    """Pieces that are of `most` bytes at most; where one is long, each alone, and of one that is too long, its length."""
    if most <= longest or max(map(len, pieces), default=0) <= longest:
        yield from [pieces] if pieces else []
        return
    for piece in pieces:
        yield [piece] if len(piece) <= longest + SPARE else len(piece) - len(b"\n")
