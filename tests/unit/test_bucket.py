"""The bucket against S3 as moto plays it: streams, versions, conditions."""

from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from slacktide.bucket import Bucket
from slacktide.errors import ConflictError, ObjectMissingError, SlacktideError
from slacktide.reading import BLOCK


def test_lines_over_blocks(bucket: Bucket) -> None:
    lines = [b"x" * BLOCK, b"", b"y" * 3, b"z" * (2 * BLOCK + 1)]
    bucket.write("k", b"\n".join(lines))
    assert list(bucket.lines("k")) == lines
    assert list(bucket.lines("k", BLOCK + 2)) == lines[2:]
    bucket.write("k", b"a\nb\n")
    assert list(bucket.lines("k")) == [b"a", b"b"]


def test_a_version_is_read_although_it_was_overwritten(bucket: Bucket, s3: Any) -> None:
    first = s3.put_object(Bucket=bucket.name, Key="k", Body=b"one")["VersionId"]
    bucket.write("k", b"two")
    assert b"".join(bucket.stream("k", first)) == b"one"
    assert bucket.read("k") == b"two"
    head = bucket.head("k", first)
    assert head is not None
    assert head["ContentLength"] == 3


def test_a_version_is_found_by_its_etag(bucket: Bucket, s3: Any) -> None:
    first = s3.put_object(Bucket=bucket.name, Key="k", Body=b"one")
    s3.put_object(Bucket=bucket.name, Key="k", Body=b"two")
    s3.put_object(Bucket=bucket.name, Key="k2", Body=b"one")
    assert bucket.find_version("k", first["ETag"].strip('"')) == first["VersionId"]
    assert bucket.find_version("k", "none") is None


def test_what_is_missing(bucket: Bucket, s3: Any) -> None:
    assert bucket.head("k") is None
    with pytest.raises(ObjectMissingError):
        bucket.read("k")
    bucket.write("k", b"1")
    s3.delete_object(Bucket=bucket.name, Key="k")
    assert bucket.head("k") is None, "a delete marker"
    with pytest.raises(ClientError):
        list(Bucket(s3, "another").list(""))


def test_create_and_replace_are_conditional(bucket: Bucket) -> None:
    bucket.create("k", {"n": 1})
    with pytest.raises(ConflictError):
        bucket.create("k", {"n": 2})
    head = bucket.head("k")
    assert head is not None
    bucket.replace("k", {"n": 3}, head["ETag"])
    with pytest.raises(ConflictError):
        bucket.replace("k", {"n": 4}, head["ETag"])
    assert bucket.read_json("k", dict) == {"n": 3}
    assert bucket.read("k") == msgspec.json.format(b'{"n":3}', indent=2) + b"\n"


def test_all_below_a_prefix_is_deleted(bucket: Bucket) -> None:
    for key in ("p/0", "p/1", "q"):
        bucket.write(key, b"x")
    bucket.delete_below("p/")
    bucket.delete_below("nothing/")
    assert list(bucket.list("")) == [("q", 1)]
    assert bucket.find_version("p/0", '"9dd4e461268c8034f5c8564e155c67a6"'), "the versions stay"


def test_objects_that_were_not_deleted_are_an_error(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers 200, and names them."""
    bucket.write("p/0", b"x")
    errors = {"Errors": [{"Key": "p/0", "Code": "AccessDenied", "Message": "no"}]}
    monkeypatch.setattr(bucket.s3, "delete_objects", lambda **_: errors)
    with pytest.raises(SlacktideError, match=r"1 objects below p/ were not deleted: AccessDenied"):
        bucket.delete_below("p/")


def test_a_list_goes_over_pages_in_order(bucket: Bucket) -> None:
    for number in reversed(range(5)):
        bucket.write(f"p/{number}", b"x" * number)
    bucket.write("q", b"")
    assert list(bucket.list("p/")) == [(f"p/{number}", number) for number in range(5)]
