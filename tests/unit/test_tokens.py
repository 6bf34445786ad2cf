"""The bound of a request's tokens: never too low, and close where it can be."""

import json
import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from splintr import Tokenizer

from slacktide.bodies import CHAT, COMPLETIONS, EMBEDDINGS
from slacktide.models import Model, Upstreams, shipped_models
from slacktide.models import Tokenizer as Counted
from slacktide.prompts import least_tokens, read_prompt
from slacktide.tokens import LARGEST_WINDOW, OVERHEAD, TokenBound, bound_bodies, bound_lines, bound_of
from slacktide_cli.vocabularies import find_vocabulary

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


COUNTED = [model for model in shipped_models().rows if model.tokenizer is not None]
# One of each vocabulary; the one with the most tokens around its messages.
VOCABULARIES = list({model.tokenizer.vocabulary: model for model in COUNTED if model.tokenizer}.values())
LONGEST = [".translatesAutoresizingMaskIntoConstraints", "M" * 64, "ExecutionContext"]  # tokens with the most letters
TEXTS = (
    some.sampled_from(LONGEST).map(lambda text: 5 * text)
    | some.text(max_size=60)
    | some.text('\u0958\ufdfa\u1e9b\u0323\U0001d160 文\n"<&', max_size=60)
)


def write_chat(texts: list[str], roles: list[str], tool: str | None) -> tuple[str, dict[str, Any]]:
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    tools = {"tools": [{"type": "function", "function": {"name": "f", "description": tool}}]}
    return CHAT, {"messages": messages, **({} if tool is None else tools)}


BODIES = some.builds(
    write_chat,
    some.lists(TEXTS, min_size=1, max_size=5),
    some.lists(some.sampled_from(["user", "assistant", "system"]), min_size=5, max_size=5),
    some.none() | TEXTS,
) | some.builds(lambda text: (COMPLETIONS, {"prompt": text}), TEXTS.filter(bool) | some.lists(TEXTS, min_size=1, max_size=5))


@settings(max_examples=150, deadline=None)
@given(BODIES, some.booleans(), some.booleans())
def test_no_tokenizer_makes_more_of_a_request(asked: tuple[str, dict[str, Any]], compact: bool, escaped: bool) -> None:
    endpoint, body = asked
    text = json.dumps(body, ensure_ascii=escaped, separators=(",", ":") if compact else None).encode("utf-8", "replace")
    prompt = read_prompt(json.loads(text), endpoint)
    assert prompt is not None
    for model in VOCABULARIES:
        vocabulary = find_vocabulary(model)
        assert vocabulary is not None
        assert model.tokenizer is not None
        counted = vocabulary.count(prompt.texts) + prompt.around(model.tokenizer)
        assert least_tokens(json.loads(text), endpoint, model) <= counted <= bound_of(text, endpoint, model).prompt


class TestLeast:
    @pytest.mark.parametrize("model", VOCABULARIES, ids=lambda model: model.tokenizer.vocabulary)
    def test_the_table_knows_the_most_letters_of_a_token(self, model: Model) -> None:
        assert model.tokenizer is not None
        tokenizer = Tokenizer.from_pretrained(model.tokenizer.vocabulary)
        letters = re.compile(rb"[0-9A-Za-z]")
        tokens = [text.encode() for text in tokenizer.special_tokens()]
        for number in range(tokenizer.vocab_size):
            with suppress(ValueError):  # some numbers are of no token
                tokens.append(tokenizer.decode_token_bytes(number))
        assert len(tokens) > 32_000
        assert max(len(letters.findall(text)) for text in tokens) == model.tokenizer.letters

    @pytest.mark.parametrize(
        ("endpoint", "asked", "least"),
        [
            (CHAT, chat("x" * 41), 1),
            (CHAT, chat("x" * 42), 2),
            (CHAT, chat(" .\n-文" * 1_000), 1),
            (CHAT, chat("e\u0301" * 1_000), 1),  # one letter each, of Latin-1, in the form that tokenizers want
            (CHAT, chat([{"type": "text", "text": "x" * 50}, {"type": "text", "text": "9" * 50}]), 3),
            (CHAT, chat([{"type": "image_url", "image_url": {"url": "x" * 500}}]), 1),
            (CHAT, {"messages": [{"role": "system", "content": "x" * 50}, {"role": "assistant", "content": "x" * 500}]}, 2),
            (CHAT, chat("x" * 10**6), WINDOW),
            (COMPLETIONS, {"prompt": ["x" * 60, "x" * 60]}, 3),
            (COMPLETIONS, {"prompt": [1, 2, 3]}, 1),
            (EMBEDDINGS, {"input": "x" * 60}, 2),
        ],
    )
    def test_a_text_has_so_many_tokens_at_the_least(self, endpoint: str, asked: dict[str, Any], least: int) -> None:
        known = msgspec.structs.replace(MODEL, tokenizer=Counted("llama3", letters=41))
        assert least_tokens(asked, endpoint, known) == least
        for unknown in (
            MODEL,
            msgspec.structs.replace(known, context=None),
            msgspec.structs.replace(known, tokenizer=Counted("x")),
        ):
            assert least_tokens(asked, endpoint, unknown) == 1


def test_the_overhead_covers_what_each_template_puts_around_all_messages() -> None:
    assert max(model.tokenizer.request + model.tokenizer.system for model in COUNTED if model.tokenizer) < OVERHEAD
    assert max(model.tokenizer.message for model in COUNTED if model.tokenizer) < len('{"role":"","content":""}')


@pytest.mark.parametrize(
    "bodies",
    [
        [chat("x", max_tokens=number % 3 + 1, n=2) for number in range(9)],
        [chat("文\ufdfa"), chat("\u0958", max_tokens=5)],
        [chat("x", tools=[{"type": "function", "function": {"name": "f"}}]), chat("y", max_tokens=3)],
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_lines_at_once_have_the_sum_of_their_bounds(bodies: list[dict[str, Any]], escaped: bool) -> None:
    lines = [json.dumps({"custom_id": f"r{number}", "body": {"model": "m", **body}}, ensure_ascii=escaped).encode() + b"\n"
             for number, body in enumerate(bodies)]  # fmt: skip
    single = [bound(**body) for body in bodies]
    together = bound_lines(b"".join(lines), len(lines), CHAT, MODEL)
    assert together.output == sum(each.output for each in single)
    most = sum(map(len, lines))  # a little more: the whole line counts
    assert sum(each.prompt for each in single) - most <= together.prompt <= sum(each.prompt for each in single) + most


@settings(max_examples=150, deadline=None)
@given(some.lists(BODIES, min_size=1, max_size=6), some.sampled_from([CHAT, COMPLETIONS, EMBEDDINGS]), some.booleans())
def test_bodies_at_once_have_the_sum_of_their_bounds(
    asked: list[tuple[str, dict[str, Any]]], endpoint: str, escaped: bool
) -> None:
    written = [json.dumps(body, ensure_ascii=escaped).encode("utf-8", "replace") for kind, body in asked if kind == endpoint]
    single = [bound_of(body, endpoint, MODEL) for body in written]
    summed = TokenBound(sum(each.prompt for each in single), sum(each.output for each in single))
    assert bound_bodies(written, endpoint, MODEL) == summed


def test_lines_of_other_endpoints() -> None:
    asked = b'{"custom_id": "r", "body": {"model": "m", "prompt": ["a", "b"], "max_tokens": 7}}\n'
    assert bound_lines(asked * 2, 2, COMPLETIONS, MODEL).output == 28
    embedded = b'{"custom_id": "r", "body": {"model": "m", "input": ["a", "b"]}}\n'
    assert bound_lines(embedded, 1, EMBEDDINGS, MODEL).output == 0
