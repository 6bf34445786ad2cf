"""The texts of a request that a tokenizer sees, and the tokens that the chat template puts around them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from slacktide.bodies import CHAT, EMBEDDINGS
from slacktide.models import Tokenizer

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
