"""The backend together over the fake Together: it pays for nothing twice, and whatever the upstream does becomes a value."""

import json
import tracemalloc
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from fakes.hosted_bench import CHAT, KEY, Bench, scripted, spooled
from slacktide.backends.dialects import OPENAI, TOGETHER, Dialect
from slacktide.backends.protocol import (
    Displaced,
    Ended,
    Found,
    Full,
    Missing,
    Rejected,
    Running,
    Submitted,
    Unknown,
    Unseen,
    Uploaded,
)
from slacktide.backends.uploading import SHORT_WAIT
from slacktide.backends.upstream import TRIES
from slacktide.errors import BackendError
from slacktide.models import Model, Upstream, Upstreams, shipped_models

OTHER_KEY = "key-canary-2"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def status(call: str, code: int, **more: Any) -> dict[str, Any]:
    return {"kind": "status", "call": call, "status": code, **more}


class Drain(httpx.BaseTransport):
    """Takes bodies block by block, as a socket does, and answers an upload in either dialect."""

    taken = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.taken += sum(map(len, request.stream))
        if request.url.path == "/v1/files":
            return httpx.Response(302, headers={"Location": "https://storage/x", "X-Together-File-Id": "file-1"})
        return httpx.Response(200, json={"id": "file-1"})


class TestTable:
    def test_limits_are_the_documented_ones_and_the_settings(self, bench: Bench) -> None:
        assert (bench.backend.limits.job_requests, bench.backend.limits.job_bytes) == (10_000, 100_000_000)
        assert replace(bench.backend, job_requests=60_000).limits.job_requests == 50_000
        assert bench.backend.proves_by_listing

    def test_a_model_runs_here_by_the_table(self, bench: Bench) -> None:
        model = shipped_models().find("deepseek-ai/DeepSeek-R1")
        assert model is not None
        assert bench.backend.upstream_model(model) == "deepseek-ai/DeepSeek-R1"
        only_here = Model("m", "f", [CHAT], ["together"], Upstreams(together=Upstream("x", batchable=False)))
        assert bench.backend.upstream_model(only_here) is None
        smollm2 = shipped_models().find("smollm2")
        assert smollm2 is not None
        assert bench.backend.upstream_model(smollm2) is None

    def test_without_the_arn_of_a_key_it_is_off(self, bench: Bench) -> None:
        bench.backend.upstream.key.arn = ""
        model = shipped_models().find("deepseek-ai/DeepSeek-R1")
        assert model is not None
        assert bench.backend.upstream_model(model) is None
        bench.write_input()
        assert isinstance(bench.send(), Rejected)
        assert bench.secrets.reads == 0


class TestUpload:
    def test_the_objects_are_one_file_in_the_order_of_lines(self, bench: Bench) -> None:
        content = bench.write_input()
        uploaded = bench.send()
        assert isinstance(uploaded, Uploaded)
        file = bench.fake.service.account.files[uploaded.file_id]
        assert (file.content, file.is_processed, file.purpose) == (content, True, "batch-api")
        assert file.filename == f"{bench.work.name}.jsonl"

    def test_content_that_is_there_is_used(self, bench: Bench) -> None:
        bench.write_input()
        assert bench.send() == bench.send()
        assert (bench.calls("upload_url"), bench.calls("put")) == (2, 1)

    def test_content_that_is_there_and_was_not_announced_is(self, bench: Bench) -> None:
        bench.write_input()
        bench.fake.script([status("preprocess", 500, times=TRIES)])
        assert isinstance(bench.send(), Full)
        uploaded = bench.send()
        assert isinstance(uploaded, Uploaded)
        assert bench.calls("put") == 1
        assert bench.fake.service.account.files[uploaded.file_id].is_processed

    def test_an_upload_that_was_cut_short_is_made_again(self, bench: Bench) -> None:
        bench.write_input()
        bench.send()
        bench.fake.script({"kind": "fields", "call": "get_file", "set": {"bytes": 0}})
        assert isinstance(bench.send(), Full)
        assert isinstance(bench.send(), Uploaded)
        assert bench.calls("put") == 2

    @pytest.mark.parametrize("call", ["upload_url", "put", "preprocess"])
    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "status", "status": 503},
            {"kind": "status", "status": 429, "retry_after": 2},
            {"kind": "timeout"},
            {"kind": "drop"},
            {"kind": "drop", "accepted": True},
            {"kind": "refuse"},
        ],
    )
    def test_a_fault_that_passes_costs_one_more_try(self, bench: Bench, call: str, fault: dict[str, Any]) -> None:
        content = bench.write_input()
        bench.fake.script(fault | {"call": call})
        uploaded = bench.send()
        assert isinstance(uploaded, Uploaded)
        assert bench.fake.service.account.files[uploaded.file_id].content == content
        assert len(bench.slept) == 1
        assert fault.get("retry_after") in {None, bench.slept[0]}

    @pytest.mark.parametrize("call", ["upload_url", "put", "preprocess"])
    @pytest.mark.parametrize(
        "fault", [{"kind": "status", "status": 500}, {"kind": "timeout"}, {"kind": "drop"}, {"kind": "refuse"}]
    )
    def test_a_fault_that_stays_is_come_back_to(self, bench: Bench, call: str, fault: dict[str, Any]) -> None:
        bench.write_input()
        bench.fake.script(fault | {"call": call, "times": None})
        assert isinstance(bench.send(), Full)
        assert bench.calls(call) == TRIES == len(bench.slept) + 1

    def test_a_long_retry_after_is_left_to_the_machine(self, bench: Bench) -> None:
        bench.write_input()
        bench.fake.script(status("upload_url", 429, retry_after=30))
        answer = bench.send()
        assert isinstance(answer, Full)
        assert (answer.wait_seconds, bench.slept, bench.calls("upload_url")) == (30, [], 1)

    @pytest.mark.parametrize("code", [400, 402, 403, 413])
    def test_what_will_never_work_is_rejected_in_our_words(self, bench: Bench, code: int) -> None:
        bench.write_input()
        bench.fake.script(status("upload_url", code, message="canary"))
        answer = bench.send()
        assert isinstance(answer, Rejected)
        assert str(code) in answer.reason
        assert "canary" not in answer.reason
        assert bench.calls("upload_url") == 1

    @pytest.mark.parametrize("code", [200, 404])
    def test_a_page_in_html_and_a_file_that_is_not_seen_yet_may_pass(self, bench: Bench, code: int) -> None:
        bench.write_input()
        bench.fake.script(status("upload_url" if code == 200 else "preprocess", code, body="html"))
        assert isinstance(bench.send(), Full)

    def test_a_rotated_key_is_read_again(self, bench: Bench) -> None:
        bench.upload()
        bench.fake.rotate_keys([OTHER_KEY])
        bench.secrets.text = json.dumps({"api_key": OTHER_KEY})
        assert isinstance(bench.send(), Uploaded)
        assert bench.secrets.reads == 2

    def test_a_key_that_stays_refused_is_said_and_not_shown(self, bench: Bench) -> None:
        bench.write_input()
        bench.fake.rotate_keys([OTHER_KEY])
        answer = bench.send()
        assert answer == Rejected("Together refused the upload (HTTP 401): the API key is not valid.")
        assert (bench.secrets.reads, bench.calls("upload_url")) == (2, 2)

    @pytest.mark.parametrize("secret", ["", "two words", '{"key": "x"}', "{", "line\nline", "ké", '{"api_key": 5}'])
    def test_a_secret_that_is_no_key_is_said(self, bench: Bench, secret: str) -> None:
        bench.write_input()
        bench.secrets.text = secret
        answer = bench.send()
        assert isinstance(answer, Rejected)
        assert "api_key" in answer.reason
        assert not secret or secret not in answer.reason
        assert bench.calls("upload_url") == 0

    def test_a_secret_that_cannot_be_read(self, bench: Bench) -> None:
        bench.write_input()
        bench.secrets.failures = ["AccessDeniedException"]
        answer = bench.send()
        assert isinstance(answer, Rejected)
        assert "AccessDeniedException" in answer.reason
        bench.secrets.failures = ["ThrottlingException"] * TRIES
        assert isinstance(bench.send(), Full)

    def test_input_above_the_limit_is_not_sent(self, bench: Bench) -> None:
        content = bench.write_input()
        small = replace(bench.backend, dialect=replace(TOGETHER, most_bytes=len(content) - 1))
        with spooled(bench.input) as whole, spooled([]) as empty:
            assert isinstance(small.upload(bench.work, whole), Rejected)
            assert isinstance(bench.backend.upload(bench.work, empty), Rejected)
        assert not bench.fake.ledger.counts

    @pytest.mark.parametrize("dialect", [TOGETHER, OPENAI])
    def test_a_file_is_never_in_memory(self, dialect: Dialect) -> None:
        transport = Drain()
        bench = Bench(dialect, transport)
        line = b"x" * 99_999 + b"\n"
        tracemalloc.start()
        with spooled(line for _ in range(600)) as content:
            assert bench.backend.upload(bench.work, content) == Uploaded("file-1")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert transport.taken > 60_000_000
        assert peak < 5_000_000

    def test_the_key_and_the_file_go_nowhere_unencrypted(self) -> None:
        headers = {"Location": "http://storage/x", "X-Together-File-Id": "file-1"}
        transport, seen = scripted(httpx.Response(302, headers=headers))
        bench = Bench(transport=transport)
        bench.write_input()
        assert isinstance(bench.send(), Full)
        assert len(seen) == 1

    def test_storage_sees_no_key(self) -> None:
        headers = {"Location": "https://storage/x?signature=1", "X-Together-File-Id": "file-1"}
        answers = [httpx.Response(302, headers=headers), httpx.Response(200), httpx.Response(200, json={})]
        transport, seen = scripted(*answers)
        bench = Bench(transport=transport)
        content = bench.write_input()
        assert bench.send() == Uploaded("file-1")
        assert [request.headers.get("Authorization") for request in seen] == [f"Bearer {KEY}", None, f"Bearer {KEY}"]
        assert seen[1].headers["Content-Length"] == str(len(content))
        assert all(request.headers["User-Agent"].startswith("slacktide/") for request in seen)
        assert all(None not in request.extensions["timeout"].values() for request in seen)


class TestSubmit:
    def test_one_post_makes_one_batch(self, bench: Bench) -> None:
        work = bench.upload()
        answer = bench.backend.submit(work)
        assert isinstance(answer, Submitted)
        (entry,) = bench.fake.ledger.batches
        assert (entry.id, entry.input_file_id) == (answer.upstream_id, work.file_id)
        assert bench.backend.find(work) == [Found(answer.upstream_id, bench.clock(), has_ended=True)]

    @pytest.mark.parametrize("accepted", [True, False])
    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "timeout"},
            {"kind": "drop"},
            *({"kind": "status", "status": code} for code in (408, 409, 500, 502, 503, 504)),
            {"kind": "status", "status": 200, "body": "html"},
            {"kind": "status", "status": 200, "body": "empty"},
            {"kind": "status", "status": 302, "body": "html"},
        ],
    )
    def test_an_unclear_answer_is_an_unknown_outcome_and_the_list_tells(
        self, bench: Bench, fault: dict[str, Any], *, accepted: bool
    ) -> None:
        work = bench.upload()
        bench.fake.script(fault | {"call": "create", "accepted": accepted})
        assert isinstance(bench.backend.submit(work), Unknown)
        assert bench.calls("create") == 1, "a create is never sent twice"
        assert len(bench.backend.find(work)) == accepted

    def test_an_answer_without_id_is_an_unknown_outcome(self, bench: Bench) -> None:
        work = bench.upload()
        bench.fake.script({"kind": "fields", "call": "create", "set": {"id": "../../secrets"}})
        assert isinstance(bench.backend.submit(work), Unknown)

    def test_a_connection_that_was_not_made_is_no_submission(self, bench: Bench) -> None:
        work = bench.upload()
        bench.fake.script({"kind": "refuse", "call": "create"})
        assert isinstance(bench.backend.submit(work), Full)
        assert bench.backend.find(work) == []

    @pytest.mark.parametrize(
        "error", [httpx.ConnectTimeout("x"), httpx.ConnectError("x"), httpx.PoolTimeout("x"), httpx.ProxyError("x")]
    )
    def test_what_happens_before_anything_is_sent(self, error: Exception) -> None:
        bench = Bench(transport=scripted(error)[0])
        assert isinstance(bench.backend.submit(replace(bench.work, file_id="f")), Full)

    @pytest.mark.parametrize(
        "error",
        [httpx.WriteTimeout("x"), httpx.WriteError("x"), httpx.ReadError("x"), httpx.DecodingError("x"), httpx.CloseError("x")],
    )
    def test_what_happens_after_something_is_sent(self, error: Exception) -> None:
        transport, seen = scripted(error)
        bench = Bench(transport=transport)
        assert isinstance(bench.backend.submit(replace(bench.work, file_id="f")), Unknown)
        assert len(seen) == 1

    @pytest.mark.parametrize(("retry_after", "wait"), [(30, 30), (None, None)])
    def test_a_full_queue_is_waited_for(self, bench: Bench, retry_after: int | None, wait: int | None) -> None:
        work = bench.upload()
        bench.fake.script(status("create", 429, retry_after=retry_after))
        answer = bench.backend.submit(work)
        assert isinstance(answer, Full)
        assert (answer.wait_seconds, bench.calls("create"), bench.slept) == (wait, 1, [])

    def test_a_file_that_is_not_seen_yet_is_waited_for_shortly(self, bench: Bench) -> None:
        work = bench.upload()
        bench.fake.script(status("create", 404))
        answer = bench.backend.submit(work)
        assert isinstance(answer, Full)
        assert answer.wait_seconds is not None
        assert answer.wait_seconds < 10

    def test_a_file_that_is_not_there_either_is_told_apart(self, bench: Bench) -> None:
        work = bench.upload()
        bench.fake.script([status("create", 404), status("get_file", 404)])
        answer = bench.backend.submit(work)
        assert isinstance(answer, Unseen)
        assert (answer.wait_seconds, bench.calls("create")) == (SHORT_WAIT, 1)

    @pytest.mark.parametrize(
        "look", [status("get_file", 503), status("get_file", 200, body="html"), {"kind": "drop", "call": "get_file"}]
    )
    def test_a_look_that_does_not_say_so_is_none(self, bench: Bench, look: dict[str, Any]) -> None:
        work = bench.upload()
        bench.fake.script([status("create", 404), look])
        assert isinstance(bench.backend.submit(work), Full)

    @pytest.mark.parametrize("code", [400, 402, 403, 413, 422])
    def test_a_refusal_is_rejected_in_our_words(self, bench: Bench, code: int) -> None:
        work = bench.upload()
        bench.fake.script(status("create", code, message="canary"))
        answer = bench.backend.submit(work)
        assert isinstance(answer, Rejected)
        assert str(code) in answer.reason
        assert "canary" not in answer.reason

    def test_a_rotated_key_is_read_again_and_makes_one_batch(self, bench: Bench) -> None:
        work = bench.upload()
        bench.fake.rotate_keys([OTHER_KEY])
        bench.secrets.text = OTHER_KEY
        assert isinstance(bench.backend.submit(work), Submitted)
        assert (bench.calls("create"), len(bench.fake.ledger.batches)) == (2, 1)

    def test_a_key_that_stays_refused_is_said(self, bench: Bench) -> None:
        work = bench.upload()
        bench.fake.rotate_keys([OTHER_KEY])
        assert isinstance(bench.backend.submit(work), Rejected)
        assert (bench.calls("create"), len(bench.fake.ledger.batches)) == (2, 0)

    def test_without_a_file_nothing_is_created(self, bench: Bench) -> None:
        with pytest.raises(BackendError):
            bench.backend.submit(bench.work)
        assert bench.calls("create") == 0


class TestFind:
    def test_the_oldest_of_two_comes_first_and_no_other_is_taken(self, bench: Bench) -> None:
        work = bench.upload()
        first = bench.backend.submit(work)
        bench.clock.advance(60)
        second = bench.backend.submit(work)
        assert isinstance(first, Submitted)
        assert isinstance(second, Submitted)
        assert [found.upstream_id for found in bench.backend.find(work)] == [first.upstream_id, second.upstream_id]

    def test_that_there_is_none_is_said_by_the_account_that_has_the_file(self, bench: Bench) -> None:
        work = bench.upload()
        assert bench.backend.find(work) == []
        bench.fake.script(status("get_file", 503))
        with pytest.raises(BackendError):
            bench.backend.find(work)
        with pytest.raises(BackendError, match="account"):
            bench.backend.find(replace(work, file_id="file-other"))

    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "status", "status": 500, "times": None},
            {"kind": "status", "status": 200, "body": "html"},
            {"kind": "timeout", "times": None},
            {"kind": "fields", "remove": ["input_file_id"]},
            {"kind": "fields", "remove": ["id"]},
            {"kind": "status", "status": 403},
        ],
    )
    def test_a_list_that_is_not_whole_proves_nothing(self, bench: Bench, fault: dict[str, Any]) -> None:
        work = bench.start()
        bench.fake.script(fault | {"call": "list_batches"})
        with pytest.raises(BackendError):
            bench.backend.find(work)


class TestPoll:
    def test_stages_and_progress(self) -> None:
        bench = Bench(validating_seconds=10, lines_per_second=1, aggregating_seconds=5)
        work = bench.start()
        assert bench.backend.poll(work) == Running(0)
        bench.clock.advance(13)
        assert bench.backend.poll(work) == Running(0.5)
        bench.clock.advance(4)
        assert isinstance(bench.backend.poll(work), Running)
        bench.clock.advance(60)
        assert bench.backend.poll(work) == Ended()

    @pytest.mark.parametrize(
        "fault",
        [
            *({"kind": "status", "status": code} for code in (401, 403, 408, 429, 500, 502, 503)),
            {"kind": "status", "status": 200, "body": "html"},
            {"kind": "status", "status": 200, "body": "empty"},
            {"kind": "timeout"},
            {"kind": "drop"},
            {"kind": "refuse"},
            {"kind": "fields", "set": {"status": "PAUSED"}},
            {"kind": "fields", "set": {"status": 7}},
            {"kind": "fields", "set": {"status": "CANCELING"}},
            {"kind": "fields", "remove": ["status"]},
            {"kind": "fields", "set": {"id": "another"}},
        ],
    )
    def test_whatever_is_no_clear_end_is_running(self, bench: Bench, fault: dict[str, Any]) -> None:
        work = bench.start()
        bench.fake.script(fault | {"call": "get_batch", "times": 2 if fault.get("status") == 401 else 1})
        assert isinstance(bench.backend.poll(work), Running)
        assert bench.calls("get_batch") <= 2
        assert bench.slept == [], "the machine asks again"
        assert bench.backend.poll(work) == Ended()

    @pytest.mark.parametrize(("progress", "share"), [(250, 1), (-3, 0), ("half", None), (None, None)])
    def test_progress_that_cannot_be(self, bench: Bench, progress: object, share: float | None) -> None:
        work = bench.start()
        bench.fake.script({"kind": "fields", "call": "get_batch", "set": {"status": "IN_PROGRESS", "progress": progress}})
        assert bench.backend.poll(work) == Running(share)

    @pytest.mark.parametrize("end", ["FAILED", "EXPIRED", "CANCELLED"])
    def test_bad_ends_are_ends_in_our_words(self, bench: Bench, end: str) -> None:
        work = bench.start({"kind": "end", "status": end, "message": "canary"})
        bench.clock.advance(60)
        answer = bench.backend.poll(work)
        assert isinstance(answer, Ended)
        assert answer.reason is not None
        assert "canary" not in answer.reason

    @pytest.mark.parametrize(
        ("message", "at", "files", "kind"),
        [
            ("Enqueued token limit reached, canary", 0, False, Displaced),
            ("too many tokens enqueued for this model", 0, False, Displaced),
            ("Enqueued token limit reached", 0.5, False, Ended),  # half of it was done: its files may yet be named
            ("Enqueued token limit reached", 0.5, True, Ended),
            ("the tokens of a line are too many for the queue", 0, False, Ended),
        ],
    )
    def test_a_queue_without_room_is_told_by_a_failed_batch(
        self, bench: Bench, message: str, at: float, files: bool, kind: type
    ) -> None:
        work = bench.start({"kind": "end", "status": "FAILED", "at": at, "files": files, "message": message})
        bench.clock.advance(60)
        answer = bench.backend.poll(work)
        assert isinstance(answer, kind)
        assert "canary" not in repr(answer)

    def test_an_unknown_batch_is_missing(self, bench: Bench) -> None:
        work = bench.start()
        bench.fake.script(status("get_batch", 404))
        assert bench.backend.poll(work) == Missing()
        assert bench.backend.poll(work) == Ended()


class TestCancel:
    def test_it_is_confirmed_not_assumed(self) -> None:
        bench = Bench(lines_per_second=0.1, cancelling_seconds=30)
        work = bench.start()
        assert not bench.backend.cancel(work)
        assert isinstance(bench.backend.poll(work), Running)
        bench.clock.advance(31)
        assert bench.backend.cancel(work)
        assert isinstance(bench.backend.poll(work), Ended)

    def test_an_ended_batch_is_ended(self, bench: Bench) -> None:
        assert bench.backend.cancel(bench.start())

    @pytest.mark.parametrize("fault", [{"kind": "status", "status": 500}, {"kind": "timeout"}, {"kind": "refuse"}])
    def test_a_request_that_is_lost_stops_nothing(self, bench: Bench, fault: dict[str, Any]) -> None:
        work = bench.start()
        bench.fake.script(fault | {"call": "cancel"})
        assert not bench.backend.cancel(work)
        assert bench.backend.cancel(work)

    def test_one_404_is_no_proof(self) -> None:
        bench = Bench(lines_per_second=0.1)
        work = bench.start()
        bench.fake.script(status("cancel", 404))
        assert not bench.backend.cancel(work), "the list shows it alive"
        bench.fake.service.account.batches.clear()
        assert bench.backend.cancel(work), "neither the call nor the list knows it"
        bench.fake.service.account.files.clear()
        assert not bench.backend.cancel(work), "this account does not have its input either"

    def test_a_conflict_is_no_proof(self) -> None:
        bench = Bench(lines_per_second=0.1)
        work = bench.start()
        bench.fake.script(status("cancel", 409))
        assert not bench.backend.cancel(work)

    def test_without_an_id_all_of_the_file_are_asked(self) -> None:
        bench = Bench(lines_per_second=0.1, cancelling_seconds=30)
        work = bench.upload()
        assert bench.backend.cancel(bench.work), "nothing was uploaded, so nothing was created"
        assert bench.backend.cancel(work)
        bench.backend.submit(work)
        bench.backend.submit(work)
        assert not bench.backend.cancel(work)
        assert bench.calls("cancel") == 2
        bench.clock.advance(31)
        assert bench.backend.cancel(work)
        bench.fake.script(status("list_batches", 500, times=None))
        assert not bench.backend.cancel(work)


class TestSecrets:
    def test_nothing_of_the_upstream_or_of_us_gets_out(
        self, bench: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A prompt that the upstream echoes in every answer, the key and the presigned address: in no log, value or error."""
        caplog.set_level("DEBUG")
        said: list[object] = [bench.backend.upstream]
        work = bench.start(prompt="prompt-canary")
        for call in ("upload_url", "put", "create", "get_batch", "list_batches", "cancel", "content"):
            bench.fake.script({"kind": "status", "call": call, "status": 400, "message": "prompt-canary", "times": 1})
        other = replace(work, name="other")
        bench.input.append(b"{}\n")
        said += [bench.send(other), bench.send(other), bench.backend.submit(work), bench.backend.poll(work)]
        steps = (partial(bench.backend.find, work), partial(bench.backend.cancel, work), partial(bench.fetch, work))
        for step in steps:
            try:
                said.append(step())
            except BackendError as error:
                said += [error, error.__cause__]
        everything = caplog.text + capsys.readouterr().out + "".join(f"{it!r} {it}" for it in said)
        assert len([it for it in said if isinstance(it, (Full, Rejected, Running, BackendError))]) >= 4
        for canary in ("canary", "signature", "_storage"):
            assert canary not in everything
