"""The fake on a port: what a network does to an answer, the command that starts it, and answers from an engine."""

import hashlib
import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conversation import CHAT, TEN, create, find_file_of, get, read, upload
from server_process import KEY, Server, drain, make_file, run_server, start_server

from slacktide_cli.errors import UsageError
from slacktide_cli.verbs.fake_together import change, describe, fake_together, read_plan
from slacktide_fake_together import Settings
from slacktide_fake_together.faults import Lines
from slacktide_fake_together.scripts import Script

CONTENT = make_file(TEN)
PATIENCE = 30.0  # seconds; far above what anything here takes


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.connect() as client:
        yield client


def wait_for_end(http: httpx.Client, batch_id: str) -> dict:
    limit = time.monotonic() + PATIENCE
    while (job := get(http, batch_id))["status"] in {"VALIDATING", "IN_PROGRESS"}:
        assert time.monotonic() < limit, job
    return job


def content_of(line: dict) -> str:
    """The text of an output line."""
    return line["response"]["body"]["choices"][0]["message"]["content"]


def test_a_batch_over_sockets(http: httpx.Client) -> None:
    content = make_file(TEN, text="over sockets")
    granted = http.post("/files", data=find_file_of(content), follow_redirects=False)
    assert granted.headers["location"].startswith(f"http://localhost:{http.base_url.port}/")
    assert httpx.put(granted.headers["location"], content=content).status_code == 200
    file_id = granted.headers["x-together-file-id"]
    http.post(f"/files/{file_id}/preprocess").raise_for_status()
    created = http.post("/batches", json={"endpoint": CHAT, "input_file_id": file_id}).json()["job"]
    assert sorted(line["custom_id"] for line in read(http, get(http, created["id"])["output_file_id"])) == TEN


def test_a_large_file_comes_back_whole(http: httpx.Client) -> None:
    content = make_file((f"line-{number}" for number in range(2_000)), text="x" * 10_000)
    answer = http.get(f"/files/{upload(http, content)}/content")
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(content).digest()
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    ("script", "errors"),
    [
        ({"kind": "timeout"}, (httpx.ReadTimeout,)),
        ({"kind": "drop"}, (httpx.RemoteProtocolError, httpx.ReadError)),  # either way a connection can end
        ({"kind": "refuse"}, (httpx.RemoteProtocolError, httpx.ReadError)),
    ],
)
def test_an_answer_that_is_lost(script: dict, errors: tuple[type[Exception], ...], http: httpx.Client, server: Server) -> None:
    file_id = upload(http, CONTENT)
    before = len(server.steer("GET", "ledger")["batches"])
    server.steer("POST", "faults", {**script, "call": "create"})
    with pytest.raises(errors):
        http.post("/batches", json={"endpoint": CHAT, "input_file_id": file_id}, timeout=0.5)
    assert len(server.steer("GET", "ledger")["batches"]) - before == (0 if script["kind"] == "refuse" else 1)


def test_a_body_that_is_cut_or_slow(http: httpx.Client, server: Server) -> None:
    content = make_file((f"line-{number}" for number in range(5_000)), text="cut")
    file_id = upload(http, content)
    server.steer("POST", "faults", {"kind": "cut", "call": "content", "at": 0.5})
    received = bytearray()
    with http.stream("GET", f"/files/{file_id}/content") as answer:
        assert answer.headers["content-length"] == str(len(content))
        with pytest.raises(httpx.RemoteProtocolError):
            drain(answer, received)
    assert received == content[: len(content) // 2]
    resumed = http.get(f"/files/{file_id}/content", headers={"Range": f"bytes={len(received)}-"})
    assert bytes(received) + resumed.content == content
    server.steer("POST", "faults", {"kind": "slow", "call": "content", "bytes_per_second": 2 * len(content)})
    began = time.monotonic()
    assert http.get(f"/files/{file_id}/content").content == content
    assert time.monotonic() - began >= 0.4  # half a second, less the last block


def test_a_late_answer(http: httpx.Client, server: Server) -> None:
    server.steer("POST", "faults", {"kind": "delay", "call": "list_batches", "seconds_late": 0.3})
    began = time.monotonic()
    assert http.get("/batches").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_keys_and_faults_are_steered_over_http(http: httpx.Client, server: Server) -> None:
    server.steer("POST", "keys", {"keys": ["new"]})
    try:
        assert http.get("/batches").status_code == 401
        with server.connect("new") as other:
            assert other.get("/batches").status_code == 200
    finally:
        server.steer("POST", "keys", {"keys": [KEY]})
    assert http.get("/batches").status_code == 200
    scripted = server.steer("POST", "faults", [{"kind": "drop", "call": "create"}, {"kind": "stuck", "times": 3}])
    assert scripted == server.steer("GET", "faults")
    assert [(fault["kind"], fault["times"]) for fault in server.steer("GET", "faults")] == [("drop", 1), ("stuck", 3)]
    assert server.steer("DELETE", "faults") == []


@pytest.mark.parametrize(("path", "body"), [("keys", {"keys": "k"}), ("settings", {"typo": 1}), ("faults", {"kind": "none"})])
def test_wrong_steering_is_refused(path: str, body: dict, server: Server) -> None:
    answer = httpx.post(f"{server.url}/_control/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, f"invalid_{path}")


def test_the_settings_are_shown_without_the_keys(server: Server) -> None:
    assert KEY not in json.dumps(server.steer("GET", "settings"))


# The command

TOML = """
[settings]
lines_per_second = 1000
answer = "ok"

[[faults]]
kind = "lines"
what = "missing"
count = 4
"""
SCRIPTS = {".toml": TOML, ".json": json.dumps(tomllib.loads(TOML))}


def test_the_command_with_a_script_file_and_options(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text(TOML)
    with start_server("--script", str(script), "--key", "one", "--key", "two") as server, server.connect("two") as http:
        lines = read(http, wait_for_end(http, create(http, CONTENT))["output_file_id"])
        assert len(lines) == 6
        assert {content_of(line) for line in lines} == {"ok"}
        assert server.steer("GET", "settings")["lines_per_second"] == 1000
        assert server.process
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("suffix", SCRIPTS)
def test_a_script_file_in_both_formats(suffix: str, tmp_path: Path) -> None:
    script = tmp_path / f"script{suffix}"
    script.write_text(SCRIPTS[suffix])
    assert read_plan(script) == Script(
        settings=Settings(lines_per_second=1000, answer="ok"), faults=(Lines(what="missing", count=4),)
    )


def test_options_are_laid_over_the_script() -> None:
    changed = change(Settings(answer="ok", keys=("one",)), {"lines_per_second": 5.0, "keys": ("two",)})
    assert changed == Settings(answer="ok", keys=("two",), lines_per_second=5)


def test_a_script_file_that_cannot_be_followed(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("typo = 1")
    with pytest.raises(UsageError, match=r"absent.toml cannot be read: No such file or directory"):
        read_plan(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match=r"wrong.toml cannot be followed: Object contains unknown field `typo`"):
        read_plan(tmp_path / "wrong.toml")


def test_an_option_that_cannot_be_followed() -> None:
    with pytest.raises(UsageError, match=r"These options cannot be followed: Expected `float` > 0.0"):
        fake_together(port=0, lines_per_second=0)


def test_a_port_that_is_taken(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"Port {port} cannot be used: .*--port"):
        fake_together(port=port)


def test_a_person_is_told_where_it_is() -> None:
    text = describe("http://127.0.0.1:1/v1")
    assert "at http://127.0.0.1:1/v1 " in text
    assert "curl http://127.0.0.1:1/_control/ledger" in text


# An engine


@pytest.fixture(scope="module")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scripted engine on a free port, which computes its answers."""
    log = tmp_path_factory.mktemp("engine") / "port"
    program = Path(__file__).with_name("engine_process.py")
    command = [sys.executable, str(program)]
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as engine:
        assert engine.stdout
        port = engine.stdout.readline().strip()
        assert port, log.read_text()
        yield f"http://127.0.0.1:{port}"
        engine.terminate()


def test_an_engine_answers(engine_url: str) -> None:
    bad, broken = make_file(["bad"], text="[[status 500]]"), make_file(["broken"], text="[[malformed]]")
    content = make_file(TEN, text="one two three") + bad + broken
    with run_server(engine_url=engine_url, concurrency=3) as server, server.connect() as http:
        job = wait_for_end(http, create(http, content))
        answers = {line["custom_id"]: content_of(line) for line in read(http, job["output_file_id"])}
        assert sorted(answers) == TEN
        assert {answer.split()[1:] == ["one", "two", "three"] for answer in answers.values()} == {True}
        errors = {line["custom_id"]: line["error"]["code"] for line in read(http, job["error_file_id"])}
        assert errors == {"bad": "500", "broken": "engine_error"}
        (batch,) = server.steer("GET", "ledger")["batches"]
        assert sorted(batch["billed"]) == TEN


def test_a_batch_that_gets_stuck_asks_the_engine_for_no_more(engine_url: str) -> None:
    before = httpx.get(f"{engine_url}/stats").json()["requests"]
    with run_server(engine_url=engine_url) as server, server.connect() as http:
        server.steer("POST", "faults", {"kind": "end", "status": "EXPIRED", "at": 0.3})
        job = wait_for_end(http, create(http, CONTENT))
        assert (job["status"], len(read(http, job["output_file_id"]))) == ("EXPIRED", 3)
    assert httpx.get(f"{engine_url}/stats").json()["requests"] - before == 3


def test_an_engine_that_is_not_there_fails_every_line() -> None:
    with run_server(engine_url="http://127.0.0.1:9") as server, server.connect() as http:
        job = wait_for_end(http, create(http, CONTENT))
        assert "output_file_id" not in job
        assert {line["error"]["code"] for line in read(http, job["error_file_id"])} == {"engine_error"}
