"""The fake in this process: files, batches, time, keys and the ledger, without a socket."""

import json
from collections.abc import Iterator

import httpx
import pytest
from conversation import CHAT, TEN, change, create, find_file_of, get, read, upload
from server_process import KEY, make_file

from fakes.clock import SettableClock
from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.ledger import BatchEntry, find_paid_twice
from slacktide_fake_together.transport import FakeTransport


@pytest.fixture(autouse=True)
def closed(no_sockets: None) -> None:
    """Nothing here opens a socket."""


# Files


def test_a_file_is_there_once_its_bytes_have_come(http: httpx.Client) -> None:
    content = make_file(TEN)
    granted = http.post("/files", data=find_file_of(content), follow_redirects=False)
    assert granted.status_code == 302
    file_id = granted.headers["x-together-file-id"]
    assert http.get("/files").json()["data"] == []
    bare = httpx.Client(transport=http._transport)
    assert bare.put(granted.headers["location"], content=content).status_code == 200
    ready = http.post(f"/files/{file_id}/preprocess").json()
    assert (ready["bytes"], ready["LineCount"], ready["Processed"]) == (len(content), 10, True)
    assert [file["id"] for file in http.get("/files").json()["data"]] == [file_id]
    assert http.get(f"/files/{file_id}/content").content == content


def test_storage_takes_the_granted_bytes_alone(http: httpx.Client) -> None:
    content = make_file(TEN)
    location = http.post("/files", data=find_file_of(content), follow_redirects=False).headers["location"]
    bare = httpx.Client(transport=http._transport)
    assert bare.put(location.replace("signature=", "signature=0"), content=content).status_code == 403
    assert bare.put(location, content=content[:-1]).status_code == 400
    assert bare.put(location, content=content, headers={"Authorization": f"Bearer {KEY}"}).status_code == 400
    assert bare.put(location, content=iter([content])).status_code == 411  # a chunked body has no length
    assert http.get("/files").json()["data"] == []


def test_a_known_checksum_is_a_conflict_that_names_the_file_until_it_is_deleted(http: httpx.Client) -> None:
    content = make_file(TEN)
    file_id = upload(http, content)
    answer = http.post("/files", data=find_file_of(content), follow_redirects=False)
    assert (answer.status_code, answer.json()["file_id"]) == (409, file_id)
    assert http.delete(f"/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    assert http.post("/files", data=find_file_of(content), follow_redirects=False).status_code == 302


def test_content_may_be_in_another_place(http: httpx.Client, fake: FakeTogether) -> None:
    file_id = upload(http, make_file(TEN))
    change(fake, content_redirect=True)
    moved = http.get(f"/files/{file_id}/content", follow_redirects=False)
    assert moved.status_code == 302
    assert http.get(moved.headers["location"]).status_code == 400  # with a key
    assert http.get(f"/files/{file_id}/content", follow_redirects=True).content == make_file(TEN)  # httpx leaves it behind


@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [("bytes=0-1", 206, 0, 2), ("bytes=5-", 206, 5, None), ("bytes=5-999999", 206, 5, None), ("bytes=999999-", 416, 0, 0)],
)
def test_ranges(http: httpx.Client, wanted: str, status: int, first: int, last: int | None) -> None:
    content = make_file(TEN)
    answer = http.get(f"/files/{upload(http, content)}/content", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (status, content[first:last])
    last_byte = first + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {f'{first}-{last_byte}' if status == 206 else '*'}/{len(content)}"


@pytest.mark.parametrize("body", [b"", b"--x\r\n\r\n--x--", b"--x\r\nContent-Disposition: form-data; a=1\r\n\r\nz\r\n--x--"])
def test_a_form_that_is_none_is_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/files/upload", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400


# Batches and time


def test_the_stages_of_a_batch(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    change(fake, validating_seconds=10, lines_per_second=1, aggregating_seconds=5)
    batch_id = create(http, make_file(TEN))
    seen = []
    for step in (0, 10, 4, 6, 5):
        clock.advance(step)
        job = get(http, batch_id)
        seen.append((job["status"], job["progress"]))
    assert seen == [
        ("VALIDATING", 0.0),
        ("IN_PROGRESS", 0.0),
        ("IN_PROGRESS", 40.0),
        ("IN_PROGRESS", 100.0),
        ("COMPLETED", 100.0),
    ]
    assert "error_file_id" not in job
    assert job["completed_at"] > job["created_at"]
    lines = read(http, job["output_file_id"])
    assert sorted(line["custom_id"] for line in lines) == TEN
    assert [line["custom_id"] for line in lines] != TEN  # any order but that of the input
    assert lines[0]["response"]["body"]["choices"][0]["message"]["content"] == "hello"


def test_a_new_batch_is_being_validated_however_fast_the_service_is(http: httpx.Client) -> None:
    answer = http.post("/batches", json={"endpoint": CHAT, "input_file_id": upload(http, make_file(TEN))})
    assert answer.json()["job"]["status"] == "VALIDATING"
    assert http.get("/batches").json()[0]["status"] == "COMPLETED"


def test_cancel_keeps_and_bills_what_is_done(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    change(fake, lines_per_second=1, cancelling_seconds=20)
    batch_id = create(http, make_file(TEN))
    clock.advance(3)
    assert http.post(f"/batches/{batch_id}/cancel").json()["status"] == "CANCELING"
    clock.advance(19)
    assert get(http, batch_id)["status"] == "CANCELING"
    clock.advance(1)
    job = get(http, batch_id)
    assert job["status"] == "CANCELLED"
    done = sorted(line["custom_id"] for line in read(http, job["output_file_id"]))
    assert len(done) == 3
    assert sorted(fake.ledger.batches[0].billed) == done
    assert http.post(f"/batches/{batch_id}/cancel").status_code == 409


def test_a_batch_expires_with_what_is_done(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    change(fake, lines_per_second=1)
    batch_id = create(http, make_file(f"line-{number}" for number in range(5_000)), completion_window="1h")
    clock.advance(4_000)  # looked at late: it has gone on until the deadline, and no longer
    job = get(http, batch_id)
    assert job["status"] == "EXPIRED"
    assert len(read(http, job["output_file_id"])) == 3_600


@pytest.mark.parametrize(
    "content",
    [
        b'{"custom_id": "a"}\n', b"not JSON\n", b"\n", make_file(["a", "a"]), make_file(["x" * 65]), make_file([""]),
        make_file(["a"]).replace(b'"a"', b"1"),
    ],
)  # fmt: skip
def test_one_bad_line_fails_the_whole_batch_with_a_text_alone(http: httpx.Client, content: bytes, fake: FakeTogether) -> None:
    job = get(http, create(http, make_file(["good"]) + content if content.strip() else content))
    assert (job["status"], bool(job["error"])) == ("FAILED", True)
    assert "output_file_id" not in job
    assert fake.ledger.batches[0].billed == []


@pytest.mark.parametrize(("limit", "status"), [({"max_requests": 9}, "FAILED"), ({"max_bytes": 99}, "FAILED"), ({}, "COMPLETED")])
def test_a_batch_that_is_too_large_fails(limit: dict, status: str, http: httpx.Client, fake: FakeTogether) -> None:
    change(fake, **limit)
    assert get(http, create(http, make_file(TEN)))["status"] == status


def test_an_unknown_model_fails_its_line(http: httpx.Client, fake: FakeTogether) -> None:
    change(fake, models=["m"])
    bad = make_file(["bad"]).replace(b'"m"', b'"other"')
    job = get(http, create(http, make_file(["good"]) + bad))
    assert job["status"] == "COMPLETED"
    (error,) = read(http, job["error_file_id"])
    assert (error["custom_id"], error["error"]["code"]) == ("bad", "model_not_available")
    assert fake.ledger.batches[0].billed == ["good"]


@pytest.mark.parametrize("body", [{"endpoint": CHAT}, {"endpoint": "/v1/images", "input_file_id": "file-1"}])
def test_a_create_that_makes_no_sense_is_refused(http: httpx.Client, body: dict, fake: FakeTogether) -> None:
    answer = http.post("/batches", json=body)
    assert (answer.status_code, type(answer.json()["error"])) == (400, dict)
    assert fake.ledger.batches == []


# Keys


def test_a_key_is_needed_and_can_be_rotated(http: httpx.Client, fake: FakeTogether) -> None:
    assert http.get("/batches", headers={"Authorization": ""}).status_code == 401
    assert http.get("/batches").status_code == 200
    fake.rotate_keys(["new"])
    assert http.get("/batches").status_code == 401
    assert http.get("/batches", headers={"Authorization": "Bearer new"}).status_code == 200


def test_several_keys_are_good_at_once(clock: SettableClock) -> None:
    fake = FakeTogether(Settings(keys=("one", "two")), clock=clock)
    http = httpx.Client(transport=FakeTransport(fake), base_url="https://fake/v1")
    assert [http.get("/files", headers={"Authorization": f"Bearer {key}"}).status_code for key in ("one", "two", "three")] == [
        200,
        200,
        401,
    ]


def test_the_ledger_has_no_secret(http: httpx.Client, fake: FakeTogether) -> None:
    content = make_file(TEN, text="canary-prompt")
    location = http.post("/files", data=find_file_of(content), follow_redirects=False).headers["location"]
    httpx.Client(transport=http._transport).put(location, content=content)
    create(http, content)
    http.get("/batches")
    text = json.dumps(fake.ledger.export())
    assert "line-3" in text
    assert [secret for secret in (KEY, location.partition("signature=")[2], "canary-prompt") if secret in text] == []


# The ledger


def test_two_creates_of_one_file_are_two_batches_and_every_line_is_paid_twice(http: httpx.Client, fake: FakeTogether) -> None:
    file_id = upload(http, make_file(TEN))
    for _ in range(2):
        http.post("/batches", json={"endpoint": CHAT, "input_file_id": file_id})
    http.get("/batches")
    first, second = fake.ledger.batches
    assert find_paid_twice(fake.ledger.batches) == {line: [first.id, second.id] for line in first.billed}
    assert fake.ledger.counts["create"] == 2


def test_what_still_runs_is_paid_for_in_the_end(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    change(fake, validating_seconds=5, lines_per_second=1)
    fake.script({"kind": "stuck", "at": 0.2, "match": "stuck"})
    names = ["early", "half", "cancelled", "stuck"]
    files = {name: upload(http, make_file([f"{name}-{number}" for number in range(10)])) for name in names}
    jobs = {}
    for name in ("half", "cancelled", "stuck", "early"):
        jobs[name] = http.post("/batches", json={"endpoint": CHAT, "input_file_id": files[name]}).json()["job"]["id"]
        clock.advance({"half": 0, "cancelled": 0, "stuck": 9, "early": 0}[name])
    change(fake, cancelling_seconds=99)
    http.post(f"/batches/{jobs['cancelled']}/cancel")
    assert [entry.billed for entry in fake.ledger.batches] == [[], [], [], []]
    fake.run_out()
    assert {entry.id: (entry.status, len(entry.billed)) for entry in fake.ledger.batches} == {
        jobs["half"]: ("COMPLETED", 10),
        jobs["cancelled"]: ("CANCELLED", 4),
        jobs["stuck"]: ("EXPIRED", 2),
        jobs["early"]: ("COMPLETED", 10),
    }
    assert http.post("https://f/_control/run-out").json() == fake.ledger.export()


def entry(name: str, billed: str, destroyed: str = "") -> BatchEntry:
    return BatchEntry(name, "file", 0, "COMPLETED", billed=billed.split(), destroyed=destroyed.split())


@pytest.mark.parametrize(
    ("batches", "twice"),
    [
        ([entry("1", "b.1.7"), entry("2", "b.2.8")], {}),
        ([entry("1", "b.1.7"), entry("2", "b.2.7")], {"b.7": ["1", "2"]}),
        ([entry("1", "b.1.7", "b.1.7"), entry("2", "b.2.7")], {}),
        ([entry("1", "b.1.7", "b.1.7"), entry("2", "b.2.7"), entry("3", "b.3.7")], {"b.7": ["1", "2", "3"]}),
    ],
)
def test_a_destroyed_result_may_be_paid_again_but_only_once(batches: list[BatchEntry], twice: dict[str, list[str]]) -> None:
    def line_of(custom_id: str) -> str:
        batch, _, line = custom_id.split(".")
        return f"{batch}.{line}"

    assert find_paid_twice(batches, identity=line_of) == twice


def conversations() -> Iterator[bytes]:
    for seed in (1, 1, 2):
        fake = FakeTogether(clock=SettableClock(), seed=seed)
        http = httpx.Client(transport=FakeTransport(fake), base_url="https://f/v1", headers={"Authorization": f"Bearer {KEY}"})
        job = get(http, create(http, make_file(TEN)))
        yield http.get(f"/files/{job['output_file_id']}/content").content + job["id"].encode()


def test_equal_seeds_make_equal_answers() -> None:
    one, same, other = conversations()
    assert one == same != other


# The OpenAI dialect


@pytest.fixture
def openai(http: httpx.Client) -> httpx.Client:
    return httpx.Client(transport=http._transport, base_url="https://fake/openai/v1", headers={"Authorization": f"Bearer {KEY}"})


def test_the_openai_dialect(openai: httpx.Client, fake: FakeTogether) -> None:
    change(fake, models=["m"])
    content = make_file(["good"]) + make_file(["bad"]).replace(b'"m"', b'"other"')
    file = openai.post("/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", content)}).json()
    created = openai.post("/batches", json={"endpoint": CHAT, "input_file_id": file["id"], "completion_window": "24h"})
    assert (created.status_code, created.json()["status"]) == (200, "validating")
    batch = openai.get(f"/batches/{created.json()['id']}").json()
    assert (batch["object"], batch["status"]) == ("batch", "completed")
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    (good,), (bad,) = read(openai, batch["output_file_id"]), read(openai, batch["error_file_id"])
    assert (good["custom_id"], good["response"]["status_code"], good["error"]) == ("good", 200, None)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("bad", 404)
    assert openai.post(f"/batches/{batch['id']}/cancel").status_code == 409
    assert openai.get("/files").json()["has_more"] is False


def test_the_openai_list_has_pages(openai: httpx.Client) -> None:
    ids = []
    for number in range(3):
        file = openai.post("/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", make_file([str(number)]))}).json()
        ids.insert(0, openai.post("/batches", json={"endpoint": CHAT, "input_file_id": file["id"]}).json()["id"])
    first = openai.get("/batches", params={"limit": 2}).json()
    rest = openai.get("/batches", params={"limit": 2, "after": first["last_id"]}).json()
    assert [[batch["id"] for batch in page["data"]] for page in (first, rest)] == [ids[:2], ids[2:]]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [openai.get("/batches", params=bad).status_code for bad in ({"limit": 0}, {"limit": "x"}, {"after": "none"})] == [
        400
    ] * 3


def test_an_unknown_file_is_refused_by_openai(openai: httpx.Client) -> None:
    assert openai.post("/batches", json={"endpoint": CHAT, "input_file_id": "file-none"}).status_code == 400


def test_an_unknown_path_is_not_found(http: httpx.Client) -> None:
    assert http.get("/nothing").status_code == 404
