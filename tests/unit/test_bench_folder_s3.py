"""A folder as a bucket: what the library asks of S3 comes out as from S3."""

from pathlib import Path

import pytest

from bench.folder_s3 import FolderS3, find_range
from slacktide.bucket import Bucket
from slacktide.errors import ConflictError, ObjectMissingError
from slacktide.uploads import PART_BYTES, Upload


@pytest.fixture
def folder_bucket(tmp_path: Path) -> Bucket:
    return Bucket(FolderS3(tmp_path), "bench")


def test_an_object_is_read_as_it_was_written(folder_bucket: Bucket) -> None:
    text = bytes(range(256)) * 1_000
    folder_bucket.write("a/b.bin", text)
    assert folder_bucket.read("a/b.bin") == text
    assert b"".join(folder_bucket.stream("a/b.bin")) == text
    assert b"".join(folder_bucket.stream("a/b.bin", start=100_000)) == text[100_000:]
    assert (folder_bucket.head("a/b.bin") or {})["ContentLength"] == len(text)


def test_what_is_not_there_is_missing(folder_bucket: Bucket) -> None:
    with pytest.raises(ObjectMissingError):
        folder_bucket.read("missing")
    assert folder_bucket.head("missing") is None


def test_an_object_is_created_once(folder_bucket: Bucket) -> None:
    folder_bucket.create("a.json", {})
    with pytest.raises(ConflictError):
        folder_bucket.create("a.json", {})


def test_an_object_of_many_parts_is_one(folder_bucket: Bucket) -> None:
    lines = [bytes([65 + number]) * (PART_BYTES // 2) + b"\n" for number in range(5)]
    for content in (lines, lines[:4]):  # the second replaces the first
        upload = Upload(folder_bucket, "out.jsonl", tail_key=str, state=None)
        for line in content:
            upload.write(line)
        written = upload.complete()
        assert written.bytes == sum(map(len, content))
        assert b"".join(folder_bucket.stream("out.jsonl")) == b"".join(content)
        answer = folder_bucket.s3.get_object(Key="out.jsonl", Range=f"bytes={PART_BYTES - 3}-{PART_BYTES + 5}")
        assert answer["Body"].read() == b"".join(content)[PART_BYTES - 3 : PART_BYTES + 6]
        assert answer["ContentRange"] == f"bytes {PART_BYTES - 3}-{PART_BYTES + 5}/{written.bytes}"


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, (0, 10)), ("bytes=0-3", (0, 4)), ("bytes=4-", (4, 10)), ("bytes=4-99", (4, 10)), ("bytes=10-", None), ("-3", None)],
)
def test_a_range_ends_with_the_object(text: str | None, found: tuple[int, int] | None) -> None:
    assert find_range(text, 10) == found
