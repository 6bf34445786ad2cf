"""Results of a hosted batch: both files, whole, sorted by line, whatever happens; and what Collection makes of them."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import httpx
import pytest

from fakes.hosted_bench import BATCH, CHAT, KEY, Bench, numbers, scripted
from slacktide.backends import downloading, fetching
from slacktide.backends.absences import LEAST_LOOKS
from slacktide.backends.dialects import OPENAI
from slacktide.backends.protocol import Work
from slacktide.backends.upstream import BLOCK, TRIES
from slacktide.batch import Job, Summary
from slacktide.bitmap import Bitmap
from slacktide.collection import Collection
from slacktide.errors import BackendError


@pytest.fixture
def bench() -> Bench:
    return Bench()


def fetch(bench: Bench, work: Work) -> list[int]:
    """Fetch in one go; answers the line numbers of what came."""
    assert bench.fetch(work, lambda: False)
    return numbers(bench.texts)


def collect(bench: Bench, lines: int = 6) -> tuple[Summary, set[int]]:
    """What Collection makes of what was fetched: its counts, and the lines that need no further round."""
    fields: dict[str, Any] = {"backend": "together", "model": "m", "upstream_model": "m", "endpoint": CHAT}
    job = Job(BATCH, "r1-j1", 1, group="g1", first=1, last=lines, total=lines, created_at=0, **fields)
    collection = Collection(bench.bucket, job, Bitmap.full(lines))
    assert collection.run(iter(bench.fetched), after=0, is_late=lambda: False) is None
    summary, settled = collection.finish()
    return summary, set(settled)


class TestFiles:
    def test_lines_that_come_in_any_order_lie_in_order(self, bench: Bench) -> None:
        work = bench.start(lines=200)
        assert fetch(bench, work) == list(range(1, 201))

    def test_what_is_collected_at_once_is_bounded(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        work = bench.start(lines=50)
        monkeypatch.setattr(fetching, "BLOCK_LINES", 8)
        assert fetch(bench, work) == list(range(1, 51))
        assert len(bench.fetched) == 7
        monkeypatch.setattr(fetching, "BLOCK_BYTES", 1_000)
        assert fetch(bench, work) == list(range(1, 51))
        assert all(sum(map(len, it.lines())) <= it.size <= 1_000 for it in bench.fetched)

    @pytest.mark.parametrize(
        ("end", "came"),
        [
            ({"status": "FAILED", "files": False, "message": "boom"}, 0),
            ({"status": "FAILED", "at": 0.5}, 3),
            ({"status": "EXPIRED", "at": 0.5}, 3),
            ({"status": "CANCELLED", "at": 0.5}, 3),
            ({"status": "CANCELLED", "at": 0, "files": False}, 0),
        ],
    )
    def test_whatever_the_end_what_is_done_is_kept(self, bench: Bench, end: dict[str, Any], came: int) -> None:
        work = bench.start({"kind": "end", **end})
        bench.clock.advance(90_000)
        assert len(fetch(bench, work)) == came
        assert collect(bench)[0].missing == 6 - came

    @pytest.mark.parametrize(
        "end", [{"status": "COMPLETED"}, *({"status": status, "at": 0.5} for status in ("CANCELLED", "EXPIRED", "FAILED"))]
    )
    def test_one_that_has_done_something_may_name_its_files_later(self, bench: Bench, end: dict[str, Any]) -> None:
        """To believe at once that there are none would run the lines again, which are paid for."""
        work = bench.start({"kind": "end", **end})
        bench.clock.advance(90_000)
        unnamed = {"kind": "fields", "call": "get_batch", "set": {"output_file_id": None, "error_file_id": None}}
        bench.fake.script(unnamed | {"times": LEAST_LOOKS})
        for _ in range(LEAST_LOOKS):
            with pytest.raises(BackendError):
                bench.fetch(work, lambda: False)
            bench.clock.advance(fetching.UNCLEAR_AFTER // LEAST_LOOKS)
        assert len(fetch(bench, work)) == (6 if end["status"] == "COMPLETED" else 3)

    def test_files_that_are_not_named_for_long_are_none(self, bench: Bench) -> None:
        work = bench.start({"kind": "end", "status": "COMPLETED", "files": False})
        refuse_after(bench, work, 0, 100, 100, 99)
        bench.clock.advance(1)
        assert fetch(bench, work) == []
        assert collect(bench)[0].missing == 6

    def test_an_error_file_alone(self, bench: Bench) -> None:
        work = bench.start({"kind": "lines", "what": "error", "share": 1})
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        summary, settled = collect(bench)
        assert (summary.transient, summary.completed, settled) == (6, 0, set())

    def test_output_and_error_file_are_joined(self, bench: Bench) -> None:
        work = bench.start({"kind": "lines", "what": "error", "count": 2})
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        summary, settled = collect(bench)
        assert (summary.transient, summary.completed, len(settled)) == (2, 4, 4)

    def test_a_job_that_was_never_created_has_none(self, bench: Bench) -> None:
        assert fetch(bench, bench.work) == []
        assert not bench.fake.ledger.counts


class TestLines:
    @pytest.mark.parametrize(
        ("what", "counted"),
        [
            ("missing", {"completed": 4, "missing": 2}),
            ("duplicate", {"completed": 6, "repeated": 2}),
            ("foreign", {"foreign": 2}),
            ("malformed", {"foreign": 2, "completed": 4, "missing": 2}),
            ("body_error", {"completed": 4, "transient": 2}),
            ("null_body", {"completed": 4, "transient": 2}),
        ],
    )
    def test_strange_lines_reach_the_counters(self, bench: Bench, what: str, counted: dict[str, int]) -> None:
        work = bench.start({"kind": "lines", "what": what, "count": 2})
        fetch(bench, work)
        summary, _ = collect(bench)
        assert {name: getattr(summary, name) for name in counted} == counted

    @pytest.mark.parametrize(("status", "counted"), [(0, "transient"), (400, "rejected"), (429, "transient"), (503, "transient")])
    def test_the_status_of_a_line(self, bench: Bench, status: int, counted: str) -> None:
        work = bench.start({"kind": "lines", "what": "status", "status": status, "count": 2})
        fetch(bench, work)
        summary, _ = collect(bench)
        assert (getattr(summary, counted), summary.completed) == (2, 4)

    @pytest.mark.parametrize(
        "text",
        [
            b"no json",
            b'{"custom_id": 5}',
            b'{"custom_id": "somebody\'s secret"}',
            f'{{"custom_id": "{BATCH}.1.0"}}'.encode(),
            f'{{"custom_id": "{BATCH}.1.7"}}'.encode(),
            b"\xff\xfe",
            b"[" * 100_000,
        ],
    )
    def test_a_line_of_no_request_is_counted_and_its_content_gone(self, text: bytes) -> None:
        bench, work = served(text + b"\n" + line(2) + b"\n\n  \n" + line(1))
        assert sorted(fetch(bench, work)) == [0, 1, 2]
        assert collect(bench)[0].foreign == 1
        stored = b"".join(bench.s3.data(key) for key in bench.s3.keys(""))
        assert text not in stored

    def test_an_error_in_place_of_the_files_is_come_back_to(self) -> None:
        """With status 200, as JSON: no line of the job would be left, and all of them would be run again."""
        bench, work = served(b'{"error": {"message": "try again"}}')
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        served(line(1), bench=bench)
        assert fetch(bench, work) == [1]

    def test_nothing_in_place_of_the_files_is_come_back_to(self) -> None:
        """A file that is named has lines: "no content" behind a status of 200 is none."""
        bench, work = served(b"", b"", b"")
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        served(line(1), bench=bench)
        assert fetch(bench, work) == [1]

    def test_only_lines_of_no_request_for_long(self) -> None:
        bench, work = served(b"x\ny\n")
        refuse_until_it_lasts(bench, work, lambda: served(b"x\ny\n", bench=bench))
        assert fetch(bench, work) == [0, 0]
        assert collect(bench)[0].foreign == 2

    def test_the_lines_are_the_truth_whatever_the_counts_say(self) -> None:
        bench = Bench(OPENAI)
        work = bench.start({"kind": "lines", "what": "missing", "count": 2})
        counts = {"total": 6, "completed": 6, "failed": 0}
        bench.fake.script({"kind": "fields", "call": "get_batch", "set": {"request_counts": counts}, "times": None})
        assert len(fetch(bench, work)) == 4
        summary, settled = collect(bench)
        assert (summary.completed, summary.missing, len(settled)) == (4, 2, 4)

    def test_a_line_that_is_too_long_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetching, "LONGEST_LINE", 1_000)
        long = line(1, "x" * 200_000)
        bench, work = served(long + b"\n" + line(2) + b"\n" + long)
        assert fetch(bench, work) == [0, 0, 2]

    def test_repeated_lines_stay_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetching, "BLOCK_LINES", 2)
        bench, work = served(b"\n".join([line(1), line(2, "first"), line(3), line(2, "second"), line(2, "third")]))
        assert fetch(bench, work) == [1, 2, 2, 2, 3]
        said = [json.loads(text)["response"]["body"]["said"] for text in bench.texts]
        assert said[1:4] == ["first", "second", "third"], "in the order in which they came"

    def test_another_batch_of_ours_is_foreign(self) -> None:
        bench, work = served(line(1) + b"\n" + line(2).replace(b".1.2", b".9.2"))
        assert fetch(bench, work) == [1, 2]
        assert (collect(bench)[0].foreign, collect(bench)[0].completed) == (1, 1)


class TestDownload:
    def test_it_goes_on_where_it_was_cut(self, bench: Bench) -> None:
        work = bench.start(lines=100)
        bench.fake.script({"kind": "cut", "call": "content", "at": 0.5})
        assert fetch(bench, work) == list(range(1, 101))
        assert [call.status for call in bench.fake.ledger.calls if call.call == "content"] == [200, 206]

    @pytest.mark.parametrize(
        "fault",
        [
            *({"kind": "status", "status": code} for code in (404, 429, 500, 503)),
            {"kind": "timeout"},
            {"kind": "drop"},
            {"kind": "refuse"},
            {"kind": "cut", "at": 0.5, "honest": False},
        ],
    )
    def test_a_fault_that_passes_is_waited_out(self, bench: Bench, fault: dict[str, Any]) -> None:
        work = bench.start()
        bench.fake.script(fault | {"call": "content"})
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        assert len(bench.slept) == 1

    @pytest.mark.parametrize("fault", [{"kind": "status", "status": 404}, {"kind": "status", "status": 500}, {"kind": "timeout"}])
    def test_a_fault_that_stays_is_come_back_to(self, bench: Bench, fault: dict[str, Any]) -> None:
        work = bench.start()
        bench.fake.script(fault | {"call": "content", "times": TRIES})
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]

    def test_a_file_that_is_gone_for_long_holds_nothing_up(self, bench: Bench) -> None:
        work = bench.start()
        bench.fake.script({"kind": "status", "call": "content", "status": 404, "times": None})
        refuse_after(bench, work, 0, 600, 600, 599)
        bench.clock.advance(1)
        assert fetch(bench, work) == []
        assert collect(bench)[0].missing == 6

    def test_a_few_looks_with_long_pauses_do_not_make_it_gone(self, bench: Bench) -> None:
        """Nobody looked in between: it may have been there."""
        work = bench.start()
        bench.fake.script({"kind": "status", "call": "content", "status": 404, "times": TRIES * (LEAST_LOOKS - 1)})
        for _ in range(LEAST_LOOKS - 1):
            with pytest.raises(BackendError):
                bench.fetch(work, lambda: False)
            bench.clock.advance(fetching.GONE_AFTER)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]

    @pytest.mark.parametrize("call", ["content", "get_batch", "*"])
    @pytest.mark.parametrize(
        "fault",
        [{"kind": "status", "status": 503}, {"kind": "status", "status": 401}, {"kind": "timeout"}, {"kind": "refuse"}],
        ids=["503", "401", "silence", "no connection"],
    )
    def test_an_outage_between_two_404_does_not_make_it_gone(self, bench: Bench, call: str, fault: dict[str, Any]) -> None:
        work = bench.start()
        gone = {"kind": "status", "call": "content", "status": 404}
        looks = LEAST_LOOKS - 1
        for script in ([gone | {"times": TRIES * looks}], [fault | {"call": call, "times": None}], [gone | {"times": TRIES}]):
            bench.fake.service.faults.clear()
            bench.fake.script(script)
            for _ in range(looks if script[0].get("times") == TRIES * looks else 1):
                with pytest.raises(BackendError):
                    bench.fetch(work, lambda: False)
                bench.clock.advance(fetching.GONE_AFTER // 2)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6], "none of its lines is run again"

    def test_a_file_that_was_there_in_between_is_not_gone(self, bench: Bench) -> None:
        work = bench.start()
        looks = TRIES * (LEAST_LOOKS - 1)
        gone = {"kind": "status", "call": "content", "status": 404, "times": looks}
        bench.fake.script([gone, {"kind": "slow", "call": "content", "bytes_per_second": 300}])
        for _ in range(LEAST_LOOKS - 1):
            with pytest.raises(BackendError):
                bench.fetch(work, lambda: False)
            bench.clock.advance(fetching.GONE_AFTER)
        assert not bench.fetch(work, lambda: True), "it is late"
        bench.fake.script(gone | {"times": TRIES})
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]

    def test_a_refused_key_is_read_again(self, bench: Bench) -> None:
        work = bench.start()
        bench.fake.script({"kind": "status", "call": "content", "status": 401})
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        assert (bench.secrets.reads, bench.slept) == (2, [])

    def test_storage_is_asked_without_the_key(self) -> None:
        work = (bench := Bench(content_redirect=True)).start()
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]

    def test_storage_that_is_not_encrypted_is_not_asked(self) -> None:
        answers = [ended(), unlisted(), *(httpx.Response(302, headers={"Location": "http://storage/x"}) for _ in range(TRIES))]
        transport, seen = scripted(*answers)
        bench = Bench(transport=transport)
        with pytest.raises(BackendError):
            bench.fetch(replace(bench.work, upstream_id="u"), lambda: False)
        assert {request.url.host for request in seen} == {"api.together.ai"}

    def test_a_redirect_carries_no_key(self) -> None:
        answers = [
            ended(),
            unlisted(),
            httpx.Response(302, headers={"Location": "https://storage/x"}),
            httpx.Response(200, content=line(1)),
        ]
        transport, seen = scripted(*answers)
        bench = Bench(transport=transport)
        bench.write_input()
        assert fetch(bench, replace(bench.work, upstream_id="u")) == [1]
        assert [request.headers.get("Authorization") for request in seen] == [*[f"Bearer {KEY}"] * 3, None]
        assert all(None not in request.extensions["timeout"].values() for request in seen)

    def test_a_server_without_ranges_starts_again(self) -> None:
        whole = b"\n".join(line(number, "x" * BLOCK) for number in (1, 2, 3))
        bench, work = served(broken(whole, BLOCK), whole)
        assert fetch(bench, work) == [1, 2, 3]

    def test_a_part_that_is_not_the_asked_one_is_not_appended(self) -> None:
        whole = b"\n".join(line(number, "x" * BLOCK) for number in (1, 2, 3))
        wrong = httpx.Response(206, headers={"Content-Range": "bytes 7-9/10"}, content=whole)
        bench, work = served(broken(whole, BLOCK), wrong)
        assert fetch(bench, work) == [1, 2, 3]

    def test_a_file_that_says_to_be_longer_than_its_content_is_taken_at_last(self, bench: Bench) -> None:
        work = bench.start()
        bench.fake.script({"kind": "fields", "call": "get_file", "set": {"bytes": 10**9}, "times": None})
        refuse_until_it_lasts(bench, work)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        assert bench.calls("content") == TRIES * LEAST_LOOKS

    def test_a_copy_that_was_cut_costs_nothing_when_the_whole_comes_later(self, bench: Bench) -> None:
        """A cache gives out the same piece again and again, for a minute: its lines would be paid for twice."""
        work = bench.start(lines=100)
        bench.fake.script({"kind": "cut", "call": "content", "at": 0.5, "honest": False, "times": TRIES * 2})
        for _ in range(2):
            with pytest.raises(BackendError):
                bench.fetch(work, lambda: False)
            bench.clock.advance(60)
        assert fetch(bench, work) == list(range(1, 101))

    def test_one_answer_that_is_cut_is_not_taken_because_others_failed(self, bench: Bench) -> None:
        work = bench.start(lines=100)
        bench.fake.script([{"kind": "status", "call": "content", "status": 500, "times": 2}])
        bench.fake.script({"kind": "cut", "call": "content", "at": 0.5, "honest": False})
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        assert fetch(bench, work) == list(range(1, 101))

    @pytest.mark.parametrize("is_last", [True, False])
    def test_a_page_of_a_gateway_is_no_part_of_the_file(self, bench: Bench, *, is_last: bool) -> None:
        work = bench.start(lines=100)
        page = {"kind": "status", "call": "content", "status": 200, "body": "html"}
        bench.fake.script([page | {"times": TRIES if is_last else 1}])
        if is_last:
            with pytest.raises(BackendError):
                bench.fetch(work, lambda: False)
        assert fetch(bench, work) == list(range(1, 101))

    def test_a_body_shorter_than_said_is_not_accepted(self) -> None:
        whole = line(1) + b"\n" + line(2) + b"\n"
        short = httpx.Response(200, headers={"Content-Length": str(len(whole))}, content=whole[: len(line(1)) + 1])
        rest = httpx.Response(206, headers={"Content-Range": f"bytes {len(line(1)) + 1}-"}, content=line(2) + b"\n")
        bench, work = served(short, rest)
        assert fetch(bench, work) == [1, 2]

    def test_a_last_line_without_end_is_not_accepted_where_no_size_is_said(self) -> None:
        cut = [stream(line(1) + b"\n" + line(2)[:-5]) for _ in range(TRIES)]
        bench, work = served(*cut)
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)

    def test_a_file_that_was_stored_so_costs_its_last_line_alone(self) -> None:
        cut = [line(1) + b"\n" + line(2)[:-5]] * TRIES
        bench, work = served(*cut)
        refuse_until_it_lasts(bench, work, lambda: served(*cut, bench=bench))
        assert sorted(fetch(bench, work)) == [0, 1]

    @pytest.mark.parametrize("end", [b"\n", b"", b"\r\n"])
    def test_the_last_line_may_have_a_line_feed_or_none(self, end: bytes) -> None:
        bench, work = served(line(2) + b"\n" + line(1) + end)
        assert fetch(bench, work) == [1, 2]


class TestSlowness:
    def test_a_late_download_goes_on_in_another_invocation(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(downloading, "PIECE", 3 * BLOCK)
        work = bench.start(lines=300, prompt="x" * 2_000)
        rounds = 0
        while not bench.fetch(work, late_after(4)):
            rounds += 1
        assert numbers(bench.texts) == list(range(1, 301))
        assert rounds >= 2
        statuses = [call.status for call in bench.fake.ledger.calls if call.call == "content"]
        assert statuses == [200, *[206] * rounds], "no byte is fetched twice"

    def test_a_slow_download_outlives_its_function(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(downloading, "PIECE", 2 * BLOCK)
        work = bench.start(lines=300, prompt="x" * 2_000)
        bench.fake.script({"kind": "slow", "call": "content", "bytes_per_second": 2_000})
        with pytest.raises(KeyboardInterrupt):
            bench.fetch(work, killed_after(250))
        kept = bench.s3.keys(f"{work.output_prefix}partial/")
        assert len(kept) == 3
        assert fetch(bench, work) == list(range(1, 301))
        assert [call.status for call in bench.fake.ledger.calls if call.call == "content"] == [200, 206]

    def test_a_quick_download_is_not_kept(self, bench: Bench) -> None:
        work = bench.start()
        fetch(bench, work)
        assert bench.s3.keys(f"{work.output_prefix}partial/") == []


def test_files_are_never_in_memory() -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(600, 0, -1):
            yield line(number, "x" * 100_000) + b"\n"

    bench, work = served(httpx.Response(200, content=blocks()))
    tracemalloc.start()
    with bench.backend.results(replace(work, last=600), lambda: False) as results:
        taken = sum(len(text) for found in results or () for text in found.lines())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken > 60_000_000
    assert peak < 3_000_000


class TestRepeats:
    def test_they_can_be_had_again(self, bench: Bench) -> None:
        """Nothing is kept of them but what is collected."""
        work = bench.start()
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        first = bench.texts
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]
        assert bench.texts == first
        assert bench.s3.keys("") == []

    def test_a_batch_that_is_not_shown_is_come_back_to(self, bench: Bench) -> None:
        work = bench.start()
        bench.fake.script({"kind": "fields", "call": "get_batch", "set": {"status": "IN_PROGRESS"}})
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        bench.fake.script({"kind": "status", "call": "get_batch", "status": 404})
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6], "the list knows it still"

    def test_a_list_that_is_behind_is_come_back_to(self, bench: Bench) -> None:
        """It has the batch as it was before it ended, without files."""
        work = bench.start()
        bench.fake.script({"kind": "status", "call": "get_batch", "status": 404})
        behind = {"set": {"status": "IN_PROGRESS"}, "remove": ["output_file_id"]}
        bench.fake.script({"kind": "fields", "call": "list_batches", **behind})
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]

    def test_a_batch_that_nobody_knows_for_a_moment_is_come_back_to(self, bench: Bench) -> None:
        """Call and list may be answered by one server that is behind: no proof that what was paid for is gone."""
        work = bench.start()
        known = dict(bench.fake.service.account.batches)
        bench.fake.service.account.batches.clear()
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        bench.fake.service.account.batches.update(known)
        assert fetch(bench, work) == [1, 2, 3, 4, 5, 6]

    def test_a_batch_that_nobody_knows_for_long_has_no_results(self, bench: Bench) -> None:
        work = bench.start()
        bench.fake.service.account.batches.clear()
        refuse_after(bench, work, 0, 600, 600, 599)
        bench.clock.advance(1)
        assert fetch(bench, work) == []


def line(number: int, said: str = "yes") -> bytes:
    return json.dumps({"custom_id": f"{BATCH}.1.{number}", "response": {"status_code": 200, "body": {"said": said}}}).encode()


def ended() -> httpx.Response:
    return httpx.Response(200, json={"id": "u", "status": "COMPLETED", "output_file_id": "file-out"})


def unlisted() -> httpx.Response:
    """No word of a file's size."""
    return httpx.Response(404)


def stream(content: bytes) -> httpx.Response:
    """An answer that does not say how long it is."""
    return httpx.Response(200, content=iter([content]))


def broken(content: bytes, at: int) -> httpx.Response:
    """An answer that breaks off."""

    def blocks() -> Any:
        yield content[:at]
        raise httpx.RemoteProtocolError("broken")

    return httpx.Response(200, headers={"Content-Length": str(len(content))}, content=blocks())


def served(*downloads: bytes | httpx.Response, bench: Bench | None = None) -> tuple[Bench, Work]:
    """A job of six lines that has ended, whose output file is downloaded with these answers, by this bench or a new one."""
    answers = [it if isinstance(it, httpx.Response) else httpx.Response(200, content=it) for it in downloads]
    transport, _ = scripted(ended(), unlisted(), *answers)
    if bench is None:
        bench = Bench(transport=transport)
        bench.write_input()
    bench.backend = replace(bench.backend, upstream=replace(bench.backend.upstream, transport=transport))
    return bench, replace(bench.work, upstream_id="u")


def refuse_after(bench: Bench, work: Work, *waits: int) -> None:
    """Nothing is had after each of these waits, in seconds."""
    for wait in waits:
        bench.clock.advance(wait)
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)


def refuse_until_it_lasts(bench: Bench, work: Work, serve: Callable[[], object] = lambda: None) -> None:
    """All looks but the last of what is taken as it is when it has lasted."""
    for _ in range(LEAST_LOOKS - 1):
        with pytest.raises(BackendError):
            bench.fetch(work, lambda: False)
        bench.clock.advance(fetching.UNCLEAR_AFTER // 2)
        serve()


def late_after(blocks: int) -> Callable[[], bool]:
    """Late from that block on."""
    seen = count(1)
    return lambda: next(seen) >= blocks


def killed_after(blocks: int) -> Callable[[], bool]:
    """The function dies at that block of 2,000 bytes."""
    seen = count(1)

    def is_late() -> bool:
        if next(seen) >= blocks:
            raise KeyboardInterrupt
        return False

    return is_late
