"""How many jobs the lines of one model and endpoint become, and which lines each."""

from collections.abc import Iterator

from slacktide.backends.protocol import Limits
from slacktide.batch import Part
from slacktide.bitmap import Bitmap
from slacktide.request_lines import ENVELOPE_BYTES

Piece = tuple[int, int, int]  # first line, last line, number of lines


def split(lines: Bitmap, limits: Limits, parts: list[Part]) -> list[Piece]:
    """Cut lines into as few pieces of even size as the backend's limits on requests and bytes allow.

    `parts` are the objects in which the lines are kept; bytes are bounded from above by the sizes of those that a piece touches.
    """
    total = len(lines)
    if total == 0:
        return []
    count = 1 if limits.job_requests is None else -(-total // limits.job_requests)
    while True:
        pieces = cut_evenly(lines, count)
        if limits.job_bytes is None or count == total or _most_bytes(pieces, parts) <= limits.job_bytes:
            return pieces
        count = min(total, count + max(1, count // 8))


def cut_evenly(lines: Bitmap, count: int) -> list[Piece]:
    """Cut lines into `count` pieces of even numbers of lines."""
    return list(_cut(lines, len(lines), count))


def _cut(lines: Bitmap, total: int, count: int) -> Iterator[Piece]:
    first, piece = 0, 1
    for seen, line in enumerate(lines, 1):
        first = first or line
        if seen == total * piece // count:
            yield first, line, total * piece // count - total * (piece - 1) // count
            first, piece = 0, piece + 1


def _most_bytes(pieces: list[Piece], parts: list[Part]) -> int:
    return max(_bound(piece, parts) for piece in pieces)


def _bound(piece: Piece, parts: list[Part]) -> int:
    """More bytes than the input of a job of this piece can have."""
    first, last, lines = piece
    touched = sum(part.bytes for part in parts if part.first <= last and first <= part.last)
    return touched + lines * ENVELOPE_BYTES
