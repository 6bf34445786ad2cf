"""What clients say of a file that they upload, and of the results that they want: followed to its end, over the fakes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest

from fakes.world import NOTHING, Outcome, World, jsonl, request
from slacktide.access import AccessKey
from slacktide.api import openai, own, together
from slacktide.api.batches import BatchService
from slacktide.api.calls import Call, Reply
from slacktide.api.errors import BadRequestError, NoSuchThingError
from slacktide.api.files import FileService
from slacktide.api.parts import PartService
from slacktide.api.routing import Api
from slacktide.api.uploads import UploadService
from slacktide.keys import upload
from slacktide.sweeping import MOST_REMOVED, USED_SECONDS

FILE = jsonl(request("a"), request("b"), b"nonsense")
CHAT = "/v1/chat/completions"
HOUR, MONTH = 3_600, 2_592_000
DIALECTS = {"openai": openai.create_batch, "together": together.create_batch}


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def in_seconds(seconds: object) -> dict[str, Any]:
    return {"anchor": "created_at", "seconds": seconds}


@dataclass
class Desk:
    """The API over a world, called as a client's call arrives."""

    world: World

    def __post_init__(self) -> None:
        world, nowhere = self.world, cast("Any", None)
        self.files = FileService(world.bucket, world.records, world.files, world.sources, nowhere, world.clock)
        self.uploads = UploadService(world.bucket, world.files, nowhere, world.clock)
        self.batches = BatchService(
            world.bucket, world.records, self.files, world.creator, world.canceller, world.tables, world.settings, world.clock
        )
        self.parts = PartService(world.bucket, world.records, self.batches, nowhere)
        self.api = Api(self.files, self.uploads, self.batches, self.parts, nowhere, nowhere)

    def ask(self, handler: Callable[..., Reply], body: object = None, *ids: str, owner: str = "me") -> Any:
        """The answer of a call with a JSON body, as its client reads it."""
        return self.send(handler, msgspec.json.encode(body or {}), "application/json", *ids, owner=owner)

    def send(self, handler: Callable[..., Reply], body: bytes, kind: str, *ids: str, owner: str = "me") -> Any:
        call = Call(AccessKey("k", "n", owner, "d", 0), "/", {"content-type": kind}, {}, body)
        return json.loads(msgspec.json.encode(handler(self.api, call, *ids).value))

    def post_file(self, content: bytes = FILE, **fields: str) -> Any:
        """`files.create` of OpenAI's client."""
        named = {f'name="{name}"': text.encode() for name, text in fields.items()} | {'name="file"; filename="a.jsonl"': content}
        parts = (b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (it.encode(), text) for it, text in named.items())
        body = b"".join(parts) + b"--b--\r\n"
        return self.send(openai.create_file, body, "multipart/form-data; boundary=b")

    def begin(self, content: bytes = FILE, pieces: int = 2, **more: object) -> tuple[str, list[str]]:
        """`uploads.create` and its parts; answers the ids of both."""
        new = {"bytes": len(content), "filename": "a.jsonl", "mime_type": "x", "purpose": "batch"}
        made = self.ask(openai.create_upload, new | more)["id"]
        size = -(-len(content) // pieces)
        texts = [content[start : start + size] for start in range(0, len(content), size)]
        file_id = openai.file_of(made)
        return made, [self.uploads.add_part("me", file_id, text).part_id for text in texts]

    def complete(self, upload_id: str, parts: list[str], **more: object) -> Any:
        return self.ask(openai.complete_upload, {"part_ids": parts} | more, upload_id)

    def upload(self, content: bytes = FILE, *, pieces: int = 2, md5: str | None = None, **more: object) -> str:
        """A file that came in parts; answers its id."""
        made, parts = self.begin(content, pieces, **more)
        return self.complete(made, parts, **({} if md5 is None else {"md5": md5}))["file"]["id"]

    def create(self, file_id: str, dialect: str = "openai", **more: object) -> Any:
        body = {"input_file_id": file_id, "endpoint": CHAT} | more
        answer = self.ask(DIALECTS[dialect], body)
        return answer.get("job", answer)

    def run(self, file_id: str, dialect: str = "openai", **more: object) -> Outcome:
        """A batch, followed to its end."""
        batch_id = self.create(file_id, dialect, **more)["id"]
        assert self.world.deliver({"v": 1, "create": {"batch_id": batch_id}})
        self.world.run()
        return Outcome.of(self.world, batch_id)


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


class TestChecksum:
    @pytest.mark.parametrize("pieces", [1, 2, 50])
    def test_a_file_with_its_md5_is_run(self, pieces: int, desk: Desk) -> None:
        outcome = desk.run(desk.upload(FILE, pieces=pieces, md5=md5_of(FILE).upper()))
        assert outcome.batch.status == "completed"
        assert [line["custom_id"] for line in outcome.output] == ["a", "b"]

    @pytest.mark.parametrize("pieces", [1, 2])
    def test_of_a_file_with_another_md5_nothing_is_run(self, pieces: int, desk: Desk) -> None:
        outcome = desk.run(desk.upload(FILE, pieces=pieces, md5=md5_of(FILE + b"\n")))
        assert outcome.batch.status == "failed"
        assert outcome.manifest["error"]["code"] == "checksum_mismatch"
        assert desk.world.backend.creations == 0, "something was spent"
        assert outcome.output == []
        assert outcome.codes == {1: "batch_failed", 2: "batch_failed", 3: "invalid_json_line"}, "every line is accounted for"
        told = desk.ask(openai.retrieve_batch, None, outcome.batch.batch_id)["errors"]["data"]
        assert told[0]["code"] == "checksum_mismatch"

    def test_parts_in_another_order_are_another_file(self, desk: Desk) -> None:
        """What the checksum is for: lines that each are good, and are not those that were sent."""
        content = jsonl(request("a"), request("b"))
        made, parts = desk.begin(content)
        outcome = desk.run(desk.complete(made, parts[::-1], md5=md5_of(content))["file"]["id"])
        assert outcome.manifest["error"]["code"] == "checksum_mismatch"

    def test_what_is_not_what_was_sent_is_not_run_again_either(self, desk: Desk) -> None:
        batch_id = desk.run(desk.upload(md5=md5_of(b""))).batch.batch_id
        with pytest.raises(BadRequestError) as refused:
            desk.ask(openai.retry_batch, None, batch_id)
        assert refused.value.code == "checksum_mismatch"

    def test_completed_again_it_is_the_same_file(self, desk: Desk) -> None:
        made, parts = desk.begin()
        first = desk.complete(made, parts, md5=md5_of(FILE))
        desk.world.clock.advance(60)
        assert desk.complete(made, parts, md5=md5_of(FILE)) == first
        assert desk.complete(made, parts, md5=md5_of(FILE).upper()) == first
        assert desk.complete(made, parts) == first

    @pytest.mark.parametrize("former", [{}, {"md5": md5_of(FILE)}], ids=["none", "another"])
    def test_completed_again_with_an_md5_of_its_own_it_is_refused(self, former: dict[str, str], desk: Desk) -> None:
        """It would be ignored: what was completed stays as it is."""
        made, parts = desk.begin()
        desk.complete(made, parts, **former)
        with pytest.raises(BadRequestError, match="without this md5"):
            desk.complete(made, parts, md5=md5_of(b"other"))

    def test_of_two_at_once_the_later_is_told(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both have seen a pending upload."""
        made, parts = desk.begin()
        pending = desk.uploads.look("me", openai.file_of(made))
        first = desk.complete(made, parts, md5=md5_of(FILE))
        monkeypatch.setattr(UploadService, "_not_given_up", lambda *_: pending)
        assert desk.uploads.complete_upload("me", pending.file_id, parts, md5_of(FILE)).file_id == first["file"]["id"]
        with pytest.raises(BadRequestError, match="without this md5"):
            desk.uploads.complete_upload("me", pending.file_id, parts, md5_of(b"other"))

    @pytest.mark.parametrize("md5", ["", "x", "0" * 31, "0" * 33, "g" * 32, "0" * 32 + "\n", 7, "MD5"], ids=repr)
    def test_what_is_no_md5_is_refused_at_once(self, md5: object, desk: Desk) -> None:
        made, parts = desk.begin()
        with pytest.raises(BadRequestError, match="md5"):
            desk.complete(made, parts, md5=md5)
        assert desk.complete(made, parts)["status"] == "completed", "nothing was done"


BAD_EXPIRY = [in_seconds(HOUR - 1), in_seconds(MONTH + 1), in_seconds("x"), in_seconds(None), {"seconds": HOUR}, {}]
BAD_EXPIRY += [{"anchor": "created_at"}, {"anchor": "last_active_at", "seconds": HOUR}, {"anchor": "", "seconds": HOUR}]


class TestExpiry:
    def post(self, desk: Desk, seconds: int = HOUR) -> Any:
        return desk.post_file(purpose="batch", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": str(seconds)})

    def test_a_file_says_when_it_expires(self, desk: Desk) -> None:
        file = self.post(desk, MONTH)
        assert file["expires_at"] == file["created_at"] + MONTH
        assert desk.ask(openai.retrieve_file, None, file["id"]) == file
        assert desk.post_file(purpose="batch")["expires_at"] is None

    def test_an_upload_becomes_a_file_when_it_is_whole(self, desk: Desk) -> None:
        """Its time does not run while parts are still on their way, which may take a day."""
        made, parts = desk.begin(expires_after=in_seconds(HOUR))
        desk.world.clock.advance(2 * HOUR)
        done = desk.complete(made, parts)
        assert done["file"]["created_at"] == done["created_at"] + 2 * HOUR == desk.world.clock()
        assert done["file"]["expires_at"] == desk.world.clock() + HOUR
        assert desk.complete(made, parts) == done

    @pytest.mark.parametrize("expiry", BAD_EXPIRY, ids=str)
    def test_what_is_no_expiry_is_refused(self, expiry: dict[str, Any], desk: Desk) -> None:
        fields = {f"expires_after[{name}]": str(value) for name, value in expiry.items()} or {"expires_after": "{}"}
        with pytest.raises(BadRequestError, match="expires_after"):
            desk.post_file(purpose="batch", **fields)
        with pytest.raises(BadRequestError, match="expires_after"):
            desk.begin(expires_after=expiry)
        with pytest.raises(BadRequestError, match="output_expires_after"):
            desk.create(desk.upload(), output_expires_after=expiry)
        assert desk.world.batches() == []

    def test_from_then_on_there_is_no_such_file(self, desk: Desk) -> None:
        ids = self.post(desk)["id"], desk.upload(expires_after=in_seconds(HOUR), md5=md5_of(FILE))
        kept = desk.upload()
        desk.world.clock.advance(HOUR - 1)
        assert {file["id"] for file in desk.ask(openai.list_files)["data"]} == {*ids, kept}
        desk.world.clock.advance(1)
        assert [file["id"] for file in desk.ask(openai.list_files)["data"]] == [kept]
        assert [file["id"] for file in desk.ask(together.list_files)["data"]] == [kept]
        for file_id in ids:
            for call in (openai.retrieve_file, openai.retrieve_content, openai.delete_file, together.preprocess_file):
                with pytest.raises(NoSuchThingError):
                    desk.ask(call, None, file_id)
            with pytest.raises(NoSuchThingError) as refused:
                desk.create(file_id)
            assert refused.value.code == "file_not_found"
        with pytest.raises(NoSuchThingError):
            desk.complete("upload_" + ids[1].removeprefix("file-"), [])

    def test_then_sweep_removes_it_with_all_that_it_holds(self, desk: Desk) -> None:
        gone, kept = desk.upload(expires_after=in_seconds(HOUR)), desk.upload()
        desk.world.clock.advance(HOUR - 1)
        assert desk.world.sweep() == NOTHING
        desk.world.clock.advance(1)
        assert desk.world.sweep() == NOTHING | {"removed": 1}
        assert desk.world.s3.keys(upload(gone)) == []
        assert len(desk.world.s3.keys(upload(kept))) == 3, "two parts and their list"
        assert (gone, "file") not in desk.world.table.items
        assert desk.world.sweep() == NOTHING

    def test_not_while_a_batch_runs_it(self, desk: Desk) -> None:
        """Nobody sees it any more; the batch does, and it goes with the first look after the batch's end."""
        file_id = desk.upload(expires_after=in_seconds(HOUR))
        batch_id = desk.create(file_id)["id"]
        desk.world.clock.advance(HOUR)
        assert desk.world.sweep() == NOTHING
        assert len(desk.world.s3.keys(upload(file_id))) == 3
        with pytest.raises(NoSuchThingError):
            desk.ask(openai.retrieve_file, None, file_id)
        assert desk.world.deliver({"v": 1, "create": {"batch_id": batch_id}})
        desk.world.run()
        assert [line["custom_id"] for line in Outcome.of(desk.world, batch_id).output] == ["a", "b"]
        assert desk.world.s3.keys(upload(file_id)), "it was looked at less than an hour ago"
        desk.world.clock.advance(USED_SECONDS)
        assert desk.world.sweep() == NOTHING | {"removed": 1}
        assert desk.world.s3.keys(upload(file_id)) == []

    def test_files_in_use_do_not_keep_others_from_being_removed(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("slacktide.sweeping.MOST_REMOVED", 2)
        for _ in range(2):
            desk.create(desk.upload(expires_after=in_seconds(HOUR)))
        free = [desk.upload(expires_after=in_seconds(HOUR)) for _ in range(3)]
        desk.world.clock.advance(HOUR)
        counts = [(desk.world.sweep() or {})["removed"] for _ in range(4)]
        assert sorted(counts) == [0, 0, 1, 2], "two files with each sweep, those in use too"
        assert [key for file_id in free for key in desk.world.s3.keys(upload(file_id))] == []
        assert MOST_REMOVED > 2


EXPIRING = {"output_expires_after": in_seconds(HOUR)}


class TestResults:
    def files(self, desk: Desk) -> list[Any]:
        return [file for file in desk.ask(openai.list_files)["data"] if file["purpose"] == "batch_output"]

    def test_both_files_say_when_they_expire(self, desk: Desk) -> None:
        batch = desk.run(desk.upload(), **EXPIRING).batch
        assert [file["expires_at"] for file in self.files(desk)] == [(batch.ended_at or 0) + HOUR] * 2
        other = desk.run(desk.upload()).batch
        assert [file["expires_at"] for file in self.files(desk) if file["filename"].startswith(other.batch_id)] == [None, None]

    def test_from_then_on_there_are_no_such_files(self, desk: Desk) -> None:
        batch_id = desk.run(desk.upload(), **EXPIRING).batch.batch_id
        ids = [file["id"] for file in self.files(desk)]
        assert len(desk.ask(own.list_parts, None, batch_id)["data"]) == 1
        desk.world.clock.advance(HOUR)
        assert self.files(desk) == []
        for file_id in ids:
            for call in (openai.retrieve_file, openai.retrieve_content, openai.delete_file):
                with pytest.raises(NoSuchThingError):
                    desk.ask(call, None, file_id)
        told = desk.ask(openai.retrieve_batch, None, batch_id)
        assert (told["status"], told["output_file_id"], told["error_file_id"]) == ("completed", None, None)
        assert desk.ask(openai.list_batches)["data"][0]["output_file_id"] is None
        assert desk.ask(own.list_parts, None, batch_id)["data"] == [], "they hold the same answers"

    def test_then_sweep_deletes_them_and_nothing_else(self, desk: Desk) -> None:
        kept = desk.run(desk.upload()).batch.results
        batch = desk.run(desk.upload(), **EXPIRING).batch
        results = batch.results
        desk.world.clock.advance_to((batch.ended_at or 0) + HOUR - 1)
        assert desk.world.sweep() == NOTHING
        desk.world.clock.advance(1)
        assert desk.world.sweep() == NOTHING | {"removed": 1}
        assert desk.world.s3.keys(results.prefix) == [results.manifest, results.receipt]
        assert len(desk.world.s3.keys(kept.prefix)) == 4
        assert desk.world.sweep() == NOTHING

    def test_of_a_dropped_file_too(self, world: World) -> None:
        results = world.process(FILE, output_expires_after="1h").batch.results
        world.clock.advance(HOUR)
        assert world.sweep() == NOTHING | {"removed": 1}
        assert world.s3.keys(results.prefix) == [results.manifest, results.receipt]

    def test_lines_that_are_run_again_expire_as_those_before(self, desk: Desk) -> None:
        batch_id = desk.run(desk.upload(), **EXPIRING).batch.batch_id
        again = desk.ask(openai.retry_batch, {"classes": ["invalid_line"]}, batch_id)["id"]
        assert desk.world.records.get_batch(again).options.output_expires_after == HOUR

    def test_another_expiry_is_another_batch(self, desk: Desk) -> None:
        """Without a word about retries the same call is the same batch."""
        file_id = desk.upload()
        wanted = [{}, EXPIRING, {"output_expires_after": in_seconds(MONTH)}]
        assert len({desk.create(file_id, **more)["id"] for more in wanted * 2}) == 3


class TestModel:
    def test_of_one_model_alone_all_lines_are_run(self, desk: Desk) -> None:
        outcome = desk.run(desk.upload(), "together", model_id="smollm2")
        assert [line["custom_id"] for line in outcome.output] == ["a", "b"]

    def test_lines_of_another_model_are_not_run(self, desk: Desk) -> None:
        content = jsonl(request("a"), request("b", model="Qwen/QwQ-32B"))
        outcome = desk.run(desk.upload(content), "together", model_id="HuggingFaceTB/SmolLM2-135M-Instruct")
        assert [line["custom_id"] for line in outcome.output] == ["a"]
        assert outcome.codes == {2: "model_mismatch"}

    @pytest.mark.parametrize("lines", [1, 9])
    def test_a_name_that_nobody_knows_runs_nothing(self, lines: int, desk: Desk) -> None:
        content = jsonl(*(request(f"r{number}") for number in range(lines)))
        outcome = desk.run(desk.upload(content), "together", model_id="of/nobody")
        assert outcome.batch.status == "failed"
        assert set(outcome.codes.values()) == {"model_mismatch"}
        assert desk.world.backend.creations == 0

    def test_a_name_that_is_none_is_refused(self, desk: Desk) -> None:
        with pytest.raises(BadRequestError, match="only-model"):
            desk.create(desk.upload(), "together", model_id="x" * 257)


def expire(world: World) -> tuple[str, str]:
    """A file and the results of a batch, all of which have expired; answers where they are."""
    desk = Desk(world)
    batch = desk.run(desk.upload(expires_after=in_seconds(HOUR)), **EXPIRING).batch
    world.clock.advance(HOUR)
    world.wire.calls.clear()
    return upload(batch.file_id or ""), batch.results.prefix


def test_a_sweep_that_is_killed_is_made_up_for() -> None:
    """Before or after whichever of its calls."""
    whole = World()
    expire(whole)
    assert whole.sweep() == NOTHING | {"removed": 2}
    places = [(number, when) for number in range(len(whole.wire.calls)) for when in ("before", "after")]
    assert len(places) > 2 * 8
    for place in places:
        world = World()
        file, results = expire(world)
        world.wire.kill = place
        assert world.sweep() is None, "it was not killed"
        world.wire.kill = None
        world.sweep()
        assert world.s3.keys(file) == [], world.wire.killed
        assert [key.rpartition("/")[2] for key in world.s3.keys(results)] == ["manifest.json", "receipt.json"]
        assert world.sweep() == NOTHING, world.wire.killed
