"""A dropped object becomes one batch: once, of the version that was dropped, refused in words where it cannot be run."""

import gzip
import json
from collections.abc import Iterator
from hashlib import shake_128
from typing import Any

import msgspec
import pytest

from fakes.wire import Killed
from fakes.world import SETTINGS, World, jsonl, request
from slacktide.batch import LineIndex
from slacktide.compression import zstd
from slacktide.errors import LeaseHeldError
from slacktide.ids import BATCH_ID
from slacktide.line_store import Validation
from slacktide.statuses import BatchStatus

GOOD = jsonl(request("a"), request("b"))


def accept(world: World, event: dict[str, Any], invocation: str = "i") -> None:
    with world.wire.invocation("validate"):
        world.deliveries.handle(world.record(event), invocation=invocation)


def kill_at(world: World, call: str, when: str, event: dict[str, Any]) -> None:
    """Deliver once; the function dies at the first call of that name."""
    rehearsal = World()
    accept(rehearsal, rehearsal.drop(GOOD))
    world.wire.kill = rehearsal.wire.calls.index(f"validate:{call}"), when
    with pytest.raises(Killed):
        accept(world, event, "dead")
    world.wire.kill = None


class TestOnce:
    def test_the_same_event_ten_times(self, world: World) -> None:
        event = world.drop(GOOD)
        for number in range(10):
            accept(world, event, f"i{number}")
        assert len(world.batches()) == 1
        assert len(world.states.executions) == 1

    def test_two_files_of_equal_content(self, world: World) -> None:
        accept(world, world.drop(GOOD, "a.jsonl"))
        accept(world, world.drop(GOOD, "b.jsonl"))
        world.run()
        assert {batch.input.key for batch in world.batches()} == {"input/a.jsonl", "input/b.jsonl"}
        assert all(batch.completed == 2 for batch in world.batches())

    def test_the_same_file_dropped_again_is_another_batch(self, world: World) -> None:
        for _ in range(2):
            accept(world, world.drop(GOOD))
            world.clock.advance(10)
        world.run()
        old, new = sorted(world.batches(), key=lambda batch: batch.created_at)
        latest = json.loads(world.s3.data("output/a.jsonl/latest.json"))
        assert old.completed == new.completed == 2
        assert latest["batch_id"] == new.batch_id

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_live_lease_keeps_others_off_and_a_dead_one_is_taken_over(self, world: World, when: str) -> None:
        event = world.drop(GOOD)
        kill_at(world, "FakeStates.start_execution", when, event)
        (batch,) = world.batches()
        with pytest.raises(LeaseHeldError):
            accept(world, event, "early")
        assert world.queue.visibilities == [world.settings.lease + 1], "it comes again when the lease is over"
        world.clock.advance(world.settings.lease)
        accept(world, event, "late")
        world.run()
        assert world.outcome().batch.batch_id == batch.batch_id
        assert BATCH_ID.fullmatch(batch.batch_id)

    def test_a_handled_failure_frees_the_claim(self, world: World) -> None:
        event = world.drop(GOOD)
        world.bus.refusals = 1
        with pytest.raises(Exception, match="not taken"):
            accept(world, event)
        assert world.queue.visibilities == [30]
        accept(world, event, "again")
        assert len(world.batches()) == 1


class TestVersion:
    def test_the_version_of_the_event_runs_although_it_was_overwritten(self, world: World) -> None:
        event = world.drop(jsonl(request("old", "first words")))
        world.drop(jsonl(request("new", "other words")))
        accept(world, event)
        world.run()
        (line,) = world.outcome().output
        assert line["custom_id"] == "old"
        assert "first words" in json.dumps(line)

    def test_an_event_without_version_is_found_by_its_etag(self, world: World) -> None:
        event = world.drop(jsonl(request("old")))
        world.drop(jsonl(request("new")))
        del event["detail"]["object"]["version-id"]
        accept(world, event)
        world.run()
        assert world.outcome().output[0]["custom_id"] == "old"

    @pytest.mark.parametrize("has_version", [True, False])
    def test_a_deleted_input_is_not_found(self, world: World, has_version: bool) -> None:
        event = world.drop(GOOD)
        world.s3.delete_object(Key="input/a.jsonl")
        if not has_version:
            del event["detail"]["object"]["version-id"]
        assert refusal(world, event) == "input_not_found"

    @pytest.mark.parametrize("path", ["a b+c%20ü.jsonl", "x" * 1_012 + ".jsonl", "deep/../a.jsonl", "💥/%2e%2e.jsonl"])
    def test_odd_names(self, world: World, path: str) -> None:
        outcome = world.process(GOOD, path)
        assert outcome.manifest["input"]["key"] == f"input/{path}"
        assert outcome.batch.completed == 2

    def test_a_quoted_key_is_tried_unquoted(self, world: World) -> None:
        event = world.drop(GOOD, "a b ü.jsonl")
        event["detail"]["object"]["key"] = "input/a+b+%C3%BC.jsonl"
        accept(world, event)
        assert world.batches()[0].input.key == "input/a b ü.jsonl"


def refusal(world: World, event: dict[str, Any]) -> str:
    """Take a file that cannot be run to its end; answers the code."""
    accept(world, event)
    world.run()
    outcome = world.outcome()
    assert outcome.batch.status == outcome.manifest["status"] == outcome.latest["status"] == "failed"
    assert world.backend.creations == 0
    assert [execution.status for execution in world.states.executions.values()] == ["FAILED"], "a failed run is red"
    assert world.bus.details()[-1]["data"]["error"] == outcome.manifest["error"]
    assert outcome.output == []
    return outcome.manifest["error"]["code"]


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "path", "code"),
        [
            (b"", "a.jsonl", "empty_file"),
            (b"\n \r\n", "a.jsonl", "empty_file"),
            (b"\xef\xbb\xbf", "a.jsonl", "empty_file"),
            (b"", "a.jsonl.gz", "empty_file"),
            (gzip.compress(b"\n", mtime=0), "a.jsonl.gz", "empty_file"),
            (zstd.compress(b""), "a.jsonl.zst", "empty_file"),
            (gzip.compress(GOOD, mtime=0), "a.jsonl", "unsupported_file"),
            (gzip.compress(GOOD, mtime=0), "a.jsonl.zst", "unsupported_file"),
            (GOOD, "a.jsonl.gz", "unsupported_file"),
            (gzip.compress(b"PAR1x", mtime=0), "a.jsonl.gz", "unsupported_file"),
            (b"(\xb5/\xfdx", "a.jsonl", "unsupported_file"),
            (b"PK\x03\x04x", "a.jsonl", "unsupported_file"),
            (b"PAR1x", "a.jsonl", "unsupported_file"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, world: World, content: bytes, path: str, code: str) -> None:
        assert refusal(world, world.drop(content, path)) == code

    def test_bad_options(self, world: World) -> None:
        assert refusal(world, world.drop(GOOD, on_invalid="perhaps")) == "invalid_option"

    def test_all_lines_bad(self, world: World) -> None:
        assert refusal(world, world.drop(b"x\ny\n")) == "invalid_lines"
        assert world.outcome().codes == {1: "invalid_json_line", 2: "invalid_json_line"}

    def test_reject(self, world: World) -> None:
        assert refusal(world, world.drop(GOOD + b"x\n", on_invalid="reject")) == "invalid_lines"
        assert world.outcome().codes == {1: "batch_failed", 2: "batch_failed", 3: "invalid_json_line"}

    def test_more_bad_lines_than_allowed(self, world: World) -> None:
        assert refusal(world, world.drop(GOOD + b"x\n", max_invalid_ratio="0.3")) == "invalid_lines"

    def test_as_many_bad_lines_as_allowed(self, world: World) -> None:
        assert world.process(GOOD + b"x\nx\n", max_invalid_ratio="0.5").batch.status == "completed"

    def test_a_backend_that_is_off_is_said_before_anything_is_spent(self, world: World) -> None:
        world.backend.models = frozenset()
        assert refusal(world, world.drop(GOOD)) == "invalid_lines"
        assert set(world.outcome().codes.values()) == {"no_backend_for_model"}


def bundle(count: int) -> bytes:
    """Lines that compress badly, the third of them bad."""
    lines = [request(f"r{n}", shake_128(b"%d" % n).hexdigest(300)) for n in range(1, count + 1)]
    return jsonl(*lines[:2], b"nonsense", *lines[3:])


class TestCompressed:
    @pytest.mark.parametrize("path", ["deep/a.jsonl.gz", "deep/a.jsonl.zst"])
    def test_it_runs_as_if_it_were_plain(self, world: World, path: str) -> None:
        pack = gzip.compress if path.endswith(".gz") else zstd.compress
        outcome = world.process(pack(GOOD) + pack(b"nonsense\n" + jsonl(request("c"))), path)
        assert [line["custom_id"] for line in outcome.output] == ["a", "b", "c"]
        assert outcome.codes == {3: "invalid_json_line"}
        assert outcome.manifest["output"]["key"] == f"output/{path}/{outcome.batch.batch_id}/output.jsonl"
        assert outcome.manifest["input"]["key"] == f"input/{path}"
        assert world.s3.keys("output/")[-1] == f"output/{path}/latest.json"

    @pytest.mark.parametrize("path", ["a.jsonl.gz", "a.jsonl.zst"])
    def test_the_lines_before_a_damage_are_accounted_for_and_none_runs(self, world: World, path: str) -> None:
        pack = gzip.compress if path.endswith(".gz") else zstd.compress
        packed = pack(bundle(1_000))
        assert refusal(world, world.drop(packed[: len(packed) // 2], path)) == "unsupported_file"
        outcome = world.outcome()
        total = outcome.batch.total
        assert f"after byte {len(packed) // 2}. Compress the file again" in outcome.manifest["error"]["message"]
        assert 300 < total < 700
        assert [line["custom_id"] for line in outcome.errors] == ["r1", "r2", None, *(f"r{n}" for n in range(4, total + 1))]
        assert outcome.codes == dict.fromkeys(range(1, total + 1), "batch_failed") | {3: "invalid_json_line"}
        assert (outcome.batch.invalid, outcome.batch.failed) == (1, total)

    def test_a_file_damaged_before_its_first_line_ends_has_no_lines(self, world: World) -> None:
        assert refusal(world, world.drop(gzip.compress(GOOD)[:20], "a.jsonl.gz")) == "unsupported_file"
        assert world.outcome().batch.total == 0

    def test_a_damage_decides_whatever_the_lines_are(self, world: World) -> None:
        packed = gzip.compress(b"x\ny\n")[:-1]
        assert refusal(world, world.drop(packed, "a.jsonl.gz", on_invalid="reject")) == "unsupported_file"
        assert world.outcome().codes == {1: "invalid_json_line", 2: "invalid_json_line"}


@pytest.mark.parametrize(("allowed", "codes"), [(True, {}), (False, {2: "invalid_request"})])
def test_the_stack_decides_whether_media_may_be_named_by_url(allowed: bool, codes: dict[int, str]) -> None:
    def look_at(url: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    data, url = "data:image/png;base64,iVBORw0KGgo=", "https://example.com/a.png"
    world = World(settings=msgspec.structs.replace(SETTINGS, allow_media_urls=allowed))
    outcome = world.process(jsonl(request("a", messages=look_at(data)), request("b", messages=look_at(url))))
    assert outcome.codes == codes


def million(name: str) -> bytes:
    """A good line of 1,000,000 bytes."""
    line = jsonl(request(name))
    return line.replace(b"hello", b"hello" + b"x" * (1_000_000 - len(line)))


class TestTooLarge:
    SMALL = msgspec.structs.replace(SETTINGS, largest_input_megabytes=1, largest_input_ratio=500)

    @pytest.mark.parametrize("path", ["a.jsonl", "a.jsonl.gz"])
    def test_an_object_above_the_limit_is_not_read(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(settings=self.SMALL)
        event = world.drop(million("a") + b"\n", path)

        def refuse(*_: Any) -> Iterator[bytes]:
            raise AssertionError("the input is read")
            yield b""

        with monkeypatch.context() as patch:
            patch.setattr("slacktide.bucket.Bucket.stream", refuse)
            accept(world, event)
        assert refusal(world, event) == "unsupported_file"
        assert "more than 1000000 bytes" in world.outcome().manifest["error"]["message"]
        assert world.outcome().batch.total == 0

    def test_an_object_at_the_limit_runs(self) -> None:
        assert World(settings=self.SMALL).process(million("a")).batch.completed == 1

    def test_a_compressed_file_counts_as_what_it_holds(self) -> None:
        packed = gzip.compress(million("a")) + gzip.compress(million("b"))
        world = World(settings=self.SMALL)
        assert refusal(world, world.drop(packed, "a.jsonl.gz")) == "unsupported_file"
        assert world.outcome().codes == {1: "batch_failed"}, "the line of the first member"
        world = World(settings=msgspec.structs.replace(self.SMALL, largest_input_megabytes=2))
        assert world.process(packed, "a.jsonl.gz").batch.completed == 2

    def test_a_bomb_ends_early(self) -> None:
        world = World(settings=msgspec.structs.replace(self.SMALL, largest_input_megabytes=1_000))
        bomb = gzip.compress(GOOD) + gzip.compress(bytes(30_000_000))
        assert refusal(world, world.drop(bomb, "a.jsonl.gz")) == "unsupported_file"
        assert "LargestInputRatio" in world.outcome().manifest["error"]["message"]
        assert world.outcome().codes[1] == world.outcome().codes[2] == "batch_failed"


class TestLines:
    def test_odd_files_are_read(self, world: World) -> None:
        content = b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") + b"\n" + json.dumps(request("c")).encode()
        outcome = world.process(content)
        assert [line["line"] for line in outcome.output] == [1, 2, 4]
        assert outcome.codes == {3: "invalid_json_line"}

    def test_a_later_duplicate_names_both_lines_whatever_the_first_was(self, world: World) -> None:
        content = jsonl(request("a"), request("a"), request("b", model="none"), request("b"), request("a"))
        outcome = world.process(content)
        assert outcome.codes == {
            2: "duplicate_custom_id",
            3: "model_not_found",
            4: "duplicate_custom_id",
            5: "duplicate_custom_id",
        }
        assert "line 5" in outcome.errors[-1]["error"]["message"]
        assert "line 1" in outcome.errors[-1]["error"]["message"]
        assert [told["custom_id"].rpartition(".")[2] for told in world.backend.seen] == ["1"], "no duplicate is run"

    def test_what_a_backend_sees(self, world: World) -> None:
        outcome = world.process(jsonl(request("secret name", "hi", temperature=0.5)))
        (told,) = world.backend.seen
        assert told == {
            "custom_id": f"{outcome.batch.batch_id}.1.1",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": request("x", "hi", temperature=0.5)["body"] | {"model": "upstream/HuggingFaceTB/SmolLM2-135M-Instruct"},
        }

    def test_a_validation_that_is_done_again_writes_the_same(self, world: World) -> None:
        accept(world, world.drop(GOOD + b"nonsense\n" + jsonl(request("a"))))
        (batch,) = world.batches()
        written = {key: world.s3.data(key) for key in world.s3.keys("batches/")}
        index = Validation(world.bucket, world.routes, batch).run()
        assert {key: world.s3.data(key) for key in world.s3.keys("batches/")} == written
        assert index == world.bucket.read_json(batch.keys.index, LineIndex)


class TestGivenUp:
    def test_the_last_receive_fails_the_batch_where_its_user_sees_it(self, world: World) -> None:
        event = world.drop(GOOD)
        world.bus.refusals = 5
        assert not world.deliver(event), "the queue gives the message up"
        world.bus.refusals = 0
        world.run()
        outcome = world.outcome()
        assert outcome.batch.status == "failed"
        assert outcome.manifest["error"]["code"] == "internal_error"

    def test_a_validator_that_always_dies_is_noticed_by_sweep(self, world: World) -> None:
        event = world.drop(GOOD)
        kill_at(world, "FakeS3.put_object", "after", event)
        world.run()
        assert world.outcome().batch.status == "failed"


class TestCancelledMeanwhile:
    def test_a_batch_cancelled_while_it_is_validated_accounts_for_every_line(self, world: World) -> None:
        event = world.drop(GOOD)
        kill_at(world, "FakeEvents.put_events", "after", event)
        assert world.canceller.cancel(world.batches()[0].batch_id)
        world.sweep()
        assert world.states.executions == {}, "its validator is still to come"
        world.clock.advance(world.settings.lease)
        accept(world, event, "again")
        world.run()
        assert world.outcome().batch.status is BatchStatus.CANCELLED
        assert world.outcome().codes == {1: "batch_cancelled", 2: "batch_cancelled"}

    def test_a_batch_cancelled_at_the_end_of_validation(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        finish = type(world.intake)._finish

        def cancel_then_finish(*arguments: Any) -> Any:
            batch = finish(*arguments)
            world.canceller.cancel(batch.batch_id)
            return batch

        monkeypatch.setattr("slacktide.intake.Intake._finish", cancel_then_finish)
        accept(world, world.drop(GOOD))
        world.run()
        assert world.outcome().codes == {1: "batch_cancelled", 2: "batch_cancelled"}
        assert world.queue.visibilities == [], "no delivery failed"
