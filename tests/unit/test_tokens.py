"""The bound of a request's tokens: never too low, and close where it can be."""

import json
from typing import Any

import pytest

from slacktide.bodies import CHAT, COMPLETIONS, EMBEDDINGS
from slacktide.models import Model, Upstreams
from slacktide.tokens import LARGEST_WINDOW, OVERHEAD, TokenBound, bound_of

WINDOW = 1_000
MODEL = Model("m", "f", [CHAT], ["together"], Upstreams(), context=WINDOW)
UNKNOWN = Model("m", "f", [CHAT], ["together"], Upstreams())


def bound(endpoint: str = CHAT, model: Model = MODEL, **body: Any) -> TokenBound:
    return bound_of(json.dumps({"model": "m", **body}, ensure_ascii=False).encode(), endpoint, model)


def chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


@pytest.mark.parametrize(
    ("endpoint", "asked", "most"),
    [
        (CHAT, {}, WINDOW),
        (CHAT, {"max_tokens": None, "n": None}, WINDOW),
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_completion_tokens": 9}, 9),
        (CHAT, {"max_completion_tokens": 9, "max_tokens": 7}, 9),
        (CHAT, {"max_tokens": 7, "n": 3}, 21),
        (CHAT, {"n": 2}, 2 * WINDOW),
        (CHAT, {"max_tokens": 2 * WINDOW}, WINDOW),
        (COMPLETIONS, {"max_tokens": 7, "best_of": 4, "n": 2}, 28),
        (COMPLETIONS, {"max_tokens": 7, "prompt": "one"}, 7),
        (COMPLETIONS, {"max_tokens": 7, "prompt": ["one", "two"]}, 14),
        (COMPLETIONS, {"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
        (COMPLETIONS, {"max_tokens": 7, "prompt": [[1], [2], [3]], "n": 2}, 42),
        (EMBEDDINGS, {"input": ["one", "two"]}, 0),
    ],
)
def test_answers_are_bounded_by_what_was_asked_for_or_by_the_window(endpoint: str, asked: dict[str, Any], most: int) -> None:
    assert bound(endpoint, **asked).output == most


def test_a_window_that_is_not_known_counts_as_the_largest_there_is() -> None:
    assert bound(model=UNKNOWN).output == LARGEST_WINDOW
    assert bound(model=UNKNOWN, max_tokens=5).output == 5


class TestPrompt:
    def test_plain_text_counts_its_bytes(self) -> None:
        body = {"model": "m", **chat("x" * 5_000)}
        assert bound(**chat("x" * 5_000)).prompt == len(json.dumps(body)) + OVERHEAD

    def test_an_escape_is_no_smaller_than_what_it_stands_for(self) -> None:
        """U+FDFA has 3 bytes, and 33 in the normal form that some tokenizers want."""
        assert bound(**chat("\ufdfa" * 100)).prompt >= 3_300
        escaped = json.dumps({"model": "m", **chat("\ufdfa" * 100)}).encode()
        assert bound_of(escaped, CHAT, MODEL).prompt >= 3_300

    def test_text_that_is_normal_already_is_not_counted_twice(self) -> None:
        text = "文" * 1_000
        assert 3_000 <= bound(**chat(text)).prompt <= 3_000 + OVERHEAD + 100

    def test_a_picture_can_take_the_window(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
        assert bound(**chat([picture])).prompt == WINDOW
        assert bound(model=UNKNOWN, **chat([picture])).prompt == LARGEST_WINDOW
        escaped = json.dumps({"model": "m", **chat([picture])}).replace("image_url", "image\\u005furl").encode()
        assert bound_of(escaped, CHAT, MODEL).prompt == WINDOW

    def test_parts_of_text_count_as_text(self) -> None:
        prompt = bound(**chat([{"type": "text", "text": "x" * 3_000}])).prompt
        assert 3_000 <= prompt <= 3_000 + OVERHEAD + 200

    def test_tools_count_as_a_template_may_write_them(self) -> None:
        deep: dict[str, Any] = {"type": "object"}
        for _ in range(20):
            deep = {"type": "object", "properties": {"x<>": deep}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": deep}}]
        written = json.dumps(tools, indent=4).replace("<", "\\u003c").replace(">", "\\u003e")
        assert bound(**chat("x", tools=tools)).prompt > len(written)
        called = {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }
        assert bound(messages=[called]).prompt > len(json.dumps(called, indent=4))

    def test_the_text_type_of_an_answer_format_is_no_media(self) -> None:
        assert bound(**chat("x", response_format={"type": "json_object"})).prompt < 2_000
