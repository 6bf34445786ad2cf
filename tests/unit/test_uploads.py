"""An object written over several invocations: the same bytes wherever it is put down."""

import hashlib
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fakes.s3 import MOST_PARTS
from fakes.world import World
from slacktide import uploads
from slacktide.bucket import Bucket
from slacktide.uploads import Upload, UploadLostError, UploadState, Written

LINES = [f"line {number}\n".encode() for number in range(40)]
WHOLE = b"".join(LINES)


def begin(bucket: Bucket, state: UploadState | None = None) -> Upload:
    return Upload(bucket, "k", tail_key=lambda size: f"tail-{size}", state=state)


def is_whole(bucket: Bucket, written: Written, whole: bytes = WHOLE) -> bool:
    described = written.lines, written.bytes, written.sha256
    return bucket.read("k") == whole and described == (whole.count(b"\n"), len(whole), hashlib.sha256(whole).hexdigest())


@pytest.fixture(params=[1, 30, 10_000])
def _part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", request.param)


@pytest.mark.usefixtures("_part")
@pytest.mark.parametrize("step", [1, 3, 40, 100])
def test_put_down_and_taken_up(world: World, step: int) -> None:
    upload = begin(world.bucket)
    for number, line in enumerate(LINES, 1):
        upload.write(line)
        if number % step == 0:
            upload = begin(world.bucket, upload.suspend())
    assert is_whole(world.bucket, upload.complete())


@pytest.mark.usefixtures("_part")
def test_a_repeated_step_begins_where_it_began(world: World) -> None:
    upload = begin(world.bucket)
    for line in LINES[:5]:
        upload.write(line)
    state = upload.suspend()
    for stop in (8, 20, 40):  # two tries that die after they have put it down, then one that goes on
        upload = begin(world.bucket, state)
        for line in LINES[5:stop]:
            upload.write(line)
        upload.suspend()
    assert is_whole(world.bucket, upload.complete())


@pytest.mark.parametrize("step", [1, 7, 100])
def test_parts_grow_so_that_their_number_is_enough(world: World, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 10)
    monkeypatch.setattr(uploads, "SIZE_PARTS", 3)
    upload = begin(world.bucket)
    for number, line in enumerate(LINES, 1):
        upload.write(line)
        if number % step == 0:
            upload = begin(world.bucket, upload.suspend())
    upload.suspend()
    ((parts),) = world.s3.uploads.values()
    assert [len(parts[number]) for number in sorted(parts)] == [*[10] * 3, *[20] * 3, *[30] * 3, *[40] * 3]
    assert is_whole(world.bucket, upload.complete())


def test_the_parts_of_an_upload_hold_more_than_the_lines_of_the_largest_file() -> None:
    sizes = [uploads.PART_BYTES * (1 + number // uploads.SIZE_PARTS) for number in range(MOST_PARTS)]
    assert sum(sizes) > 400 * 10**9
    assert (uploads.SENDERS + 1) * max(sizes) < 256 << 20, "so many are in memory: one is filled while the others are sent"


@pytest.mark.usefixtures("_part")
def test_an_empty_object(world: World) -> None:
    assert is_whole(world.bucket, begin(world.bucket).complete(), b"")
    assert is_whole(world.bucket, begin(world.bucket, begin(world.bucket).suspend()).complete(), b"")


def test_an_upload_that_is_gone_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 1)
    upload = begin(world.bucket)
    upload.write(b"a\n")
    state = upload.suspend()
    begin(world.bucket, state).complete()
    with pytest.raises(UploadLostError):
        begin(world.bucket, state).complete()
    again = begin(world.bucket, state)
    with pytest.raises(UploadLostError):
        again.write(b"b" * (uploads.SENDERS + 1))


def test_moto_agrees(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr(uploads, "PART_BYTES", 30)
    upload: Any = begin(bucket)
    for line in LINES:
        upload.write(line)
        upload = begin(bucket, upload.suspend())
    assert is_whole(bucket, upload.complete())


def test_parts_are_the_same_however_the_lines_are_handed_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is repeated from another cursor overwrites its own parts, and no mixture can come about."""
    monkeypatch.setattr(uploads, "PART_BYTES", 30)
    seen: list[dict[int, bytes]] = []
    for size, step in [(1, 1), (3, 6), (40, 40), (7, 14)]:
        upload = begin(world.bucket)
        for first in range(0, 40, size):
            upload.write(b"".join(LINES[first : first + size]))
            if first % step == 0:
                upload = begin(world.bucket, upload.suspend())
        upload.suspend()
        seen.append(list(world.s3.uploads.values())[-1])
        assert is_whole(world.bucket, upload.complete())
    assert all(sent == seen[0] for sent in seen)
    assert set(map(len, seen[0].values())) == {30, len(WHOLE) % 30}


class Slow:
    """A bucket whose parts wait for each other: none arrives before so many are on their way."""

    def __init__(self, s3: Any, together: int) -> None:
        self._s3 = s3
        self._gate = threading.Barrier(together, timeout=10)

    def upload_part(self, **part: Any) -> Any:
        self._gate.wait()
        return self._s3.upload_part(**part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


def test_parts_are_sent_side_by_side(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", len(LINES[0]))
    with begin(replace(world.bucket, s3=Slow(world.s3, uploads.SENDERS))) as upload:
        for line in LINES[: 2 * uploads.SENDERS]:
            upload.write(line)
        assert is_whole(world.bucket, upload.complete(), b"".join(LINES[: 2 * uploads.SENDERS]))


def test_a_part_that_could_not_be_sent_ends_the_upload(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not unnoticed: an object that lacks it must not appear."""
    monkeypatch.setattr(uploads, "PART_BYTES", len(WHOLE) - 10)
    failing = SimpleNamespace(create_multipart_upload=world.s3.create_multipart_upload, upload_part=_refuse)
    for end in (Upload.complete, Upload.suspend):
        with begin(replace(world.bucket, s3=failing)) as upload:
            upload.write(WHOLE)
            with pytest.raises(ClientError):
                end(upload)
    assert world.bucket.head("k") is None


def test_behind_its_context_nothing_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 1)
    with begin(world.bucket) as upload:
        upload.write(b"a")
    with pytest.raises(RuntimeError, match="after shutdown"):
        upload.write(b"b")


def _refuse(**_: Any) -> None:
    raise ClientError({"Error": {"Code": "SlowDown"}}, "UploadPart")
