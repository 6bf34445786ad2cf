"""Why nothing of a file is run: because of the file itself, or because of its lines."""

from slacktide.batch import Failure, Options
from slacktide.codes import Code

# The first bytes of formats that people put behind a .jsonl name.
MAGIC = {b"\x1f\x8b": "gzip", b"(\xb5/\xfd": "Zstandard", b"PK\x03\x04": "ZIP", b"PAR1": "Parquet"}


def refuse_file(name: str, start: bytes) -> Failure | None:
    """The failure of a file that is not even scanned, by its name and its first bytes; none are there if it is empty."""
    if not start:
        return Failure(Code.EMPTY_FILE, "The file is empty.")
    if not name.endswith(".jsonl"):
        return Failure(Code.UNSUPPORTED_FILE, "Compressed files are not read yet: drop the plain .jsonl file.")
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            return Failure(Code.UNSUPPORTED_FILE, f"The file is {kind}, not JSONL: drop the plain .jsonl file.")
    return None


def refuse_lines(total: int, bad: int, options: Options) -> Failure | None:
    """The failure of a file of `total` lines, `bad` of them invalid, by its options."""
    if total == 0:
        return Failure(Code.EMPTY_FILE, "The file has no lines.")
    if bad == total:
        return Failure(Code.INVALID_LINES, f"None of the {total} lines is a valid request; the error file has each fault.")
    if bad and options.on_invalid == "reject":
        return Failure(Code.INVALID_LINES, f"{bad} of {total} lines are invalid and on-invalid is reject: nothing was run.")
    if bad / total > options.max_invalid_ratio:
        ratio = options.max_invalid_ratio
        return Failure(Code.INVALID_LINES, f"{bad} of {total} lines are invalid, more than max-invalid-ratio {ratio} allows.")
    return None
