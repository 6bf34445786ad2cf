"""Why nothing of a file is run: because of the file itself, or because of its lines."""

from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.compression import compression_in, compression_of
from slacktide.keys import DROP_SUFFIXES
from slacktide.lines import MOST_LINES

# What other formats begin with, at the byte that stands first: files that people put behind the name of an input.
MAGIC = {
    (0, b"PK\x03\x04"): "ZIP",
    (0, b"PK\x05\x06"): "ZIP",
    (0, b"PAR1"): "Parquet",
    (0, b"ARROW1"): "Arrow",
    (0, b"BZh"): "bzip2",
    (0, b"\xfd7zXZ\0"): "xz",
    (0, b"7z\xbc\xaf\x27\x1c"): "7z",
    (257, b"ustar"): "tar",
}
LONGEST_MAGIC = max(place + len(magic) for place, magic in MAGIC)  # bytes of a file that tell what it is
_SUFFIXES = ", ".join(DROP_SUFFIXES)


def refuse_file(name: str | None, start: bytes) -> Failure | None:
    """The failure of a file whose first bytes are not what its name says; without a name any input will do."""
    found = compression_in(start)
    if found is None and (refused := refuse_content(start, "The content")):
        return refused
    promised = found if name is None else compression_of(name)
    if found is promised:
        return None
    suffix = promised.suffix if promised else ".jsonl"
    content = found.name if found else f"not {promised.name}" if promised else "plain"
    return _unsupported(f"The name ends in {suffix}, but the content is {content}. Name the file after what it is: {_SUFFIXES}.")


def refuse_content(start: bytes, what: str) -> Failure | None:
    """The failure of what should be plain JSONL, by its first bytes; none are there if it is empty."""
    if not start:
        return Failure(Code.EMPTY_FILE, "The file is empty.")
    compression = compression_in(start)
    formats = [name for (place, magic), name in MAGIC.items() if start.startswith(magic, place)]
    if compression or formats:
        kind = compression.name if compression else formats[0]
        return _unsupported(f"{what} is {kind}, not JSONL. Drop a JSONL file, plain or compressed once: {_SUFFIXES}.")
    return None


def _unsupported(message: str) -> Failure:
    return Failure(Code.UNSUPPORTED_FILE, message)


def refuse_lines(total: int, bad: int, options: Options) -> Failure | None:
    """The failure of a file of `total` lines, `bad` of them invalid, by its options."""
    if total == 0:
        return Failure(Code.EMPTY_FILE, "The file has no lines.")
    if total > MOST_LINES:
        return _unsupported(f"The file has more than {MOST_LINES} lines, the most that are validated in one go. Split the file.")
    if bad == total:
        return Failure(Code.INVALID_LINES, f"None of the {total} lines is a valid request; the error file has each fault.")
    if bad and options.on_invalid == "reject":
        return Failure(Code.INVALID_LINES, f"{bad} of {total} lines are invalid and on-invalid is reject: nothing was run.")
    if bad / total > options.max_invalid_ratio:
        ratio = options.max_invalid_ratio
        return Failure(Code.INVALID_LINES, f"{bad} of {total} lines are invalid, more than max-invalid-ratio {ratio} allows.")
    return None
