"""An input file, opened: its bytes as lines can be read from them, or why it is refused, before that or in the middle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from slacktide.batch import Failure
from slacktide.codes import Code
from slacktide.compression import Decompression, Limits, compression_in, compression_of, say_too_large, whole_lines
from slacktide.refusals import LONGEST_MAGIC, refuse_content, refuse_file


@dataclass(frozen=True, slots=True)
class InputFile:
    """The bytes of a file, decompressed; none of a file that is refused by its name, its size or its beginning.

    `failure` counts when `blocks` were read to their end: a compressed file may show only there that it is damaged.
    Then `blocks` were the whole lines in front of the damage (`docs/architecture.md`, "Compressed files").
    """

    blocks: Iterable[bytes]
    refusal: Failure | None = None
    _decompression: Decompression | None = None

    @property
    def failure(self) -> Failure | None:
        """Why nothing of the file is run; None if that is up to its lines."""
        if self._decompression is None or self._decompression.problem is None:
            return self.refusal
        return Failure(Code.UNSUPPORTED_FILE, self._decompression.problem)


def open_input(blocks: Iterable[bytes], *, name: str | None, size: int | None, limits: Limits) -> InputFile:
    """Open a file that comes in blocks. Without a name its first bytes say whether it is compressed.

    `size` is that of the object in bytes; None if it is not known, and then a plain file has no limit but its reader's.
    """
    if size is not None and size > limits.largest:
        return InputFile((), Failure(Code.UNSUPPORTED_FILE, say_too_large(limits, "The file")))
    start, content = _look(blocks)
    refused = refuse_file(name, start)
    compression = compression_in(start) if name is None else compression_of(name)
    if refused or compression is None:
        return InputFile(() if refused else content, refused)
    return _open_compressed(Decompression(content, compression, limits))


def _open_compressed(decompression: Decompression) -> InputFile:
    start, content = _look(decompression)
    if decompression.problem is None:
        refused = refuse_content(start, "Decompressed, the content")
        if refused:
            return InputFile((), refused)
    return InputFile(whole_lines(content, decompression), None, decompression)


def _look(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of a file, as long as the longest magic if the file is, and the whole of it."""
    rest = iter(blocks)
    start = b""
    for block in rest:
        start += block
        if len(start) >= LONGEST_MAGIC:
            break
    return start, chain([start] if start else [], rest)
