"""The HTTP side of a hosted backend: how long it waits, how often it tries, and what it lets out."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from fakes.hosted_bench import KEY, Bench, scripted
from slacktide.backends import upstream
from slacktide.backends.upstream import ASK, CALL, CREATE, CREATE_SECONDS, LONGEST_PAUSE, TRIES, Answer
from slacktide.errors import NoAnswerError
from slacktide.settings import Settings


def answer(retry_after: str) -> Answer:
    return Answer(429, httpx.Headers([(b"Retry-After", retry_after.encode("latin-1"))]), b"")


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            *(("0", 0), ("7", 7), (" 7 ", 7), ("3600", 3_600), ("86400", 3_600)),
            *((text, None) for text in ("", "soon", "-1", "1.5", "\xb2", "9" * 5_000, "1" * 10)),
        ],
    )
    def test_seconds(self, text: str, seconds: int | None) -> None:
        assert answer(text).wait_seconds == seconds

    def test_a_date(self) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=100)
        assert 95 <= (answer(format_datetime(soon, usegmt=True)).wait_seconds or 0) <= 100
        assert answer("Mon, 21 Sep 2020 10:00:00 GMT").wait_seconds == 0
        assert answer("Mon, 21 Sep 2099 10:00:00 GMT").wait_seconds == 3_600
        assert answer("Mon, 21 Sep 2020 10:00:00 -0000").wait_seconds == 0


class TestTries:
    def test_pauses_grow_and_are_bounded(self) -> None:
        bench = Bench(transport=scripted(*[httpx.Response(503)] * TRIES)[0])
        assert bench.backend.upstream.call("GET", "/x", "x").status == 503
        first, second = bench.slept
        assert 0.5 <= first <= 1 <= second <= 2 <= LONGEST_PAUSE

    def test_there_is_no_try_after_the_time_is_over(self) -> None:
        def slow(_: httpx.Request) -> httpx.Response:
            bench.pass_time(CALL.seconds - 0.1)
            return httpx.Response(503)

        transport, seen = scripted(slow)
        bench = Bench(transport=transport)
        assert bench.backend.upstream.call("GET", "/x", "x").status == 503
        assert (len(seen), bench.slept) == (1, [])

    @pytest.mark.parametrize("patience", [ASK, CREATE])
    def test_some_calls_are_made_once(self, patience: upstream.Patience) -> None:
        transport, seen = scripted(httpx.ReadTimeout("x"))
        with pytest.raises(NoAnswerError):
            Bench(transport=transport).backend.upstream.call("GET", "/x", "x", patience)
        assert len(seen) == 1

    def test_a_settle_window_outlives_a_create(self) -> None:
        assert Settings(bucket="b", table="t", event_bus="e").settle_window > CREATE_SECONDS


class TestAnswers:
    def test_one_without_end_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upstream, "LONGEST_ANSWER", 1_000)
        bench = Bench(transport=scripted(httpx.Response(200, content=b"x" * 1_001))[0])
        with pytest.raises(NoAnswerError):
            bench.backend.upstream.call("GET", "/x", "x", ASK)

    def test_one_that_drips_is_none(self) -> None:
        def drip() -> Any:
            for _ in range(1_000):
                bench.pass_time(10)
                yield b"x" * upstream.BLOCK

        bench = Bench(transport=scripted(httpx.Response(200, content=drip()))[0])
        with pytest.raises(NoAnswerError):
            bench.backend.upstream.call("GET", "/x", "x", ASK)
        assert bench.seconds < 2 * ASK.seconds

    @pytest.mark.parametrize(
        "location", ["https://" + "x" * 70_000, "https://[", "https://a b/", "file:///etc/passwd", "https://x:99999/"]
    )
    def test_an_address_that_is_none(self, location: str) -> None:
        transport, _ = scripted(httpx.Response(302, headers={"Location": location}), httpx.ConnectError("x"))
        with pytest.raises((NoAnswerError, upstream.NotSentError)), Bench(transport=transport).backend.upstream.download("/x", 0):
            pass

    def test_printing_shows_neither_body_nor_key(self) -> None:
        bench = Bench(transport=scripted(httpx.Response(200, headers={"X": "canary"}, content=b"canary"))[0])
        got = bench.backend.upstream.call("GET", "/x", "x")
        assert "canary" not in repr(got)
        assert KEY not in repr(bench.backend.upstream)

    def test_httpx_logs_no_addresses(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        Bench(transport=scripted(httpx.Response(200))[0]).backend.upstream.call("GET", "/x?signature=1", "x")
        assert "signature" not in caplog.text
