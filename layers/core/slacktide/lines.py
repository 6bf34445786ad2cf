"""A stream of bytes as numbered lines, in flat memory whatever it holds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

LONGEST_LINE = 10_000_000  # bytes; the hosted side's limit for one request
ENOUGH_LINES, ENOUGH_BYTES = 128, 1 << 18  # of a chunk
BOM = b"\xef\xbb\xbf"
SPARE = len(BOM) + len(b"\r\n")  # what may stand around the content


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
    for pieces in _gather(_split(blocks, longest)):
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
    if not [True for piece in pieces if piece[-2:] != b"}\n"]:
        return pieces
    return [piece.removesuffix(b"\n").removesuffix(b"\r") + b"\n" if piece.strip() else b"\n" for piece in pieces]


def _cut_long(chunk: Chunk, longest: int) -> Iterator[Chunk | Line]:
    """The chunk, with the lines apart that are too long now that what stood around their content is off."""
    if max(map(len, chunk.texts)) <= longest + len(b"\n"):
        yield chunk
        return
    for line in chunk.lines:
        if line.content is not None and line.length <= longest:
            yield Chunk(line.number, [line.content + b"\n"])
        else:
            yield Line(line.number, None, line.length)


def _blank_chunk(number: int, count: int) -> Iterator[Chunk]:
    if count:
        yield Chunk(number, [b"\n"] * count)


def _gather(split: Iterable[list[bytes] | int]) -> Iterator[list[bytes] | int]:
    """The same, but not few short lines at a time: what is done for each chunk has its price."""
    gathered: list[bytes] = []
    size = 0
    for pieces in split:
        if isinstance(pieces, list):
            gathered += pieces
            size += sum(map(len, pieces))
        if gathered and (isinstance(pieces, int) or len(gathered) >= ENOUGH_LINES or size >= ENOUGH_BYTES):
            yield gathered
            gathered, size = [], 0
        if isinstance(pieces, int):
            yield pieces
    if gathered:
        yield gathered


def _split(blocks: Iterable[bytes], longest: int) -> Iterator[list[bytes] | int]:
    """The pieces up to each line feed, as many as a block completes; of one that is too long, its length alone.

    `readlines` of BytesIO splits on LF alone, three times as fast as `split`.
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
            yield from _part_long(pieces, longest)
            kept, length = [], 0
        length += len(rest)
        if length <= longest + SPARE:
            kept.append(rest)
        else:
            kept.clear()
    if length:
        yield [b"".join(kept)] if length <= longest + SPARE else length


def _part_long(pieces: list[bytes], longest: int) -> Iterator[list[bytes] | int]:
    """Pieces that lie in one block, those apart that are too long."""
    if max(map(len, pieces), default=0) <= longest + SPARE:
        yield from [pieces] if pieces else []
        return
    for piece in pieces:
        yield [piece] if len(piece) <= longest + SPARE else len(piece) - len(b"\n")
