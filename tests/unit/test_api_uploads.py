"""What clients say of a file that they upload, and of the results that they want: followed to its end, over the fakes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest

from fakes.world import Outcome, World, jsonl, request
from slacktide.access import AccessKey
from slacktide.api import openai, together
from slacktide.api.batches import BatchService
from slacktide.api.calls import Call, Reply
from slacktide.api.errors import BadRequestError
from slacktide.api.files import FileService
from slacktide.api.parts import PartService
from slacktide.api.routing import Api
from slacktide.api.uploads import UploadService

FILE = jsonl(request("a"), request("b"), b"nonsense")
CHAT = "/v1/chat/completions"
DIALECTS = {"openai": openai.create_batch, "together": together.create_batch}


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Desk:
    """The API over a world, called as a client's call arrives."""

    world: World

    def __post_init__(self) -> None:
        world, nowhere = self.world, cast("Any", None)
        self.files = FileService(world.bucket, world.records, world.files, world.sources, nowhere)
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
        monkeypatch.setattr(UploadService, "_pending", lambda *_: pending)
        assert desk.uploads.complete_upload("me", pending.file_id, parts, md5_of(FILE)).file_id == first["file"]["id"]
        with pytest.raises(BadRequestError, match="without this md5"):
            desk.uploads.complete_upload("me", pending.file_id, parts, md5_of(b"other"))

    @pytest.mark.parametrize("md5", ["", "x", "0" * 31, "0" * 33, "g" * 32, "0" * 32 + "\n", 7, "MD5"], ids=repr)
    def test_what_is_no_md5_is_refused_at_once(self, md5: object, desk: Desk) -> None:
        made, parts = desk.begin()
        with pytest.raises(BadRequestError, match="md5"):
            desk.complete(made, parts, md5=md5)
        assert desk.complete(made, parts)["status"] == "completed", "nothing was done"


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
