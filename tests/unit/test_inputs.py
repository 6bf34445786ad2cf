"""An input is opened by its name, its size and its first bytes, which must agree; each refusal says what to do."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator

import pytest

from slacktide.codes import Code
from slacktide.compression import Limits, zstd
from slacktide.inputs import open_input

PLAIN = b'{"custom_id": "a"}\n'
GZ, ZST = gzip.compress(PLAIN, mtime=0), zstd.compress(PLAIN)


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.jsonl"))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as into:
        into.writestr("a.jsonl", PLAIN)
    return file.getvalue()


OTHERS = {
    "ZIP": zipped(),
    "tar": archive(),
    "bzip2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "Parquet": b"PAR1" + bytes(20),
    "Arrow": b"ARROW1\0\0",
    "7z": b"7z\xbc\xaf\x27\x1c\0\4",
}


def look(content: bytes, name: str | None, *, size: int | None = None, limits: Limits | None = None) -> tuple[bytes, str | None]:
    """The content of a file that comes byte by byte, and the message of its failure."""
    file = open_input((content[n : n + 1] for n in range(len(content))), name=name, size=size, limits=limits or Limits())
    blocks = b"".join(file.blocks)
    assert file.refusal is None or blocks == b"", "nothing is read of a refused file"
    return blocks, file.failure.message if file.failure else None


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", PLAIN), ("a.jsonl.gz", GZ), ("a.jsonl.zst", ZST), (None, PLAIN), (None, GZ), (None, ZST), ("a.jsonl", b"\x1f")],
)
def test_what_name_and_content_agree_on_is_read(name: str | None, content: bytes) -> None:
    assert look(content, name) == (content if content == b"\x1f" else PLAIN, None)


@pytest.mark.parametrize(
    ("name", "content", "suffix", "found"),
    [
        ("a.jsonl", GZ, ".jsonl", "gzip"),
        ("a.jsonl", ZST, ".jsonl", "Zstandard"),
        ("a.jsonl.gz", ZST, ".gz", "Zstandard"),
        ("a.jsonl.gz", PLAIN, ".gz", "not gzip"),
        ("a.jsonl.zst", GZ, ".zst", "gzip"),
        ("a.jsonl.zst", PLAIN, ".zst", "not Zstandard"),
        ("a.jsonl.zst", b"(", ".zst", "not Zstandard"),
    ],
)
def test_a_name_that_says_something_else_is_refused(name: str, content: bytes, suffix: str, found: str) -> None:
    _, message = look(content, name)
    assert message == (
        f"The name ends in {suffix}, but the content is {found}. Name the file after what it is: .jsonl, .jsonl.gz, .jsonl.zst."
    )


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", None])
def test_another_format_is_named(name: str | None, kind: str) -> None:
    assert str(look(OTHERS[kind], name)[1]).startswith(f"The content is {kind}, not JSONL. Drop a JSONL file")


@pytest.mark.parametrize("kind", OTHERS)
def test_another_format_inside_is_named(kind: str) -> None:
    for name, packed in (("a.jsonl.gz", gzip.compress(OTHERS[kind])), ("a.jsonl.zst", zstd.compress(OTHERS[kind]))):
        assert str(look(packed, name)[1]).startswith(f"Decompressed, the content is {kind}, not JSONL.")


def test_compressed_twice_is_refused() -> None:
    assert "Decompressed, the content is gzip, not JSONL" in str(look(gzip.compress(GZ), "a.jsonl.gz")[1])
    assert "Decompressed, the content is Zstandard" in str(look(gzip.compress(ZST), "a.jsonl.gz")[1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b""),
        ("a.jsonl.gz", b""),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0)),
        ("a.jsonl.zst", zstd.compress(b"")),
        (None, b""),
    ],
)
def test_an_empty_file_is_said_to_be_empty(name: str | None, content: bytes) -> None:
    assert look(content, name) == (b"", "The file is empty.")


def test_a_damage_at_the_very_beginning_is_a_damage_and_no_empty_file() -> None:
    content, message = look(GZ[:12], "a.jsonl.gz")
    assert content == b""
    assert "ends in the middle, after byte 12" in str(message)


def test_a_file_above_the_limit_is_refused_unread() -> None:
    def blocks() -> Iterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    for name in ("a.jsonl", "a.jsonl.gz"):
        file = open_input(blocks(), name=name, size=101, limits=Limits(largest=100))
        assert file.refusal is file.failure is not None
        assert file.failure.message == (
            "The file has more than 100 bytes, the most that is validated in one go (LargestInputMegabytes). Split the file."
        )


@pytest.mark.parametrize("content", [PLAIN, PLAIN * 999, GZ, ZST, GZ + bytes(600), b""], ids=len)
def test_the_checksum_is_that_of_the_bytes_as_they_came(content: bytes) -> None:
    right, wrong = (hashlib.md5(text, usedforsecurity=False).hexdigest() for text in (content, content + b"\n"))
    for md5, code in ((right, None), (wrong, Code.CHECKSUM_MISMATCH)):
        file = open_input(iter([content[:7], content[7:]]), name=None, size=None, limits=Limits(), md5=md5)
        assert bool(b"".join(file.blocks)) is bool(content)
        assert (file.failure and file.failure.code) == (code if content else Code.EMPTY_FILE)


def test_a_damaged_file_is_damaged_whatever_its_checksum() -> None:
    file = open_input([GZ[:-9]], name=None, size=None, limits=Limits(), md5="0" * 32)
    assert b"".join(file.blocks) == PLAIN, "the whole lines in front of the damage"
    assert file.failure
    assert file.failure.code is Code.UNSUPPORTED_FILE


def test_a_file_at_the_limit_is_read() -> None:
    assert look(PLAIN, "a.jsonl", size=len(PLAIN), limits=Limits(largest=len(PLAIN))) == (PLAIN, None)
    packed = gzip.compress(PLAIN * 9)
    assert look(packed, "a.jsonl.gz", size=len(packed), limits=Limits(largest=9 * len(PLAIN))) == (PLAIN * 9, None)
    content, message = look(packed, "a.jsonl.gz", size=len(packed), limits=Limits(largest=9 * len(PLAIN) - 1))
    assert content == b""
    assert "Decompressed, the file has more than" in str(message)
