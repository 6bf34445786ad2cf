"""The texts of a request that a tokenizer sees, and the tokens that the chat template puts around them."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from slacktide.bodies import CHAT, EMBEDDINGS
from slacktide.models import Model, Tokenizer

_ASKING = {"system", "user"}  # whose texts every template writes in full, or refuses; some leave out the thoughts of assistants
_NO_LETTERS = bytes(byte for byte in range(256) if not (chr(byte).isascii() and chr(byte).isalnum()))
_SYSTEM = {"system", "developer"}
_TOOLS = ("tools", "functions")  # fields that a template writes into the prompt, as JSON


class Vocabulary(Protocol):
    """A tokenizer's vocabulary."""

    def count(self, texts: list[str]) -> int:
        """How many tokens all texts have together, each by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request asks: its texts, tokens that are none of a text, and the messages around which the template lies."""

    texts: list[str]
    tokens: int = 0
    messages: int = 0
    has_system: bool = True

    def around(self, tokenizer: Tokenizer) -> int:
        """The tokens that are not in the texts."""
        if not self.messages:  # no chat: a begin of text for each
            return self.tokens + max(1, len(self.texts))
        system = 0 if self.has_system else tokenizer.system
        return self.tokens + tokenizer.request + tokenizer.message * self.messages + system


def read_prompt(body: dict[str, Any], endpoint: str) -> Prompt | None:
    """The prompt of a valid request; None where it holds what is no text, such as pictures."""
    if endpoint == CHAT:
        return _read_messages(body)
    given: Any = body["input" if endpoint == EMBEDDINGS else "prompt"]
    return Prompt([given]) if isinstance(given, str) else _read_list(given)


def _read_list(given: list[Any]) -> Prompt:
    texts = [entry for entry in given if isinstance(entry, str)]
    lists = [entry for entry in given if isinstance(entry, list)]
    return Prompt(texts, sum(len(entry) for entry in lists) + sum(isinstance(entry, int) for entry in given))


def _read_messages(body: dict[str, Any]) -> Prompt | None:
    messages: list[dict[str, Any]] = body["messages"]
    texts = [json.dumps(body[name]) for name in _TOOLS if body.get(name)]
    for message in messages:
        read = list(_read_content(message.get("content")))
        if None in read:
            return None
        texts += [text for text in read if text is not None]
        texts += [json.dumps(message["tool_calls"])] if message.get("tool_calls") else []
    return Prompt(texts, 0, len(messages), messages[0].get("role") in _SYSTEM)


def _read_content(content: Any) -> Iterator[str | None]:
    parts: list[Any] = content if isinstance(content, list) else [content] if content else []
    for part in parts:
        yield part if isinstance(part, str) else part.get("text") if part.get("type") == "text" else None


def least_tokens(body: dict[str, Any], endpoint: str, model: Model) -> int:
    """The fewest tokens that the prompt of a valid request can take.

    One; or what the letters and digits of its texts need, if it is known how many one token of the model's vocabulary stands for.
    At most a window: what is longer may be cut.
    """
    letters = model.tokenizer and model.tokenizer.letters
    if letters is None or model.context is None:
        return 1
    return min(model.context, max(1, -(-sum(map(_count_letters, _find_asked(body, endpoint))) // letters)))


def _find_asked(body: dict[str, Any], endpoint: str) -> list[str]:
    """Texts of a request that are certain to be in its prompt."""
    if endpoint != CHAT:
        prompt = read_prompt(body, endpoint)
        return prompt.texts if prompt else []
    asking = [message for message in body["messages"] if message.get("role") in _ASKING]
    return [text for message in asking for text in _read_content(message.get("content")) if text]


def _count_letters(text: str) -> int:
    """Letters and digits of ASCII, of which some become others where a tokenizer wants a normal form of Unicode."""
    normal = text if text.isascii() else unicodedata.normalize("NFC", text)
    return len(normal.encode("ascii", "ignore").translate(None, _NO_LETTERS))
