"""How many tokens one request can take at most: a bound that holds for every tokenizer, quick enough for every line of a job.

Prompt: a token stands for at least one byte of the text that the tokenizer sees; byte pairs and byte fallback work so by
construction. It sees the texts of a request as the chat template joins them, in a Unicode normal form if it has one. What a
template adds to each message is less than what JSON does (`{"role":"","content":""}` has 24 bytes), so the size of the body
stands for both; what it adds once is `OVERHEAD`. Tools are written anew by templates: escaped, and indented by up to four.

Answers: as many tokens as were asked for, at most a window, for each answer.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from slacktide.bodies import COMPLETIONS, EMBEDDINGS
from slacktide.models import Model

OVERHEAD = 256  # tokens: begin of text, a default system prompt, the head of the answer
TOOLS_OVERHEAD = 1_024  # tokens of instructions how tools are called
LARGEST_WINDOW = 10_485_760  # tokens, where a window is not known: no open model has a bigger one (Llama 4 Scout's)
_FORMS: tuple[Literal["NFC", "NFKC"], ...] = ("NFC", "NFKC")
_REWRITTEN = ("tools", "functions", "documents", "response_format")  # fields that a template may write anew
_CALLS = ("tool_calls", "function_call")  # of a message
_ESCAPE = re.compile(rb"\\u")  # twice as quick as `in` where a text has many backslashes
_NOT_PLAIN = re.compile(rb'"(?:type|functions|documents|tool_calls|function_call)"')  # one search: three times as quick as five
_HTML = "<>&'"  # six bytes each where a template escapes them
_NULL = Raw(b"null")


@dataclass(frozen=True, slots=True)
class TokenBound:
    """The most tokens that one request can take."""

    prompt: int
    output: int


class _Limits(msgspec.Struct, frozen=True):
    """What of a body decides how long its answers can be."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None


class _Completion(msgspec.Struct):
    """Each prompt of a list is answered."""

    prompt: Raw = _NULL


class _Line(msgspec.Struct):
    body: _Limits


class _LineBody(msgspec.Struct):
    body: Raw


_LIMITS = msgspec.json.Decoder(_Limits)
_COMPLETION = msgspec.json.Decoder(_Completion)
_LINES = msgspec.json.Decoder(_Line)
_BODIES = msgspec.json.Decoder(_LineBody)
_ANY = msgspec.json.Decoder()
_JSON = msgspec.json.Encoder()


def bound_of(body: bytes, endpoint: str, model: Model) -> TokenBound:
    """The bound of a request that was found valid; `body` is JSON as its user wrote it."""
    return TokenBound(_bound_prompt(body, model), _bound_output(body, endpoint, model))


def bound_bodies(bodies: Sequence[bytes], endpoint: str, model: Model) -> TokenBound:
    """The sum of the bounds of requests: several times as quick as one by one."""
    text = _unescape_lines(b"\n".join(bodies))
    if endpoint == COMPLETIONS or _NOT_PLAIN.search(text):
        bounds = [bound_of(body, endpoint, model) for body in bodies]
        return TokenBound(sum(bound.prompt for bound in bounds), sum(bound.output for bound in bounds))
    prompt = OVERHEAD * len(bodies) + _measure_lines(text) - text.count(b"\n")
    return TokenBound(prompt, 0 if endpoint == EMBEDDINGS else _bound_answers(map(_LIMITS.decode, bodies), model))


def bound_lines(text: bytes, count: int, endpoint: str, model: Model) -> TokenBound:
    """The sum of the bounds of good lines, each with its line feed: the whole line counts, so it is a little higher."""
    text = _unescape_lines(text)
    if endpoint == COMPLETIONS or _NOT_PLAIN.search(text):
        return bound_bodies([bytes(line.body) for line in _BODIES.decode_lines(text)], endpoint, model)
    prompt = OVERHEAD * count + _measure_lines(text)
    answers = (line.body for line in _LINES.decode_lines(text))
    return TokenBound(prompt, 0 if endpoint == EMBEDDINGS else _bound_answers(answers, model))


def _unescape_lines(text: bytes) -> bytes:
    """Lines of JSON, those written anew in which a `\\u` may stand for more bytes than it has."""
    return b"\n".join(map(_unescape, text.split(b"\n"))) if _ESCAPE.search(text) else text


def _unescape(text: bytes) -> bytes:
    return _JSON.encode(_ANY.decode(text)) if _ESCAPE.search(text) else text


def _bound_prompt(body: bytes, model: Model) -> int:
    body = _unescape(body)
    if not _NOT_PLAIN.search(body):
        return OVERHEAD + _measure(body)
    value = _ANY.decode(body)
    if _has_media(value):  # a small picture can take more tokens than it has bytes
        return model.context or LARGEST_WINDOW
    plain = _measure(body)
    messages = [message for message in value.get("messages") or [] if isinstance(message, dict)]
    if not any(value.get(name) for name in _REWRITTEN) and not any(message.get(name) for message in messages for name in _CALLS):
        return OVERHEAD + plain
    rewritten = json.dumps(value, indent=4)  # with `\u` escapes, as Python writes JSON by default
    escaped = len(rewritten) + 5 * sum(rewritten.count(character) for character in _HTML)
    return OVERHEAD + TOOLS_OVERHEAD + max(plain, escaped)


def _measure(text: bytes) -> int:
    """The bytes of a text, in whichever normal form a tokenizer may want it."""
    if _is_normal(text):
        return len(text)
    read = text.decode()
    return max(len(text), *(len(unicodedata.normalize(form, read).encode()) for form in _FORMS))


def _measure_lines(text: bytes) -> int:
    """The same of each line; line feeds count."""
    return len(text) if _is_normal(text) else sum(map(_measure, text.splitlines(keepends=True)))


def _is_normal(text: bytes) -> bool:
    """Whether the normal forms of a text are the text itself: in NFKC it is in NFC too (UAX #15), as most texts are."""
    return text.isascii() or unicodedata.is_normalized("NFKC", text.decode())


def _has_media(value: dict[str, Any]) -> bool:
    contents = [message.get("content") for message in value.get("messages") or [] if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(not isinstance(part, dict) or part.get("type") != "text" for part in parts)


def _bound_output(body: bytes, endpoint: str, model: Model) -> int:
    if endpoint == EMBEDDINGS:
        return 0
    answer = _bound_answer(_LIMITS.decode(body), model)
    return answer * _count_prompts(_COMPLETION.decode(body).prompt) if endpoint == COMPLETIONS else answer


def _bound_answers(asked: Iterable[_Limits], model: Model) -> int:
    return sum(times * _bound_answer(limits, model) for limits, times in Counter(asked).items())


def _bound_answer(limits: _Limits, model: Model) -> int:
    """Of all answers to one prompt."""
    window = model.context or LARGEST_WINDOW
    given = [asked for asked in (limits.max_tokens, limits.max_completion_tokens) if asked is not None]
    asked = max(given, default=window)
    each = asked if model.context is None and given else min(asked, window)
    return each * max(limits.n or 1, limits.best_of or 1)


def _count_prompts(prompt: Raw) -> int:
    """How many prompts a completion has: one for each text of a list, one for a list of tokens."""
    if bytes(prompt)[:1] != b"[":
        return 1
    prompts: list[Any] = _ANY.decode(prompt)
    return 1 if all(isinstance(token, int) for token in prompts) else len(prompts)
