"""Objects that are written while the work goes on: none is lost, few bytes wait, and what goes wrong is told."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from slacktide import writing
from slacktide.bucket import Bucket
from slacktide.writing import Writes


@dataclass
class SlowS3:
    """Holds every write until it is let go."""

    objects: dict[str, bytes] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def put_object(self, *, Key: str, Body: bytes, **_: object) -> dict[str, str]:  # noqa: N803 - the names are boto3's
        self.begun.append(Key)
        self.go.acquire()
        if Body == b"refused":
            raise OSError("no")
        self.objects[Key] = Body
        return {"ETag": "1"}


@pytest.fixture
def s3() -> Iterator[SlowS3]:
    slow = SlowS3()
    yield slow
    slow.go.release(100)  # so that a test that fails does not hang


def write_all(s3: SlowS3, objects: Iterable[tuple[str, bytes]], error: Exception | None = None) -> None:
    with Writes(Bucket(s3, "b")) as writes:
        for key, data in objects:
            writes.write(key, data)
        if error:
            raise error


def test_the_work_goes_on_while_objects_are_written_and_all_are_there_at_the_end(s3: SlowS3) -> None:
    with Writes(Bucket(s3, "b")) as writes:
        for number in range(4):
            writes.write(str(number), b"x" * number)
        assert s3.objects == {}, "none has had to arrive yet"
        s3.go.release(4)
    assert s3.objects == {str(number): b"x" * number for number in range(4)}


def test_few_bytes_are_under_way(s3: SlowS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_UNDER_WAY", 10)
    under_way: list[int] = []
    sizes = [4, 4, 4, 30, 1, 10]

    def write_all() -> None:
        with Writes(Bucket(s3, "b")) as writes:
            for number, size in enumerate(sizes):
                writes.write(str(number), b"x" * size)
                under_way.append(sum(sizes[: number + 1]) - sum(map(len, s3.objects.values())))

    worker = threading.Thread(target=write_all)
    worker.start()
    for _ in sizes:
        s3.go.release()
    worker.join(timeout=30)
    assert [len(s3.objects[str(number)]) for number in range(6)] == sizes
    assert all(most <= 10 or number == 3 for number, most in enumerate(under_way))


def test_an_object_waits_for_room(s3: SlowS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_UNDER_WAY", 10)
    returned = threading.Event()

    def objects() -> Iterator[tuple[str, bytes]]:
        yield "first", b"x" * 6
        yield "second", b"x" * 6
        returned.set()

    worker = threading.Thread(target=write_all, args=(s3, objects()))
    worker.start()
    assert not returned.wait(0.2)
    assert s3.begun == ["first"]
    s3.go.release()
    assert returned.wait(30)
    s3.go.release()
    worker.join(timeout=30)
    assert set(s3.objects) == {"first", "second"}


def test_what_cannot_be_written_is_told_at_the_end_at_the_latest(s3: SlowS3) -> None:
    s3.go.release(2)
    with pytest.raises(OSError, match="no"):
        write_all(s3, [("a", b"refused"), ("b", b"x")])


def test_what_cannot_be_written_is_told_before_much_more_is_begun(s3: SlowS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_UNDER_WAY", 10)
    s3.go.release(100)
    with pytest.raises(OSError, match="no"):
        write_all(s3, ((str(number), b"refused") for number in range(100)))
    assert len(s3.begun) <= 3


def test_the_error_of_the_work_itself_is_the_one_that_is_raised(s3: SlowS3) -> None:
    s3.go.release(1)
    with pytest.raises(ValueError, match="mine"):
        write_all(s3, [("a", b"refused")], ValueError("mine"))
