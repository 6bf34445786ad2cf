"""An input file, opened: its bytes as lines can be read from them, or why it is refused, before that or in the middle."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from slacktide.batch import Failure
from slacktide.codes import Code
from slacktide.compression import Decompression, Limits, compression_in, compression_of, say_too_large, whole_lines
from slacktide.refusals import LONGEST_MAGIC, refuse_content, refuse_file


@dataclass(slots=True)
class Checksum:
    """The bytes of a file as it was uploaded. After they were iterated, `is_wrong` says whether they have another MD5."""

    blocks: Iterable[bytes]
    md5: str
    is_wrong: bool = False

    def __iter__(self) -> Iterator[bytes]:
        """The same blocks."""
        digest = hashlib.md5(usedforsecurity=False)
        for block in self.blocks:
            digest.update(block)
            yield block
        self.is_wrong = digest.hexdigest() != self.md5


@dataclass(frozen=True, slots=True)
class InputFile:
    """The bytes of a file, decompressed; none of a file that is refused by its name, its size or its beginning.

    `failure` counts when `blocks` were read to their end: only there a compressed file may show that it is damaged, and any
    that it is not what was sent. Of a damaged one `blocks` were the whole lines in front of the damage
    (`docs/architecture.md`, "Compressed files").
    """

    blocks: Iterable[bytes]
    refusal: Failure | None = None
    _decompression: Decompression | None = None
    _checksum: Checksum | None = None

    @property
    def failure(self) -> Failure | None:
        """Why nothing of the file is run; None if that is up to its lines."""
        if self._decompression is not None and self._decompression.problem is not None:
            return Failure(Code.UNSUPPORTED_FILE, self._decompression.problem)
        if self.refusal is None and self._checksum is not None and self._checksum.is_wrong:
            message = "The content does not have the MD5 that its upload was completed with. Upload the file again."
            return Failure(Code.CHECKSUM_MISMATCH, message)
        return self.refusal


def open_input(
    blocks: Iterable[bytes], *, name: str | None, size: int | None, limits: Limits, md5: str | None = None
) -> InputFile:
    """Open a file that comes in blocks. Without a name its first bytes say whether it is compressed.

    `size` is that of the object in bytes; None if it is not known, and then a plain file has no limit but its reader's.
    `md5` is what the blocks should have, as they come.
    """
    if md5 is None:
        return _open(blocks, name, size, limits)
    checksum = Checksum(blocks, md5)
    return replace(_open(checksum, name, size, limits), _checksum=checksum)


def _open(blocks: Iterable[bytes], name: str | None, size: int | None, limits: Limits) -> InputFile:
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
