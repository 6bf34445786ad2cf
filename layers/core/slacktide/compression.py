"""gzip and Zstandard as a stream: blocks of compressed bytes in, bounded blocks of what they hold out, in flat memory."""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from slacktide.lines import LONGEST_LINE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SLICE = 1 << 14  # bytes that a decompressor is given at once; the place of a damage is known as exactly
BLOCK = 1 << 16  # bytes that it gives back at once, at most, however much a slice holds
WINDOW_LOG = 27  # 128 MiB are what `zstd -d` takes without --long too
MEGABYTE = 1_000_000  # bytes
RATIO_FROM = 10 * MEGABYTE  # a short file may hold the same line all over

_ADVICE = "Compress the file again, test it (`{test}`), then drop it again."


class Decompressor(Protocol):
    """One member of a gzip file, or one frame of a Zstandard file."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _ZlibDecompressor(Decompressor, Protocol):
    @property
    def unconsumed_tail(self) -> bytes: ...


@dataclass(slots=True)
class _Member:
    """zlib's decompressor with the manners of Zstandard's: it keeps itself what it was given and has not looked at yet."""

    inner: _ZlibDecompressor = field(default_factory=lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS))  # 16: gzip alone

    @property
    def eof(self) -> bool:
        return self.inner.eof

    @property
    def unused_data(self) -> bytes:
        return self.inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self.inner.decompress(self.inner.unconsumed_tail + data, max_length)


def _new_frame() -> Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})


@dataclass(frozen=True, slots=True)
class Compression:
    """A format: its name, the suffix of its files, how one of its pieces begins, and what reads such a piece.

    `padding` may stand between pieces and behind the last (RFC 1952 leaves that open; gzip(1) ignores zeros, as tapes have them).
    """

    name: str
    suffix: str
    magics: tuple[bytes, ...]
    start: Callable[[], Decompressor]
    test: str  # the command that tests such a file
    padding: bytes = b""

    def may_begin(self, data: bytes) -> bool:
        """Whether a piece can begin with `data`, which may be shorter than the magic."""
        return any(data.startswith(magic) or magic.startswith(data) for magic in self.magics)


GZIP: Final = Compression("gzip", ".gz", (b"\x1f\x8b",), _Member, "gzip -t", padding=b"\0")
# RFC 8878: a frame, or a frame to skip, of which some writers put one in front (pzstd) or at the end (the seekable format).
ZSTANDARD: Final = Compression(
    "Zstandard", ".zst", (b"(\xb5/\xfd", *(b"%c*M\x18" % (0x50 + number) for number in range(16))), _new_frame, "zstd -t"
)
COMPRESSIONS: Final = (GZIP, ZSTANDARD)


@dataclass(frozen=True, slots=True)
class Limits:
    """How big a file may be: `largest` bytes of lines, and `ratio` times its compressed size."""

    largest: int = 10_000 * MEGABYTE
    ratio: int = 1_000


class _UnreadableContent(Exception):  # noqa: N818 - it ends the decompression of one file and never leaves this module
    pass


@dataclass(slots=True)
class Decompression:
    """What a compressed file holds. After it was iterated, `problem` says why that ended early; None if it did not.

    What is given back depends on the content alone, not on the blocks that it comes in: the compressed bytes are cut anew.
    """

    blocks: Iterable[bytes]
    compression: Compression
    limits: Limits = Limits()
    problem: str | None = None
    _taken: int = 0  # compressed bytes
    _given: int = 0

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of at most `BLOCK` bytes, none of them empty."""
        try:
            yield from self._read()
        except _UnreadableContent as error:
            self.problem = str(error)

    def _read(self) -> Iterator[bytes]:
        piece: Decompressor | None = None
        for data in _cut(self.blocks):
            self._taken += len(data)
            rest = data
            while piece is not None or (rest := rest.lstrip(self.compression.padding)):
                piece = piece or self._begin(rest)
                content = self._decompress(piece, rest)
                if content:
                    yield content
                rest = piece.unused_data if piece.eof else b""
                if piece.eof:
                    piece = None
                elif len(content) < BLOCK:
                    break  # it wants more
        if piece is not None:
            raise self._damage(f"ends in the middle, after byte {self._taken}")

    def _begin(self, data: bytes) -> Decompressor:
        if self.compression.may_begin(data[:4]):
            return self.compression.start()
        raise self._damage(f"is followed by something else from byte {self._taken - len(data) + 1} on")

    def _decompress(self, piece: Decompressor, data: bytes) -> bytes:
        try:
            content = piece.decompress(data, BLOCK)
        except (zlib.error, zstd.ZstdError) as error:
            raise self._explain(str(error)) from None
        self._given += len(content)
        if self._given > self.limits.largest:
            raise _UnreadableContent(say_too_large(self.limits, "Decompressed, the file"))
        if self._given > max(RATIO_FROM, self.limits.ratio * self._taken):
            raise _UnreadableContent(
                f"Decompressed, the file is more than {self.limits.ratio} times as large (LargestInputRatio): "
                f"{self._taken} bytes hold {self._given}. Drop it as it was before it was compressed."
            )
        return content

    def _explain(self, error: str) -> _UnreadableContent:
        if "too much memory" in error:  # ZSTD_error_frameParameter_windowTooLarge
            window = f"a window above {1 << WINDOW_LOG - 20} MiB"
            advice = f"Compress it with --long={WINDOW_LOG} at most, then drop it again."
            return _UnreadableContent(f"The Zstandard content needs {window}. {advice}")
        if "ictionary" in error:  # ZSTD_error_dictionary_wrong, ZSTD_error_dictionary_corrupted
            advice = "Compress it without one, then drop it again."
            return _UnreadableContent(f"The Zstandard content needs a dictionary, which is not in it. {advice}")
        return self._damage(f"is damaged before byte {self._taken + 1}")

    def _damage(self, what: str) -> _UnreadableContent:
        return _UnreadableContent(f"The {self.compression.name} content {what}. {_ADVICE.format(test=self.compression.test)}")


def say_too_large(limits: Limits, what: str) -> str:
    """Why a file that passes the limit of its size is refused."""
    limit = f"{limits.largest} bytes, the most that is validated in one go (LargestInputMegabytes)"
    return f"{what} has more than {limit}. Split the file."


def compression_of(name: str) -> Compression | None:
    """The compression that the name of a file promises; None for a plain file."""
    return next((compression for compression in COMPRESSIONS if name.endswith(compression.suffix)), None)


def compression_in(start: bytes) -> Compression | None:
    """The compression that the first bytes of a file show; None for another file."""
    return next((compression for compression in COMPRESSIONS if start.startswith(compression.magics)), None)


def whole_lines(content: Iterable[bytes], decompression: Decompression) -> Iterator[bytes]:
    """The content of a decompression, but for a line that is cut off where that ended early: nobody wrote it so.

    Blocks end at line feeds, so they are as long as a line may be; of a longer one, which is a fault anyway, parts are given.
    """
    held: list[bytes] = []
    length = 0
    for block in content:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((*held, block[:end]))
            held, length = [], 0
        if rest := block[end:]:
            held.append(rest)
            length += len(rest)
        if length > LONGEST_LINE:
            yield b"".join(held)
            held, length = [], 0
    if held and decompression.problem is None:
        yield b"".join(held)


def _cut(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes as slices of `SLICE` bytes, the last of which may be shorter."""
    rest = b""
    for block in blocks:
        data = rest + block
        end = len(data) - len(data) % SLICE
        for start in range(0, end, SLICE):
            yield data[start : start + SLICE]
        rest = data[end:]
    if rest:
        yield rest
