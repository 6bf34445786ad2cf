"""The container as a process in front of the scripted engine, over HTTP, as SageMaker sees it."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from slacktide_local.scripted_engine import engine_command

CANARY = "canary-7f3a-in-a-prompt"


def test_ping_is_200_and_empty_while_the_engine_is_healthy(container: Any):
    response = httpx.get(f"{container.url}/ping", timeout=2)
    assert (response.status_code, response.content) == (200, b"")


def test_execution_parameters_are_what_sagemaker_asks_for(container: Any):
    parameters = httpx.get(f"{container.url}/execution-parameters").json()
    assert parameters == {"MaxConcurrentTransforms": 4, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 25}


def test_every_line_is_answered_in_order_with_usage(container: Any, chat: Callable[..., bytes]):
    payload = b"".join(chat(f"batch.1.{i}", f"[[delay {(20 - i) / 100}]] question {i}") for i in range(20))
    response = container.post(payload)
    assert response.headers["content-type"] == "application/jsonlines"
    answers = [json.loads(line) for line in response.content.split(b"\n")[:-1]]
    assert [line["custom_id"] for line in answers] == [f"batch.1.{i}" for i in range(20)]
    for i, line in enumerate(answers):
        assert line["error"] is None
        assert line["response"]["status_code"] == 200
        assert line["response"]["body"]["choices"][0]["message"]["content"].endswith(f" question {i}")
        assert line["response"]["body"]["usage"]["prompt_tokens"] > 0
    assert len({line["response"]["request_id"] for line in answers}) == 20


def test_the_engine_gets_its_own_model_name_and_no_stream(container: Any, chat: Callable[..., bytes]):
    container.answers(chat("a", "how is the body?", stream=True, seed=2**70, temperature=0.5))
    body = container.stats()["bodies"][-1]
    assert body == {
        "model": "scripted-model",
        "messages": [{"role": "user", "content": "how is the body?"}],
        "seed": 2**70,
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "once upon"}, "text_completion"),
        ("/v1/embeddings", {"input": "once upon"}, "list"),
    ],
)
def test_the_other_endpoints_are_forwarded(container: Any, url: str, body: dict[str, str], kind: str):
    line = json.dumps({"custom_id": "a", "url": url, "body": body}).encode()
    assert container.answers(line)[0]["response"]["body"]["object"] == kind


def test_bad_lines_are_answered_inline_with_status_200(container: Any, chat: Callable[..., bytes]):
    payload = b"".join(
        [
            b"not json\n",
            chat("good", "hello"),
            b"\n",
            b'{"custom_id":"files","url":"/v1/files","body":{}}\n',
            chat("rejected", "[[status 400]]"),
            chat("limited", "[[status 429]]"),
            chat("broken", "[[status 500]]"),
            chat("strange", "[[malformed]]"),
            chat("dropped", "[[drop]]"),
        ]
    )
    answers = container.answers(payload)
    found = [(line["custom_id"], (line["error"] or {}).get("code"), bool(line["response"])) for line in answers]
    assert found == [
        (None, "backend_rejected", False),
        ("good", None, True),
        (None, "backend_rejected", False),
        ("files", "backend_rejected", False),
        ("rejected", "backend_rejected", True),
        ("limited", "backend_error", True),
        ("broken", "backend_error", True),
        ("strange", "backend_error", False),
        ("dropped", "backend_error", False),
    ]
    assert [answers[i]["response"]["status_code"] for i in (4, 5, 6)] == [400, 429, 500]


def test_a_payload_of_60_megabytes_is_taken(container: Any, chat: Callable[..., bytes]):
    filler = "x" * 2_000_000
    answers = container.answers(b"".join(chat(str(i), f"question {filler}") for i in range(30)))
    assert [line["response"]["status_code"] for line in answers] == [200] * 30


def test_the_limit_in_flight_holds_over_all_payloads(start_container: Callable[..., Any], chat: Callable[..., bytes]):
    container = start_container(MAX_IN_FLIGHT="3")
    container.await_ping()
    payloads = [b"".join(chat(f"{n}.{i}", f"[[delay 0.05]] {n} {i}") for i in range(8)) for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(container.answers, payloads))
    assert [len(lines) for lines in answers] == [8, 8, 8]
    assert container.stats()["most_in_flight"] == 3


def test_lines_unanswered_at_the_deadline_are_transient_and_leave_the_engine(
    start_container: Callable[..., Any], chat: Callable[..., bytes], wait_for: Callable[..., Any]
):
    container = start_container(INVOCATION_TIMEOUT_SECONDS="1")
    container.await_ping()
    answers = container.answers(chat("quick", "hello") + chat("never", "[[hang]]") + chat("later", "[[delay 0.1]]"))
    assert [line["error"] and line["error"]["code"] for line in answers] == [None, "backend_error", None]
    assert answers[1]["response"] is None
    assert container.events("payload_answered")[0]["seconds"] < 1.0
    wait_for(lambda: container.stats()["in_flight"] == 0, what="the request given up leaves the engine")


def test_an_engine_killed_in_mid_payload_makes_503_and_the_retry_gets_all_lines(
    start_container: Callable[..., Any], chat: Callable[..., bytes], wait_for: Callable[..., Any]
):
    container = start_container(ENGINE_WAIT_SECONDS="20")
    container.await_ping()
    payload = b"".join(chat(str(i), f"[[delay {0.5 if i else 0}]] question {i}") for i in range(6))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(container.post, payload)
        wait_for(lambda: container.stats()["in_flight"] == 5, what="requests in flight")
        os.kill(container.engine["pid"], signal.SIGKILL)
        assert first.result().status_code == 503
    # At once, as SageMaker may: the payload waits for the engine.
    assert [line["response"]["status_code"] for line in container.answers(payload)] == [200] * 6
    assert len(container.events("engine_healthy")) == 2
    assert container.ping() == 200


def test_a_request_that_kills_the_engine_once_loses_no_line(
    start_container: Callable[..., Any], chat: Callable[..., bytes], tmp_path: Path
):
    container = start_container()
    container.await_ping()
    payload = chat("a", "hello") + chat("b", f"[[exit once {tmp_path / 'died'}]]") + chat("c", "[[delay 0.3]]")
    assert container.post(payload).status_code == 503
    assert [line["error"] for line in container.answers(payload)] == [None, None, None]


def test_503_and_no_ping_while_the_engine_is_down(start_container: Callable[..., Any], chat: Callable[..., bytes]):
    container = start_container(ENGINE_WAIT_SECONDS="0.1", ENGINE_BACKOFF_SECONDS="60")
    container.await_ping()
    os.kill(container.engine["pid"], signal.SIGKILL)
    container.await_event("engine_restarting")
    assert container.ping() == 503
    assert container.post(chat("a", "hello")).status_code == 503


def test_an_engine_whose_process_lives_but_whose_health_is_gone_is_restarted(
    start_container: Callable[..., Any], chat: Callable[..., bytes], alive: Callable[[int], bool]
):
    container = start_container()
    container.await_ping()
    engine = container.engine["pid"]
    container.answers(chat("a", "[[unhealthy]]"))
    container.await_event("engine_healthy", count=2)
    container.await_ping()
    assert not alive(engine)


@pytest.mark.parametrize(
    ("settings", "event"),
    [
        ({"ENGINE_COMMAND": f"{sys.executable} -c 'raise SystemExit(3)'"}, "engine_never_healthy"),
        ({"ENGINE_COMMAND": "/no/such/engine"}, "engine_not_started"),
        (
            {
                "ENGINE_COMMAND": f"{sys.executable} -c 'import signal; signal.pause()'",
                "ENGINE_START_SECONDS": "0.2",
            },
            "engine_never_healthy",
        ),
    ],
)
def test_an_engine_that_never_gets_healthy_ends_the_container_with_an_error(
    start_container: Callable[..., Any], settings: dict[str, str], event: str
):
    container = start_container(ENGINE_STARTS="2", **settings)
    assert container.process.wait(20) == 1
    assert len(container.events(event)) == 2
    assert len(container.events("engine_given_up")) == 1


def test_what_the_engine_says_before_it_serves_is_logged(start_container: Callable[..., Any]):
    container = start_container(ENGINE_COMMAND=f"""{sys.executable} -c 'raise SystemExit("out of memory")'""", ENGINE_STARTS="1")
    assert container.process.wait(20) == 1
    assert [record["text"] for record in container.events("engine_output")] == ["out of memory"]


def test_sigterm_ends_the_container_and_its_engine_cleanly(start_container: Callable[..., Any], alive: Callable[[int], bool]):
    container = start_container()
    container.await_ping()
    engine = container.engine["pid"]
    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(20) == 0
    assert not alive(engine)
    assert container.events()[-1]["event"] == "server_stopped"


def test_the_engine_dies_with_its_container(
    start_container: Callable[..., Any], alive: Callable[[int], bool], wait_for: Callable[..., Any]
):
    container = start_container()
    container.await_ping()
    engine = container.engine["pid"]
    assert alive(engine)
    container.process.kill()
    wait_for(lambda: not alive(engine), what="the engine is gone")


def test_what_the_engine_started_dies_before_the_next_engine_starts(
    start_container: Callable[..., Any], tmp_path: Path, alive: Callable[[int], bool]
):
    workers = tmp_path / "workers"
    script = f"sleep 1000 & echo $! >> {workers}; exec {engine_command()}"
    container = start_container(ENGINE_COMMAND=f"bash -c {shlex.quote(script)}")
    container.await_ping()
    worker = int(workers.read_text())
    assert alive(worker)
    os.kill(container.engine["pid"], signal.SIGKILL)
    container.await_event("engine_started", count=2)
    assert not alive(worker)


def test_a_connection_lost_once_costs_no_line(container: Any, chat: Callable[..., bytes], tmp_path: Path):
    answers = container.answers(chat("a", f"[[drop once {tmp_path / 'dropped'}]] hello"))
    assert answers[0]["error"] is None


def test_no_prompt_and_no_answer_reaches_the_log(start_container: Callable[..., Any], chat: Callable[..., bytes]):
    container = start_container(INVOCATION_TIMEOUT_SECONDS="1", ENGINE_COMMAND=engine_command("--log-prompts"))
    container.await_ping()
    lines = [
        chat("a", CANARY),
        chat(CANARY, "[[status 400]]" + CANARY),
        f"not json {CANARY}\n".encode(),
        json.dumps({"custom_id": "b", "url": CANARY, "body": {}}).encode() + b"\n",
        chat("c", "[[hang]]" + CANARY),
    ]
    assert len(container.answers(b"".join(lines))) == 5
    assert container.post(chat("d", f"{CANARY} [[exit]]")).status_code == 503
    container.await_event("engine_healthy", count=2)
    assert container.events("payload_answered")[0]["lines"] == 5
    assert CANARY not in container.log.read_text()


def test_a_payloads_log_record_has_counts_tokens_and_the_batch(container: Any, chat: Callable[..., bytes]):
    batch = "batch_" + "a" * 26
    container.answers(chat(f"{batch}.1.1", "one two three") + b"bad\n" + chat(f"{batch}.1.3", "[[status 500]]"))
    record = container.events("payload_answered")[-1]
    assert {name: record[name] for name in ("batch_id", "status", "lines", "succeeded", "rejected", "unanswered")} == {
        "batch_id": batch,
        "status": 200,
        "lines": 3,
        "succeeded": 1,
        "rejected": 1,
        "unanswered": 1,
    }
    assert (record["prompt_tokens"], record["completion_tokens"]) == (3, 4)


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {"MODEL_ID": "m"}, "serve"),
        (["train"], {"MODEL_ID": "m"}, "serve"),
        (["serve"], {"MAX_IN_FLIGHT": "0"}, "MODEL_ID is missing"),
    ],
)
def test_a_wrong_start_says_what_to_do(arguments: list[str], environment: dict[str, str], words: str):
    command = [sys.executable, "-m", "slacktide_transform", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert words in ended.stdout


def test_a_port_in_use_ends_the_container_with_an_error(container: Any, start_container: Callable[..., Any]):
    second = start_container(TRANSFORM_PORT=container.url.rpartition(":")[2])
    assert second.process.wait(20) == 1
    assert "in use" in second.events("server_not_started")[0]["reason"]
