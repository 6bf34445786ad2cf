"""The backend openai: the same as together but for its row of the table, which is what is tried here."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.hosted_bench import CHAT, KEY, Bench, numbers, scripted
from slacktide.backends.dialects import OPENAI, TOGETHER, Dialect, UploadWay, read_job, read_page
from slacktide.backends.protocol import Displaced, Ended, Found, Full, Rejected, Running, Submitted, Uploaded
from slacktide.backends.upstream import Answer
from slacktide.errors import BackendError
from slacktide.statuses import BatchStatus

# Every status of each dialect: `Batch.status` of openai 3.54 (types/batch.py); `BatchJob.status` of together 3.1.1
# (types/batch_job.py) and BatchJobStatus of 1.5.35 (types/batch.py), which has CANCELING too.
WIRE = {
    OPENAI.name: {"validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"},
    TOGETHER.name: {"VALIDATING", "IN_PROGRESS", "COMPLETED", "FAILED", "EXPIRED", "CANCELLED", "CANCELING"},
}
# Canonical statuses that a dialect has no word for.
UNSAID = {OPENAI.name: {BatchStatus.QUEUED}, TOGETHER.name: {BatchStatus.QUEUED, BatchStatus.FINALIZING}}

FIELDS = ["id", "status", "input_file_id", "created_at", "progress", "request_counts", "errors", "data", "job", "has_more"]
FIELDS += ["completed", "failed", "total", "code", "output_file_id"]
ODD = [10**400, -(10**400), 0, 100, "COMPLETED", "failed", "2026-09-21T14:13:20Z", "9999-12-31T23:59:59-23:59", "x"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.sampled_from(ODD)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=20,
)


@pytest.fixture
def bench() -> Bench:
    return Bench(OPENAI)


@pytest.mark.parametrize("dialect", [TOGETHER, OPENAI])
class TestWireTable:
    def test_it_is_total_both_ways(self, dialect: Dialect) -> None:
        assert set(dialect.statuses) == WIRE[dialect.name]
        assert set(dialect.statuses.values()) | UNSAID[dialect.name] == set(BatchStatus)
        assert not set(dialect.statuses.values()) & UNSAID[dialect.name]

    def test_the_same_word_is_the_same_status(self, dialect: Dialect) -> None:
        for word, status in dialect.statuses.items():
            assert word.lower().replace("canceling", "cancelling") == status

    def test_every_end_of_a_batch_is_an_end(self, dialect: Dialect) -> None:
        ends = {word for word, status in dialect.statuses.items() if status.is_final}
        assert {word.lower() for word in ends} == {"completed", "failed", "expired", "cancelled"}
        for word in dialect.statuses:
            transport, _ = scripted(httpx.Response(200, json={"id": "u", "status": word}))
            answer = Bench(dialect, transport).backend.poll(replace(Bench(dialect).work, upstream_id="u"))
            assert isinstance(answer, Ended if word in ends else Running)

    def test_each_way_of_upload_is_somebodys(self, dialect: Dialect) -> None:
        assert {it.upload for it in (TOGETHER, OPENAI)} == set(UploadWay)
        assert dialect.most_requests == 50_000


class TestReading:
    @pytest.mark.parametrize(
        "value", [None, 5, "x", [], [1], {"data": "x"}, {"data": [5]}, {"object": "list", "has_more": True, "data": []}]
    )
    def test_what_is_no_list_of_batches(self, value: Any) -> None:
        page = read_page(OPENAI, value)
        assert page is None or (value == [] and page.jobs == [])

    @pytest.mark.parametrize("value", [None, 5, "x", []])
    def test_what_is_no_batch(self, value: Any) -> None:
        assert read_job(TOGETHER, value) is None

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            (1_790_000_000, 1_790_000_000),
            ("2026-09-21T14:13:20Z", 1_790_000_000),
            ("2026-09-21T14:13:20.000000+00:00", 1_790_000_000),
            ("2026-09-21T14:13:20", 1_790_000_000),
            ("soon", None),
            (None, None),
            (True, None),
            (10**400, None),
            ("0001-01-01T00:00:00+23:59", -62_135_683_140),
        ],
    )
    def test_times(self, said: object, seconds: float | None) -> None:
        job = read_job(TOGETHER, {"created_at": said})
        assert job is not None
        assert job.created_at == seconds

    @given(JSON)
    def test_whatever_an_upstream_answers_is_read_or_is_none(self, value: Any) -> None:
        """A reader that crashed would leave a job unsettled for ever: the same answer comes again."""
        for dialect in (TOGETHER, OPENAI):
            answer = Answer(200, httpx.Headers(), json.dumps(value).encode())
            job, page = read_job(dialect, answer.json()), read_page(dialect, answer.json())
            assert job is None or (job.share is None or 0 <= job.share <= 1)
            assert page is None or all(it.id and it.input_file_id for it in page.jobs)

    @pytest.mark.parametrize("value", ["", "..", ".", "a/b", "a?b", "ü", "x" * 201, 5, None])
    def test_an_id_that_cannot_stand_in_a_path_is_none(self, value: object) -> None:
        job = read_job(OPENAI, {"id": value, "output_file_id": value})
        assert job is not None
        assert (job.id, job.output_file_id) == (None, None)


class TestWhole:
    def test_from_upload_to_results(self) -> None:
        bench = Bench(OPENAI, lines_per_second=2)
        content = bench.write_input(lines=20)
        uploaded = bench.send()
        assert isinstance(uploaded, Uploaded)
        file = bench.fake.service.account.files[uploaded.file_id]
        assert (file.content, file.purpose, file.filename) == (content, "batch", f"{bench.work.name}.jsonl")
        work = replace(bench.work, file_id=uploaded.file_id)
        submitted = bench.backend.submit(work)
        assert isinstance(submitted, Submitted)
        assert bench.backend.find(work) == [Found(submitted.upstream_id, bench.clock(), has_ended=False)]
        work = replace(work, upstream_id=submitted.upstream_id)
        bench.clock.advance(5)
        assert bench.backend.poll(work) == Running(0.5)
        bench.clock.advance(60)
        assert bench.backend.poll(work) == Ended()
        assert bench.backend.cancel(work)
        assert bench.fetch(work)
        assert numbers(bench.texts) == list(range(1, 21))

    def test_what_is_sent(self) -> None:
        transport, seen = scripted(httpx.Response(200, json={"id": "file-1"}), httpx.Response(200, json={"id": "batch_1"}))
        bench = Bench(OPENAI, transport)
        content = bench.write_input()
        work = replace(bench.work, file_id="file-1")
        assert bench.send(work) == Uploaded("file-1")
        assert bench.backend.submit(work) == Submitted("batch_1")
        upload, create = seen
        assert (upload.method, upload.url.path) == ("POST", "/openai/v1/files")
        assert upload.headers["Content-Length"] == str(len(upload.content))
        assert content in upload.content
        assert json.loads(create.content) == {"input_file_id": "file-1", "endpoint": CHAT, "completion_window": "24h"}
        assert all(request.headers["Authorization"] == f"Bearer {KEY}" for request in seen)


class TestUpload:
    @pytest.mark.parametrize(
        "fault", [{"kind": "status", "status": 503}, {"kind": "drop", "accepted": True}, {"kind": "timeout"}]
    )
    def test_a_fault_that_passes_costs_one_more_try(self, bench: Bench, fault: dict[str, Any]) -> None:
        content = bench.write_input()
        bench.fake.script(fault | {"call": "upload"})
        uploaded = bench.send()
        assert isinstance(uploaded, Uploaded)
        assert bench.fake.service.account.files[uploaded.file_id].content == content
        assert len(bench.slept) == 1

    def test_a_file_that_is_too_big_there(self, bench: Bench) -> None:
        bench.write_input()
        bench.fake.script({"kind": "status", "call": "upload", "status": 413})
        assert isinstance(bench.send(), Rejected)

    def test_a_slow_receiver_is_left(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("slacktide.backends.uploading.UPLOAD_SECONDS", -1)
        bench.write_input()
        assert isinstance(bench.send(), Full)


class TestList:
    def page(self, *ids: str, has_more: bool) -> httpx.Response:
        data = [{"id": it, "input_file_id": "file-1", "created_at": 5, "status": "in_progress"} for it in ids]
        return httpx.Response(200, json={"object": "list", "data": data, "has_more": has_more})

    def test_all_pages_are_read(self) -> None:
        transport, seen = scripted(self.page("b3", "b2", has_more=True), self.page("b1", has_more=False))
        bench = Bench(OPENAI, transport)
        found = bench.backend.find(replace(bench.work, file_id="file-1"))
        assert {it.upstream_id for it in found} == {"b1", "b2", "b3"}
        assert [dict(request.url.params) for request in seen] == [{"limit": "100"}, {"limit": "100", "after": "b2"}]

    @pytest.mark.parametrize("second", [httpx.Response(400, json={}), None])
    def test_a_list_that_is_not_whole_proves_nothing(self, second: httpx.Response | None) -> None:
        """The second page fails, or is the first one again, without end."""
        transport, _ = scripted(self.page("b3", "b2", has_more=True), second or self.page("b3", "b2", has_more=True))
        bench = Bench(OPENAI, transport)
        with pytest.raises(BackendError):
            bench.backend.find(replace(bench.work, file_id="file-1"))


class TestFull:
    def failed(self, code: str, **more: Any) -> httpx.Response:
        errors = {"object": "list", "data": [{"code": code, "message": "canary", "line": None, "param": None}]}
        return httpx.Response(200, json={"id": "u", "status": "failed", "errors": errors, **more})

    @pytest.mark.parametrize(
        ("code", "more", "kind"),
        [
            ("token_limit_exceeded", {}, Displaced),
            ("token_limit_exceeded", {"output_file_id": "file-1"}, Ended),
            ("invalid_json_line", {}, Ended),
        ],
    )
    def test_a_queue_without_room_is_told_by_a_failed_batch(self, code: str, more: dict[str, Any], kind: type) -> None:
        bench = Bench(OPENAI, scripted(self.failed(code, **more))[0])
        answer = bench.backend.poll(replace(bench.work, upstream_id="u"))
        assert isinstance(answer, kind)
        assert "canary" not in repr(answer)
