"""The records of uploaded files, and their removal when they come to nothing."""

from gzip import compress
from typing import Any

import msgspec
import pytest

from fakes.backend import Request, drop, fail, succeed
from fakes.world import BUCKET, NOTHING, World, jsonl, request
from slacktide.api.files import ref_of
from slacktide.api.uploads import UPLOAD_SECONDS
from slacktide.batch import Batch, ObjectRef, StatusChange
from slacktide.bucket import Bucket
from slacktide.codes import CodeClass
from slacktide.creation import Attempt
from slacktide.errors import ConflictError, NotFoundError
from slacktide.files import PART_SECONDS, File, FilePart, Files, FileState
from slacktide.ids import BatchFile, FileKind, new_batch_id, new_file_id, parse_file_id
from slacktide.keys import upload, upload_part
from slacktide.settings import Settings
from slacktide.sources import Sources
from slacktide.statuses import BatchStatus
from slacktide.sweeping import SEND_PATIENCE

SOURCE = ObjectRef(BUCKET, "uploads/x/000001", "v", 3)
NOW = 100


@pytest.fixture
def files(table: Any) -> Files:
    return Files(table)


def make(at: int = 1, owner: str = "owner", **fields: Any) -> File:
    return File(new_file_id(), owner, "a.jsonl", "batch", at, **fields)


class TestRecords:
    def test_a_file_is_its_owners(self, files: Files) -> None:
        file = files.put(make())
        assert files.get(file.file_id, "owner", NOW) == file
        for file_id, owner in [(file.file_id, "other"), (new_file_id(), "owner"), ("../x", "owner"), ("", "owner")]:
            with pytest.raises(NotFoundError):
                files.get(file_id, owner, NOW)

    def test_only_ready_files_are_listed_the_newest_first(self, files: Files) -> None:
        old, new = (files.put(make(at, state=FileState.READY, source=SOURCE)) for at in (5, 9))
        files.put(make(7, uploads_until=10))
        files.put(make(6, owner="other", state=FileState.READY))
        gone = files.put(make(8, state=FileState.READY))
        files.change(gone, FileState.DELETED)
        assert list(files.of_owner("owner", NOW)) == [new, old]
        assert list(files.of_owner("owner", NOW, 8)) == [old]
        assert list(files.of_owner("owner", NOW, 9)) == [new, old]
        assert list(files.of_owner("nobody", NOW)) == []
        with pytest.raises(NotFoundError):
            files.get(gone.file_id, "owner", NOW)

    def test_a_state_is_left_once(self, files: Files) -> None:
        file = files.put(make(uploads_until=10))
        ready = files.change(file, FileState.READY, bytes=3, source=SOURCE)
        assert (ready.bytes, ready.source) == (3, SOURCE)
        assert files.get(file.file_id, "owner", NOW) == ready
        with pytest.raises(ConflictError, match="pending no more"):
            files.change(file, FileState.CANCELLED)

    def test_only_pending_files_are_overdue(self, files: Files) -> None:
        late = files.put(make(uploads_until=10))
        files.put(make(uploads_until=12))
        done = files.put(make(uploads_until=10))
        files.change(done, FileState.READY)
        assert list(files.overdue(10)) == []
        assert list(files.overdue(11)) == [late]

    def test_parts_are_of_their_upload(self, files: Files) -> None:
        file, other = files.put(make()), files.put(make())
        parts = {name: FilePart(name, 1, SOURCE) for name in ("part_b", "part_a")}
        for part in parts.values():
            files.add_part(file, part)
        files.add_part(other, FilePart("part_c", 1, SOURCE))
        assert files.parts(file.file_id) == parts
        assert files.parts(other.file_id).keys() == {"part_c"}

    def test_the_table_removes_parts_by_itself_and_nothing_else(self, files: Files, table: Any) -> None:
        """DynamoDB deletes items whose `expires_at` is over (`TimeToLiveSpecification` of the template)."""
        file = files.put(make(state=FileState.READY, source=SOURCE, ready_at=1, expires_after=5, uploads_until=9))
        files.add_part(file, FilePart("part_a", 1, SOURCE))
        items = {item["sk"]: item.get("expires_at") for item in table.scan()["Items"]}
        assert items == {"file": None, "part#part_a": 1 + PART_SECONDS}
        assert PART_SECONDS > UPLOAD_SECONDS, "a part is needed as long as its upload may be completed"

    def test_a_forgotten_file_is_not_there(self, files: Files) -> None:
        file = files.put(make())
        files.forget(file)
        with pytest.raises(NotFoundError):
            files.get(file.file_id, "owner", NOW)

    def test_a_file_that_expires_is_not_there_from_then_on(self, files: Files) -> None:
        file = files.put(make(10, expires_after=20, uploads_until=99))
        assert file.expires_at is None, "it counts from when the content is whole"
        ready = files.change(file, FileState.READY, source=SOURCE, ready_at=15)
        assert (ready.since, ready.expires_at) == (15, 35)
        assert files.get(file.file_id, "owner", 34) == ready
        assert list(files.of_owner("owner", 34)) == [ready]
        assert list(files.expired(34)) == []
        with pytest.raises(NotFoundError):
            files.get(file.file_id, "owner", 35)
        assert list(files.of_owner("owner", 35)) == []
        assert list(files.expired(35)) == [ready]

    def test_files_without_an_end_do_not_expire(self, files: Files) -> None:
        file = files.put(make(state=FileState.READY, source=SOURCE, ready_at=1))
        assert files.get(file.file_id, "owner", 10**11) == file
        assert list(files.expired(10**11)) == []

    def test_an_expired_file_can_be_put_off(self, files: Files) -> None:
        file = files.put(make(1, state=FileState.READY, source=SOURCE, ready_at=1, expires_after=5))
        files.put_off(file, 50)
        assert list(files.expired(49)) == []
        assert list(files.expired(50)) == [file]
        files.forget(file)
        files.put_off(file, 60)
        assert list(files.expired(99)) == [], "it was removed meanwhile"


class TestIds:
    @pytest.mark.parametrize("kind", [FileKind.INPUT, FileKind.OUTPUT, FileKind.ERRORS])
    def test_the_files_of_a_batch_have_its_id_in_other_words(self, kind: FileKind) -> None:
        for _ in range(200):
            file = BatchFile(new_batch_id(), kind)
            assert parse_file_id(str(file)) == file

    def test_an_uploaded_file_is_of_no_batch(self) -> None:
        assert {parse_file_id(new_file_id()) for _ in range(200)} == {None}

    @pytest.mark.parametrize(
        "text", ["", "file-", "file-" + "a" * 25, "file-" + "a" * 27, "batch_" + "a" * 26, "file-" + "A" * 26]
    )
    def test_what_is_no_id(self, text: str) -> None:
        assert parse_file_id(text) is None
        assert parse_file_id(text + "\n") is None


class TestSources:
    @pytest.fixture
    def sources(self, bucket: Bucket) -> Sources:
        return Sources(bucket, Settings(bucket=BUCKET, table="t", event_bus="e", largest_input_megabytes=1))

    def put(self, bucket: Bucket, key: str, content: bytes) -> ObjectRef:
        bucket.write(key, content)
        return ref_of(BUCKET, key, bucket.head(key) or {})

    def list_of(self, bucket: Bucket, *contents: bytes) -> ObjectRef:
        objects = [self.put(bucket, upload_part("file-a", number), content) for number, content in enumerate(contents, 1)]
        bucket.write_json(upload("file-a", "objects.json"), objects)
        listed = ref_of(BUCKET, upload("file-a", "objects.json"), bucket.head(upload("file-a", "objects.json")) or {})
        return ObjectRef(BUCKET, listed.key, listed.version_id, sum(map(len, contents)), is_list=True)

    def test_a_list_of_objects_is_their_content_in_order(self, sources: Sources, bucket: Bucket) -> None:
        source = self.list_of(bucket, b'{"a": ', b"", b"1}\nsec", b"ond\n")
        assert b"".join(sources.open(source).blocks) == b'{"a": 1}\nsecond\n'
        bucket.write(upload_part("file-a", 1), b"replaced")
        assert b"".join(sources.blocks(source)) == b'{"a": 1}\nsecond\n', "the versions that were uploaded"

    def test_of_an_upload_the_first_bytes_say_what_it_is(self, sources: Sources, bucket: Bucket) -> None:
        assert b"".join(sources.open(self.list_of(bucket, compress(b"x\n")[:7], compress(b"x\n")[7:])).blocks) == b"x\n"
        assert b"".join(sources.open(self.list_of(bucket, b"x\n")).blocks) == b"x\n"

    def test_an_empty_one_is_not_read(self, sources: Sources) -> None:
        assert list(sources.open(ObjectRef(BUCKET, "uploads/file-a/retry.jsonl", "", 0)).blocks) == []

    def test_the_size_of_a_list_is_that_of_its_content(self, sources: Sources, bucket: Bucket) -> None:
        source = self.list_of(bucket, b"x" * 600_000, b"x" * 600_000)
        assert sources.open(source).refusal is not None


class TestSweep:
    def upload(self, world: World, *, until: int) -> File:
        file = world.files.put(make(world.clock(), uploads_until=until))
        world.s3.put_object(Bucket=BUCKET, Key=upload(file.file_id, "part_a"), Body=b"x")
        world.files.add_part(file, FilePart("part_a", 1, SOURCE))
        return file

    def test_an_overdue_upload_is_removed_with_what_it_holds(self, world: World) -> None:
        late = self.upload(world, until=world.clock() + 10)
        kept = self.upload(world, until=world.clock() + 1_000)
        assert world.sweep() == NOTHING
        world.clock.advance(11)
        assert world.sweep() == NOTHING | {"removed": 1}
        assert world.sweep() == NOTHING
        assert world.s3.keys("uploads/") == [upload(kept.file_id, "part_a")]
        assert list(world.files.overdue(10**11)) == [kept]
        with pytest.raises(NotFoundError):
            world.files.get(late.file_id, "owner", world.clock())

    def test_a_batch_whose_message_was_not_sent_is_sent(self, world: World) -> None:
        now = world.clock()
        source = ObjectRef(BUCKET, "uploads/file-a/000001", "v", 1)
        history = [StatusChange(BatchStatus.VALIDATING, now)]
        batch_id = new_batch_id()
        world.records.create_batch(
            Batch(batch_id, "owner", BatchStatus.VALIDATING, source, now, now + 9_000, history, is_sent=False)
        )
        world.clock.advance(SEND_PATIENCE - 1)
        assert world.sweep() == NOTHING, "who created it is at it"
        world.clock.advance(1)
        assert world.sweep() == NOTHING | {"sent": 1}
        assert [message["create"] for message in world.queue.messages] == [{"batch_id": batch_id}]
        assert world.sweep() == NOTHING, "once"

    def test_a_message_that_has_arrived_is_not_sent_again(self, world: World) -> None:
        """Who sent it died before he could note that; from then on the batch tells that it came."""
        now = world.clock()
        put = world.s3.put_object(Bucket=BUCKET, Key=upload_part("file-a", 1), Body=jsonl(request("a")))
        source = ObjectRef(BUCKET, upload_part("file-a", 1), put["VersionId"], 1)
        history = [StatusChange(BatchStatus.VALIDATING, now)]
        batch = Batch(new_batch_id(), "owner", BatchStatus.VALIDATING, source, now, now + 9_000, history, is_sent=False)
        world.creator.create(lambda: batch, "owner", "call", Attempt("key"))
        world.records.update_batch(batch.batch_id, is_sent=False)
        (message,) = world.queue.messages
        assert world.deliver(message)
        again = world.creator.create(lambda: batch, "owner", "call", Attempt("key"))
        assert (again.batch_id, world.queue.messages) == (batch.batch_id, [message])
        world.clock.advance(SEND_PATIENCE)
        assert world.sweep() == NOTHING
        world.run()
        ended = world.records.get_batch(batch.batch_id)
        assert (ended.status, ended.is_sent) == (BatchStatus.COMPLETED, False)
        assert world.sweep() == NOTHING, "nor after its end"
        assert [one for one in world.queue.messages if "create" in one] == [message]


def test_a_created_batch_that_is_given_up_fails_where_its_user_sees_it(world: World) -> None:
    """An input that is not there can never be read: the queue gives the message up, the batch has its error."""
    now = world.clock()
    history = [StatusChange(BatchStatus.VALIDATING, now)]
    source = ObjectRef(BUCKET, upload_part("file-a", 1), "v1", 5)
    batch = Batch(new_batch_id(), "owner", BatchStatus.VALIDATING, source, now, now + 90_000, history)
    world.records.create_batch(batch)
    assert not world.deliver({"v": 1, "create": {"batch_id": batch.batch_id}})
    world.run()
    assert world.outcome().batch.status == "failed"
    assert world.outcome().manifest["error"]["code"] == "internal_error"


def answer(told: Request, round_number: int) -> list[bytes]:
    """Line 1 is good, line 2 is refused, line 3 never comes back."""
    kinds = {"1": succeed, "2": fail(400), "3": drop}
    return kinds[told["custom_id"].rpartition(".")[2]](told, round_number)


@pytest.mark.parametrize(
    ("classes", "lines"),
    [
        (None, [2, 3]),
        ([CodeClass.REJECTED], [2]),
        ([CodeClass.TRANSIENT], [3]),
        ([CodeClass.INVALID_LINE], [4, 5]),
        ([CodeClass.INVALID_LINE, CodeClass.REJECTED], [2, 4, 5]),
        ([CodeClass.GIVEN_UP], []),
    ],
    ids=str,
)
def test_what_is_run_again_is_what_failed_for_a_reason_of_these(
    classes: list[CodeClass] | None, lines: list[int], world: World
) -> None:
    content = jsonl(request("a"), request("b"), request("c"), request("d", model="none"), b"nonsense")
    world.backend.answer = answer
    original = world.process(content).batch
    file_id, now = new_file_id(), world.clock()
    empty = ObjectRef(BUCKET, upload(file_id, "retry.jsonl"), "", 0)
    history = [StatusChange(BatchStatus.VALIDATING, now)]
    again = Batch(new_batch_id(), "owner", BatchStatus.VALIDATING, empty, now, now + 90_000, history, file_id=file_id)
    again = msgspec.structs.replace(again, retry_of=original.batch_id, retried_classes=classes)
    world.records.create_batch(again)
    built = world.retries.build(again)
    content_again = b"".join(world.sources.blocks(built.input)) if built.input.bytes else b""
    assert content_again.splitlines() == [content.splitlines()[line - 1] for line in lines]
    assert world.files.get(file_id, "owner", now).source == built.input
    assert world.records.get_batch(again.batch_id) == built
    assert world.retries.build(built) == built, "it has its input already"
    assert world.retries.build(original) is original, "it runs nothing again"
