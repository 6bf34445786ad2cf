"""Result files on their way to disk: written under another name until they are whole, counted, and held to the manifest."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slacktide_cli.documents import Manifest, ResultFile
from slacktide_cli.errors import UsageError

_PARTIAL = ".partial"  # behind the name of a file that is not whole yet


class ResultWriter:
    """Writes one file, and knows its bytes, lines and SHA-256 so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.bytes, self.lines = hashlib.sha256(), 0, 0

    def write(self, block: bytes) -> None:
        """Write the next bytes."""
        self._file.write(block)
        self._digest.update(block)
        self.bytes += len(block)
        self.lines += block.count(b"\n")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def write_result(target: Path) -> Generator[ResultWriter]:
    """A writer whose file takes its name at the end of the block; one that is not whole leaves the old file as it was.

    Raises UsageError when the folder cannot be written to.
    """
    partial = target.with_name(target.name + _PARTIAL)
    with writing_to(target.parent):
        try:
            with partial.open("wb") as file:
                yield ResultWriter(file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing_to(folder: Path) -> Generator[None]:
    """Make the folder; failures of the disk become UsageErrors."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror or error}. Choose a folder with --out.") from error


def find_differences(name: str, written: ResultWriter, entry: ResultFile) -> list[str]:
    """In what a downloaded file is not what the manifest says, in words."""
    found = {"bytes": written.bytes, "lines": written.lines, "sha256": written.sha256}
    return [
        f"{name} has {field} {value}, the manifest says {getattr(entry, field)}"
        for field, value in found.items()
        if value != getattr(entry, field)
    ]


def find_miscounts(manifest: Manifest) -> list[str]:
    """Whether the manifest accounts for every line of the batch."""
    lines, total = manifest.output.lines + manifest.errors.lines, manifest.counts.total
    return [] if lines == total else [f"output and errors have {lines} lines together, the batch has {total}"]
