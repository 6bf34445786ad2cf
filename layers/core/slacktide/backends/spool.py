"""A file on the function's disk, on its way to an upstream."""

import hashlib
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Self

BLOCK = 1 << 16  # bytes


@dataclass(slots=True)
class Spool:
    """What is written is hashed: size and SHA-256 are known before the first byte is sent, and a further try reads no S3."""

    file: IO[bytes]
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _ends_at: float = float("inf")

    @classmethod
    @contextmanager
    def temporary(cls) -> Generator[Self]:
        """An empty one; gone at the end."""
        with tempfile.TemporaryFile() as file:
            yield cls(file)

    def write(self, text: bytes) -> None:
        """Append; not once it is read."""
        self._hash.update(text)
        self.size += self.file.write(text)

    def clear(self) -> None:
        """Begin anew."""
        self.file.seek(0)
        self.file.truncate()
        self.size, self._hash = 0, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return self._hash.hexdigest()

    def limit(self, seconds: float) -> None:
        """From now on reading is over after `seconds`: a slow receiver must not hold a function until it dies."""
        self._ends_at = time.monotonic() + seconds

    def rewind(self) -> Self:
        """From the start again."""
        self.file.seek(0)
        return self

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises TimeoutError when the time is over."""
        if time.monotonic() > self._ends_at:
            raise TimeoutError("the receiver is slow")
        return self.file.read(size)

    def seek(self, *position: int) -> int:
        """As of a file."""
        return self.file.seek(*position)

    def fileno(self) -> int:
        """As of a file: by it httpx finds the length."""
        self.file.flush()
        return self.file.fileno()

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(BLOCK), b"")
