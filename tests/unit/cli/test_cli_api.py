"""The client of the HTTP API: what it sends to whom, what it tries again, and what its errors say."""

import hashlib
import logging
import traceback
from pathlib import Path

import httpx
import pytest
from fake_api import (
    BATCH,
    KEY,
    SIGNATURE,
    STORAGE,
    URL,
    FakeApi,
    Interrupted,
    batch,
    cut_off,
    fail,
    file,
    page,
    refuse_connection,
)

from slacktide_cli import errors
from slacktide_cli.answers import ApiBatch
from slacktide_cli.api import ERRORS, TRIES, Api
from slacktide_cli.results import ResultWriter, write_result

CONTENT = b"".join(b'{"line": %d}\n' % number for number in range(50))


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi({f"/batches/{BATCH}": batch()}, {"/files/file-out/content": CONTENT})


@pytest.fixture
def api(fake: FakeApi) -> Api:
    return connect(fake)


def connect(fake: FakeApi, url: str = URL, key: str = KEY) -> Api:
    return Api(url, key, fake.outside)


def nothing(_: int) -> None:
    """Nobody looks."""


def download(api: Api, target: Path) -> ResultWriter:
    with write_result(target) as writer:
        api.download_file("file-out", writer, nothing)
    return writer


def test_a_batch_is_read_and_fields_of_tomorrow_are_left_alone(api: Api, fake: FakeApi) -> None:
    found = api.batch(BATCH)
    assert (found.id, found.status, found.counts.failed) == (BATCH, "completed", 1)
    assert isinstance(found, ApiBatch)
    (request,) = fake.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["User-Agent"].startswith("slacktide-cli/")


@pytest.mark.parametrize("url", [URL, f"{URL}/", f" {URL}/ "])
def test_the_address_may_end_in_a_slash(fake: FakeApi, url: str) -> None:
    assert connect(fake, url).batch(BATCH).id == BATCH


@pytest.mark.parametrize(
    "url", ["ftp://host/", "host/prod", "https://", "https://user:CANARY@host/", "http://host:port/", "https://host/?a=b"]
)
def test_an_address_that_is_none_is_refused_and_not_quoted(fake: FakeApi, url: str) -> None:
    with pytest.raises(errors.UsageError, match="SLACKTIDE_API_URL") as refused:
        connect(fake, url)
    assert "CANARY" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "  ", "CANARY\nX-Other: 1", "CANARY key", "CANARYé", '"CANARY\x7f"'])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(fake: FakeApi, key: str) -> None:
    with pytest.raises(errors.UsageError, match="SLACKTIDE_API_KEY") as refused:
        connect(fake, key=key)
    assert "CANARY" not in "".join(traceback.format_exception(refused.value))


def test_an_id_never_becomes_another_path(api: Api, fake: FakeApi) -> None:
    assert api.find_file("../batches?x=1") is None
    assert fake.requests[0].url.raw_path.endswith(b"/openai/v1/files/..%2Fbatches%3Fx%3D1")


@pytest.mark.parametrize("trouble", [fail(500, "x"), fail(502, "x"), fail(503, "x"), fail(429, "x"), cut_off, refuse_connection])
def test_a_look_is_tried_again_with_growing_pauses(api: Api, fake: FakeApi, trouble: httpx.Response) -> None:
    fake.first = [trouble] * (TRIES - 1)
    assert api.batch(BATCH).id == BATCH
    assert len(fake.waits) == TRIES - 1
    assert fake.waits == sorted(fake.waits)
    assert all(0.4 < seconds < 10 for seconds in fake.waits)


def test_after_some_tries_the_last_error_is_told(api: Api, fake: FakeApi) -> None:
    fake.first = [fail(503, "Not now.")] * TRIES
    with pytest.raises(errors.UnavailableError, match="503: Not now"):
        api.batch(BATCH)
    assert len(fake.requests) == TRIES


def test_the_pause_that_the_api_asks_for_is_kept(api: Api, fake: FakeApi) -> None:
    fake.first = [fail(429, "Slowly.", Retry_After="7")]
    api.batch(BATCH)
    assert fake.waits == [7]


def test_a_pause_that_is_too_long_is_told_and_not_waited_for(api: Api, fake: FakeApi) -> None:
    fake.first = [fail(429, "Come again in 3600 s.", Retry_After="3600")]
    with pytest.raises(errors.RateLimitError, match="3600 s"):
        api.batch(BATCH)
    assert fake.waits == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 418])
def test_a_refusal_is_not_tried_again(api: Api, fake: FakeApi, status: int) -> None:
    fake.first = [fail(status, "No.")]
    with pytest.raises(errors.ApiCallError, match=f"answers {status}: No") as refused:
        api.batch(BATCH)
    kind, advice = ERRORS.get(status, (errors.ApiCallError, ""))
    assert type(refused.value) is kind
    assert str(refused.value).endswith(advice)
    assert BATCH in str(refused.value), "it says what was done"
    assert fake.waits == []


def test_a_retry_has_the_same_idempotency_key_each_time(api: Api, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/retry"] = batch(retry_of=BATCH)
    fake.first = [cut_off, fail(503, "x")]
    assert api.retry(BATCH, ["transient"], "the-key").retry_of == BATCH
    assert [request.headers["Idempotency-Key"] for request in fake.requests] == ["the-key"] * 3
    assert {request.content for request in fake.requests} == {b'{"classes":["transient"]}'}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>a proxy</html>"),
        httpx.Response(200, json={"id": 5}),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(302, headers={"Location": "/login"}),
    ],
)
def test_an_answer_of_somebody_else_is_told(api: Api, fake: FakeApi, answer: httpx.Response) -> None:
    fake.first = [lambda _: answer]
    with pytest.raises(errors.ApiCallError, match="does not answer as Slacktide's API does"):
        api.batch(BATCH)


def test_a_gateway_without_a_body_is_told(api: Api, fake: FakeApi) -> None:
    fake.first = [lambda _: httpx.Response(403, json={"message": "Missing Authentication Token"})]
    with pytest.raises(errors.ApiCallError, match="403: Forbidden"):
        api.batch(BATCH)


# Downloads


def test_a_download_follows_to_storage_without_the_key(api: Api, fake: FakeApi, tmp_path: Path) -> None:
    writer = download(api, tmp_path / "deep" / "output.jsonl")
    assert (tmp_path / "deep" / "output.jsonl").read_bytes() == CONTENT
    assert (writer.bytes, writer.lines, writer.sha256) == (len(CONTENT), 50, hashlib.sha256(CONTENT).hexdigest())
    first, second = fake.requests
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert (second.url.host, "Authorization" in second.headers) == (httpx.URL(STORAGE).host, False)


def test_the_key_is_not_shown_to_storage_on_the_host_of_the_api(api: Api, fake: FakeApi, tmp_path: Path) -> None:
    seen: list[httpx.Headers] = []

    def store(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, stream=httpx.ByteStream(CONTENT))

    fake.first = [lambda _: httpx.Response(302, headers={"Location": f"{URL}/openai/v1/x?{SIGNATURE}"}), store]
    download(api, tmp_path / "output.jsonl")
    assert "Authorization" not in seen[0]


def test_a_broken_download_goes_on_where_it_was(api: Api, fake: FakeApi, tmp_path: Path) -> None:
    fake.storage_first = [
        lambda _: httpx.Response(200, stream=Interrupted(CONTENT[:100])),
        lambda _: httpx.Response(
            206, stream=Interrupted(CONTENT[100:130]), headers={"Content-Range": f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}"}
        ),
    ]
    assert download(api, tmp_path / "output.jsonl").bytes == len(CONTENT)
    assert (tmp_path / "output.jsonl").read_bytes() == CONTENT
    assert [request.headers.get("Range") for request in fake.requests if "amazonaws.com/files" in str(request.url)] == [
        None,
        "bytes=100-",
        "bytes=130-",
    ]
    assert fake.calls().count("GET /files/file-out/content") == 3, "each try has an address of its own"


def test_a_storage_that_knows_no_ranges_is_read_anew(api: Api, fake: FakeApi, tmp_path: Path) -> None:
    moves: list[int] = []
    fake.storage_first = [
        lambda _: httpx.Response(200, stream=Interrupted(CONTENT[:100])),
        lambda _: httpx.Response(200, stream=httpx.ByteStream(CONTENT)),
    ]
    with write_result(tmp_path / "output.jsonl") as writer:
        api.download_file("file-out", writer, moves.append)
    assert (tmp_path / "output.jsonl").read_bytes() == CONTENT
    assert (writer.lines, writer.sha256) == (50, hashlib.sha256(CONTENT).hexdigest())
    assert sum(moves) == len(CONTENT)


def test_a_download_that_moves_is_never_given_up_and_one_that_stands_still_is(api: Api, fake: FakeApi, tmp_path: Path) -> None:
    def byte_by_byte(request: httpx.Request) -> httpx.Response:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        return httpx.Response(
            206, stream=Interrupted(CONTENT[start : start + 1]), headers={"Content-Range": f"bytes {start}-9/9"}
        )

    fake.storage_first = [byte_by_byte] * 20 + [cut_off] * TRIES
    with pytest.raises(errors.UnavailableError, match="storage broke the connection off"):
        download(api, tmp_path / "output.jsonl")
    assert fake.storage_first == [cut_off], "the tries are counted from the last byte on"
    assert list(tmp_path.iterdir()) == [], "what is not whole is not left lying about"


def test_what_was_there_before_stays_when_a_download_fails(api: Api, fake: FakeApi, tmp_path: Path) -> None:
    target = tmp_path / "output.jsonl"
    target.write_bytes(b"before")
    fake.storage_first = [lambda _: httpx.Response(403, text="<Error>AccessDenied</Error>")] * TRIES
    with pytest.raises(errors.UnavailableError, match="the storage answers 403"):
        download(api, target)
    assert target.read_bytes() == b"before"


@pytest.mark.parametrize("location", [{}, {"Location": "http://bucket.s3.amazonaws.com/x"}])
def test_a_redirect_that_leads_astray_is_not_followed(api: Api, fake: FakeApi, tmp_path: Path, location: dict[str, str]) -> None:
    fake.first = [lambda _: httpx.Response(302, headers=location)]
    with pytest.raises(errors.ApiCallError, match=r"not encrypted|does not say where"):
        download(api, tmp_path / "output.jsonl")
    assert len(fake.requests) == 1


# Secrets


def test_neither_key_nor_presigned_url_is_in_an_error_or_a_log(
    fake: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    api = connect(fake)
    echoes = [cut_off, refuse_connection, fail(500, f"Bearer {KEY} \x1b[31m"), fail(400, f"Bearer {KEY}"), fail(401, KEY)]
    told = ""
    for echo in echoes:
        fake.first = [echo] * TRIES
        with pytest.raises(errors.ApiCallError) as refused:
            api.batch(BATCH)
        told += "".join(traceback.format_exception(refused.value))
        assert "\x1b" not in str(refused.value)
    fake.first, fake.storage_first = [], [cut_off] * TRIES
    with pytest.raises(errors.UnavailableError) as refused:
        download(api, tmp_path / "output.jsonl")
    told += "".join(traceback.format_exception(refused.value)) + caplog.text + "".join(capsys.readouterr()) + repr(api)
    assert "CANARY" not in told
    assert SIGNATURE not in told


def test_lists_are_asked_for_by_page(api: Api, fake: FakeApi) -> None:
    fake.answers |= {"/batches": page([batch()]), "/files": page([file("file-x", "x.jsonl")])}
    api.batches(limit=7, after=BATCH)
    api.files(limit=3)
    assert [str(request.url.query, "ascii") for request in fake.requests] == [f"limit=7&after={BATCH}", "limit=3"]
