"""A set of line numbers, one bit each: 125 KB for a million lines."""

from collections.abc import Iterator
from typing import Self

_DIGITS = b"01" + bytes(254)


class Bitmap:
    """A set of 1-based line numbers of a file of `size` lines."""

    def __init__(self, size: int, data: bytes | bytearray | None = None) -> None:
        length = (size + 7) // 8
        self.size = size
        self._bits = bytearray(data) if data is not None else bytearray(length)
        if len(self._bits) != length:
            raise ValueError(f"a bitmap of {size} lines has {length} bytes, not {len(self._bits)}")

    @classmethod
    def full(cls, size: int) -> Self:
        """All lines from 1 to `size`."""
        bits = (1 << size) - 1
        return cls(size, bits.to_bytes((size + 7) // 8, "little"))

    def add(self, line: int) -> None:
        """Put a line in; the line must lie between 1 and `size`."""
        if not 1 <= line <= self.size:
            raise ValueError(f"line {line} is not between 1 and {self.size}")
        self._bits[(line - 1) >> 3] |= 1 << ((line - 1) & 7)

    def add_range(self, first: int, last: int) -> None:
        """Put the lines from `first` to `last` in, and make room for them."""
        self._add_bits((1 << (last - first + 1)) - 1, first, last)

    def add_flags(self, first: int, flags: bytes) -> None:
        """Put those lines from `first` on in whose byte is 1, not 0; make room for all."""
        self._add_bits(int(flags[::-1].translate(_DIGITS), 2), first, first + len(flags) - 1)

    def _add_bits(self, bits: int, first: int, last: int) -> None:
        self.grow(last)
        start, end = (first - 1) >> 3, (last + 7) >> 3  # bytes
        both = int.from_bytes(self._bits[start:end], "little") | bits << ((first - 1) & 7)
        self._bits[start:end] = both.to_bytes(end - start, "little")

    def grow(self, size: int) -> None:
        """Make room for lines up to `size`."""
        self.size = max(self.size, size)
        self._bits.extend(bytes((self.size + 7) // 8 - len(self._bits)))

    def between(self, first: int, last: int) -> "Bitmap":
        """The lines of this set from `first` to `last`."""
        mask = ((1 << last) - 1) & ~((1 << (first - 1)) - 1)
        return Bitmap(self.size, (int.from_bytes(self._bits, "little") & mask).to_bytes(len(self._bits), "little"))

    def __contains__(self, line: int) -> bool:
        return 1 <= line <= self.size and bool(self._bits[(line - 1) >> 3] & (1 << ((line - 1) & 7)))

    def __len__(self) -> int:
        return int.from_bytes(self._bits, "little").bit_count()

    def __iter__(self) -> Iterator[int]:
        for index, byte in enumerate(self._bits):
            if byte:
                for bit in range(8):
                    if byte & (1 << bit):
                        yield index * 8 + bit + 1

    def __or__(self, other: "Bitmap") -> "Bitmap":
        return self._combined(other, int.from_bytes(self._bits, "little") | int.from_bytes(other._bits, "little"))

    def __and__(self, other: "Bitmap") -> "Bitmap":
        return self._combined(other, int.from_bytes(self._bits, "little") & int.from_bytes(other._bits, "little"))

    def __sub__(self, other: "Bitmap") -> "Bitmap":
        return self._combined(other, int.from_bytes(self._bits, "little") & ~int.from_bytes(other._bits, "little"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bitmap) and self.size == other.size and self._bits == other._bits

    def __hash__(self) -> int:
        raise TypeError("a bitmap can change, so it has no hash")

    def __bytes__(self) -> bytes:
        return bytes(self._bits)

    def _combined(self, other: "Bitmap", bits: int) -> "Bitmap":
        if self.size != other.size:
            raise ValueError(f"bitmaps of {self.size} and of {other.size} lines do not go together")
        return Bitmap(self.size, bits.to_bytes((self.size + 7) // 8, "little"))
