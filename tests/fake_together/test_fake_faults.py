"""Fault scripts: each kind, alone, as a client of the fake meets it."""

import json
from collections import Counter
from typing import Any

import httpx
import msgspec
import pytest
from conversation import CHAT, TEN, change, create, get, read, upload
from server_process import drain, make_file

from fakes.clock import SettableClock
from slacktide_fake_together import FakeTogether
from slacktide_fake_together.ledger import find_paid_twice

CANARY = "canary-prompt"


@pytest.fixture(autouse=True)
def closed(no_sockets: None) -> None:
    """Nothing here opens a socket."""


def post_create(http: httpx.Client, file_id: str) -> httpx.Response:
    return http.post("/batches", json={"endpoint": CHAT, "input_file_id": file_id})


# Calls


def test_a_refusal_comes_instead_of_the_call(http: httpx.Client, fake: FakeTogether) -> None:
    file_id = upload(http, make_file(TEN))
    fake.script({"kind": "status", "call": "create", "status": 429, "retry_after": 7, "times": 2, "code": "rate_limit"})
    answers = [post_create(http, file_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert (answers[0].headers["retry-after"], answers[0].json()["error"]["code"]) == ("7", "rate_limit")
    assert len(fake.ledger.batches) == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"kind": "timeout"}, httpx.ReadTimeout),
        ({"kind": "drop"}, httpx.RemoteProtocolError),
        ({"kind": "status", "status": 502, "accepted": True}, None),
        ({"kind": "status", "status": 200, "body": "html", "accepted": True}, None),
    ],
)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_create_that_is_lost_was_accepted_or_not(
    script: dict[str, Any], error: type[Exception] | None, accepted: bool, http: httpx.Client, fake: FakeTogether
) -> None:
    file_id = upload(http, make_file(TEN))
    fake.script({**script, "call": "create", "accepted": accepted})
    if error:
        with pytest.raises(error):
            post_create(http, file_id)
    else:
        assert post_create(http, file_id).status_code == script["status"]
    assert len(fake.ledger.batches) == int(accepted)
    assert fake.ledger.calls[-1].status == (None if error else script["status"])
    assert [job["input_file_id"] for job in http.get("/batches").json()] == [file_id] * int(accepted)


def test_a_refused_connection_reaches_nothing(http: httpx.Client, fake: FakeTogether) -> None:
    file_id = upload(http, make_file(TEN))
    fake.script({"kind": "refuse", "call": "create"})
    with pytest.raises(httpx.ConnectError):
        post_create(http, file_id)
    assert fake.ledger.batches == []


@pytest.mark.parametrize("body", ["html", "text", "empty"])
def test_an_answer_that_is_not_json(body: str, http: httpx.Client, fake: FakeTogether) -> None:
    fake.script({"kind": "status", "call": "list_batches", "status": 200, "body": body})
    with pytest.raises(json.JSONDecodeError):
        http.get("/batches").json()


def test_a_file_or_batch_that_is_not_visible_yet(http: httpx.Client, fake: FakeTogether) -> None:
    batch_id = create(http, make_file(TEN))
    fake.script([{"kind": "status", "call": call, "status": 404} for call in ("get_batch", "create")])
    assert [http.get(f"/batches/{batch_id}").status_code for _ in range(2)] == [404, 200]
    assert post_create(http, fake.ledger.batches[0].input_file_id).status_code == 404


def test_members_are_changed_and_removed(http: httpx.Client, fake: FakeTogether) -> None:
    batch_id = create(http, make_file(TEN))
    for script in (
        {"call": "get_batch", "set": {"status": "PAUSED", "progress": 3}, "remove": ["created_at"]},
        {"call": "list_batches", "remove": ["id"]},
        {"call": "create", "remove": ["id"]},
        {"call": "list_files", "set": {"bytes": 1}},
    ):
        fake.script({"kind": "fields", **script})
    job = get(http, batch_id)
    assert (job["status"], job["progress"], "created_at" in job) == ("PAUSED", 3, False)
    assert get(http, batch_id)["status"] == "COMPLETED"
    assert [set(job) & {"id", "status"} for job in http.get("/batches").json()] == [{"status"}]
    assert "id" not in post_create(http, fake.ledger.batches[0].input_file_id).json()["job"]
    assert {file["bytes"] for file in http.get("/files").json()["data"]} == {1}


def test_an_answer_without_members_stays_as_it_is(http: httpx.Client, fake: FakeTogether) -> None:
    file_id = upload(http, make_file(TEN))
    fake.script({"kind": "fields", "call": "*", "set": {"status": "PAUSED"}})
    assert http.get(f"/files/{file_id}/content").content == make_file(TEN)


def test_an_answer_that_is_cut_short(http: httpx.Client, fake: FakeTogether) -> None:
    content = make_file(TEN)
    file_id = upload(http, content)
    fake.script([{"kind": "cut", "call": "content", "at": 0.5, "honest": honest} for honest in (True, False)])
    received = bytearray()
    with http.stream("GET", f"/files/{file_id}/content") as answer:
        assert answer.headers["content-length"] == str(len(content))
        with pytest.raises(httpx.RemoteProtocolError):
            drain(answer, received)
    assert received == content[: len(content) // 2]
    silent = http.get(f"/files/{file_id}/content")
    assert silent.content == received
    assert silent.headers["content-length"] == str(len(received))
    assert http.get(f"/files/{file_id}/content").content == content


def test_an_answer_that_is_slow_or_late(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    content = make_file(TEN)
    file_id, began = upload(http, content), clock.time
    fake.script({"kind": "slow", "call": "content", "bytes_per_second": 100})
    fake.script({"kind": "delay", "call": "content", "seconds_late": 9})
    assert http.get(f"/files/{file_id}/content").content == content
    assert clock.time - began == -(-len(content) // 100)
    began = clock.time
    http.get(f"/files/{file_id}/content")
    assert clock.time - began == 9


def test_an_error_that_quotes_the_prompt(http: httpx.Client, fake: FakeTogether) -> None:
    file_id = upload(http, make_file(TEN, text=CANARY))
    fake.script({"kind": "status", "call": "create", "status": 400, "message": "cannot run: {prompt}"})
    assert post_create(http, file_id).json()["error"]["message"] == f"cannot run: {CANARY}"


# When a fault is met


def test_a_fault_waits_for_its_turn_and_its_call(http: httpx.Client, fake: FakeTogether) -> None:
    first, second = create(http, make_file(TEN)), create(http, make_file(["z"]))
    fake.script({"kind": "status", "call": "get_batch", "skip": 1, "match": second})
    assert http.get("/batches").status_code == 200
    assert [http.get(f"/batches/{name}").status_code for name in (second, first, second, second)] == [200, 200, 503, 200]


def test_a_fault_lasts_its_time(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    fake.script({"kind": "status", "call": "*", "status": 503, "times": None, "seconds": 3_600})
    assert {http.get("/batches").status_code for _ in range(5)} == {503}
    clock.advance(3_599)
    assert http.get("/files").status_code == 503
    clock.advance(1)
    assert http.get("/files").status_code == 200


def test_chance_is_seeded(clock: SettableClock, http: httpx.Client) -> None:
    def run(seed: int) -> list[int]:
        own = FakeTogether(clock=clock, seed=seed)
        own.script({"kind": "status", "call": "list_batches", "status": 500, "probability": 0.3, "times": None})
        client = httpx.Client(transport=type(http._transport)(own), base_url="https://f/v1", headers=http.headers)
        return [client.get("/batches").status_code for _ in range(200)]

    one = run(1)
    assert one == run(1) != run(2)
    assert 30 < Counter(one)[500] < 90


@pytest.mark.parametrize(
    "script",
    [
        {"kind": "nothing"},
        {"kind": "status", "typo": 1},
        {"kind": "cut", "at": 2},
        {"kind": "slow"},
        {"kind": "drop", "times": 0},
    ],
)
def test_a_script_that_is_wrong_is_refused_whole(script: dict[str, Any], fake: FakeTogether, http: httpx.Client) -> None:
    with pytest.raises(msgspec.ValidationError):
        fake.script([{"kind": "drop"}, script])
    answer = http.post("https://fake/_control/faults", json=[{"kind": "drop"}, script])
    assert answer.status_code == 400
    assert http.get("https://fake/_control/faults").json() == []


# Batches


def test_a_batch_that_gets_stuck(http: httpx.Client, fake: FakeTogether, clock: SettableClock) -> None:
    fake.script({"kind": "stuck", "at": 0.3})
    batch_id = create(http, make_file(TEN))
    for _ in range(3):
        clock.advance(20_000)
        assert (get(http, batch_id)["status"], get(http, batch_id)["progress"]) == ("IN_PROGRESS", 30.0)
    assert http.post(f"/batches/{batch_id}/cancel").json()["status"] == "CANCELLED"
    assert len(read(http, get(http, batch_id)["output_file_id"])) == len(fake.ledger.batches[0].billed) == 3


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"status": "FAILED", "message": "boom {prompt}"}, (0, 0, 0)),
        ({"status": "FAILED", "at": 0.4, "files": False}, (0, 4, 4)),
        ({"status": "EXPIRED"}, (5, 5, 0)),
        ({"status": "CANCELLED", "at": 0.2}, (2, 2, 0)),
        ({"status": "COMPLETED", "files": False}, (0, 10, 10)),
        ({"status": "COMPLETED", "at": 0.7}, (7, 7, 0)),
    ],
)
def test_a_batch_that_ends_otherwise(
    script: dict[str, Any], expected: tuple[int, int, int], http: httpx.Client, fake: FakeTogether
) -> None:
    fake.script({"kind": "end", **script})
    job = get(http, create(http, make_file(TEN, text=CANARY)))
    assert job["status"] == script["status"]
    lines = read(http, job["output_file_id"]) if "output_file_id" in job else []
    assert "error_file_id" not in job
    entry = fake.ledger.batches[0]
    assert (len(lines), len(entry.billed), len(entry.destroyed)) == expected  # in the output, paid for, lost
    assert entry.faults == ["end"]
    if "message" in script:
        assert job["error"] == f"boom {CANARY}"


def run_lines(http: httpx.Client, fake: FakeTogether, *scripts: dict[str, Any]) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The raw output lines and the errors of ten lines with this script."""
    fake.script([{"kind": "lines", **script} for script in scripts])
    job = get(http, create(http, make_file(TEN, text=CANARY)))
    assert job["status"] == "COMPLETED"
    output = http.get(f"/files/{job['output_file_id']}/content").content.splitlines() if "output_file_id" in job else []
    return output, read(http, job["error_file_id"]) if "error_file_id" in job else []


def ids_of(output: list[bytes]) -> list[str]:
    return sorted(json.loads(line)["custom_id"] for line in output)


def test_only_errors(http: httpx.Client, fake: FakeTogether) -> None:
    output, errors = run_lines(http, fake, {"what": "error", "status": 500, "message": "no: {prompt}"})
    assert output == []
    assert sorted(line["custom_id"] for line in errors) == TEN
    assert errors[0]["error"] == {"message": f"no: {CANARY}", "code": "500"}
    assert fake.ledger.batches[0].billed == []


@pytest.mark.parametrize("status", [0, 400, 429, 500])
def test_a_line_with_another_status(status: int, http: httpx.Client, fake: FakeTogether) -> None:
    output, _ = run_lines(http, fake, {"what": "status", "status": status, "count": 2})
    found = Counter(json.loads(line)["response"]["status_code"] for line in output)
    assert found == {200: 8, status: 2}
    assert len(fake.ledger.batches[0].billed) == 8


def test_a_line_with_an_error_for_a_body(http: httpx.Client, fake: FakeTogether) -> None:
    output, _ = run_lines(http, fake, {"what": "body_error", "containing": "line-3"})
    (bad,) = [line for line in map(json.loads, output) if line["custom_id"] == "line-3"]
    assert bad["response"]["status_code"] == 200
    assert "error" in bad["response"]["body"]
    assert "line-3" not in fake.ledger.batches[0].billed


def test_a_line_without_a_body(http: httpx.Client, fake: FakeTogether) -> None:
    output, _ = run_lines(http, fake, {"what": "null_body", "count": 1})
    assert sum(json.loads(line)["response"]["body"] is None for line in output) == 1
    assert_destroyed(fake, 1)


def test_missing_lines(http: httpx.Client, fake: FakeTogether) -> None:
    output, errors = run_lines(http, fake, {"what": "missing", "share": 0.4})
    assert (len(output), errors) == (6, [])
    assert_destroyed(fake, 4)
    assert set(fake.ledger.batches[0].destroyed) == set(TEN) - set(ids_of(output))


def test_malformed_lines(http: httpx.Client, fake: FakeTogether) -> None:
    output, _ = run_lines(http, fake, {"what": "malformed", "count": 3})
    broken = [line for line in output if not is_json(line)]
    assert (len(output), len(broken)) == (10, 3)
    assert_destroyed(fake, 3)


def test_lines_that_come_twice(http: httpx.Client, fake: FakeTogether) -> None:
    output, _ = run_lines(http, fake, {"what": "duplicate", "containing": "line-5"})
    assert ids_of(output) == sorted([*TEN, "line-5"])
    assert_destroyed(fake, 0)


def test_lines_that_come_with_an_error_too(http: httpx.Client, fake: FakeTogether) -> None:
    output, errors = run_lines(http, fake, {"what": "contradicted", "containing": "line-5", "status": 503})
    assert ids_of(output) == sorted(TEN)
    assert [(line["custom_id"], line["error"]["code"]) for line in errors] == [("line-5", "503")]
    assert_destroyed(fake, 0)


def test_foreign_lines(http: httpx.Client, fake: FakeTogether) -> None:
    output, _ = run_lines(http, fake, {"what": "foreign", "count": 2})
    assert set(TEN) < set(ids_of(output))
    assert (len(output), len(fake.ledger.batches[0].billed)) == (12, 10)


def test_two_faults_of_one_batch(http: httpx.Client, fake: FakeTogether) -> None:
    scripts = {"what": "missing", "containing": "line-1"}, {"what": "error", "containing": "line-2"}
    output, errors = run_lines(http, fake, *scripts)
    assert (len(output), [line["custom_id"] for line in errors]) == (8, ["line-2"])
    fake.script([{"kind": "lines", "what": "missing"}, {"kind": "lines", "what": "missing"}])
    create(http, make_file(["next"]))
    assert fake.ledger.batches[-1].faults == ["lines", "lines"]


def test_a_batch_fault_can_wait_for_its_batch(http: httpx.Client, fake: FakeTogether) -> None:
    fake.script({"kind": "end", "status": "FAILED", "match": "wanted"})
    other, wanted = create(http, make_file(["other"])), create(http, make_file(["wanted"]))
    assert [get(http, batch_id)["status"] for batch_id in (other, wanted)] == ["COMPLETED", "FAILED"]


def test_what_a_script_destroyed_may_be_paid_for_again(http: httpx.Client, fake: FakeTogether) -> None:
    run_lines(http, fake, {"what": "missing", "containing": "line-1"})
    post_create(http, upload(http, make_file(["line-1"])))
    http.get("/batches")
    assert find_paid_twice(fake.ledger.batches) == {}
    post_create(http, upload(http, make_file(["line-2"])))
    http.get("/batches")
    assert list(find_paid_twice(fake.ledger.batches)) == ["line-2"]


def assert_destroyed(fake: FakeTogether, count: int) -> None:
    entry = fake.ledger.batches[0]
    assert (len(entry.billed), len(entry.destroyed)) == (10, count)
    assert set(entry.destroyed) <= set(entry.billed)


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_a_line_that_is_too_large_fails_and_not_its_batch(http: httpx.Client, fake: FakeTogether) -> None:
    change(fake, max_line_bytes=500)
    job = get(http, create(http, make_file(["small"]) + make_file(["large"], text="x" * 600)))
    assert job["status"] == "COMPLETED"
    assert [line["custom_id"] for line in read(http, job["error_file_id"])] == ["large"]
