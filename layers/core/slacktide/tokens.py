"""How many tokens one request can take at most: a bound that holds for every tokenizer, quick enough for every line of a job.

Prompt: a token stands for at least one byte of the text that the tokenizer sees; byte pairs and byte fallback work so by
construction. It sees the texts of a request as the chat template joins them, in a Unicode normal form if it has one. What a
template adds to each message is less than what JSON does (`{"role":"","content":""}` has 24 bytes), so the size of the body
stands for both; what it adds once is `OVERHEAD`. Tools are written anew by templates: escaped, and indented by up to four.

Answers: as many tokens as were asked for, at most a window, for each answer.
"""

import json
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from slacktide.bodies import EMBEDDINGS
from slacktide.models import Model

OVERHEAD = 256  # tokens: begin of text, a default system prompt, the head of the answer
TOOLS_OVERHEAD = 1_024  # tokens of instructions how tools are called
LARGEST_WINDOW = 10_485_760  # tokens, where a window is not known: no open model has a bigger one (Llama 4 Scout's)
_FORMS: tuple[Literal["NFC", "NFKC"], ...] = ("NFC", "NFKC")
_REWRITTEN = ("tools", "functions", "documents", "response_format")  # fields that a template may write anew
_CALLS = ("tool_calls", "function_call")  # of a message
_NOT_PLAIN = (b"\\u", b'"type"', b'"functions"', b'"documents"', b'"tool_calls"', b'"function_call"')
_HTML = "<>&'"  # six bytes each where a template escapes them
_NULL = Raw(b"null")


@dataclass(frozen=True, slots=True)
class TokenBound:
    """The most tokens that one request can take."""

    prompt: int
    output: int


class _Limits(msgspec.Struct):
    """What of a body decides how long its answers can be."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    prompt: Raw = _NULL


_LIMITS = msgspec.json.Decoder(_Limits)
_ANY = msgspec.json.Decoder()


def bound_of(body: bytes, endpoint: str, model: Model) -> TokenBound:
    """The bound of a request that was found valid; `body` is JSON as its user wrote it."""
    return TokenBound(_bound_prompt(body, model), 0 if endpoint == EMBEDDINGS else _bound_output(body, model))


def _bound_prompt(body: bytes, model: Model) -> int:
    if not any(mark in body for mark in _NOT_PLAIN):
        return OVERHEAD + (len(body) if body.isascii() else _longest_form(body.decode()))
    value = _ANY.decode(body)
    if _has_media(value):  # a small picture can take more tokens than it has bytes
        return model.context or LARGEST_WINDOW
    plain = _longest_form(msgspec.json.encode(value).decode())
    messages = [message for message in value.get("messages") or [] if isinstance(message, dict)]
    if not any(value.get(name) for name in _REWRITTEN) and not any(message.get(name) for message in messages for name in _CALLS):
        return OVERHEAD + plain
    rewritten = json.dumps(value, indent=4)  # with `\u` escapes, as Python writes JSON by default
    escaped = len(rewritten) + 5 * sum(rewritten.count(character) for character in _HTML)
    return OVERHEAD + TOOLS_OVERHEAD + max(plain, escaped)


def _longest_form(text: str) -> int:
    """The bytes of a text, in whichever normal form a tokenizer may want it."""
    forms = [text, *(unicodedata.normalize(form, text) for form in _FORMS if not unicodedata.is_normalized(form, text))]
    return max(len(form.encode()) for form in forms)


def _has_media(value: dict[str, Any]) -> bool:
    contents = [message.get("content") for message in value.get("messages") or [] if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(not isinstance(part, dict) or part.get("type") != "text" for part in parts)


def _bound_output(body: bytes, model: Model) -> int:
    limits = _LIMITS.decode(body)
    window = model.context or LARGEST_WINDOW
    given = [asked for asked in (limits.max_tokens, limits.max_completion_tokens) if asked is not None]
    asked = max(given, default=window)
    each = asked if model.context is None and given else min(asked, window)
    return each * max(limits.n or 1, limits.best_of or 1) * _count_prompts(limits.prompt)


def _count_prompts(prompt: Raw) -> int:
    """How many prompts a completion has: one for each text of a list, one for a list of tokens."""
    if bytes(prompt)[:1] != b"[":
        return 1
    prompts: list[Any] = _ANY.decode(prompt)
    return 1 if all(isinstance(token, int) for token in prompts) else len(prompts)
