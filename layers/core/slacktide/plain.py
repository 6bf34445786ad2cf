"""Plain requests: lines of the usual shape, checked many at a time. What is not plain is checked line by line instead.

A chunk is accepted as a whole or not at all, and only if `slacktide.validation` would accept each line of it. So every test
here may be too strict, and none may be too lax: the types have no field that is not known, and no value that is not limited.

Names that stand twice are seen by no decoder. But in a line whose every value is known, the quotation marks can be counted: two
for each name and each text, and those inside the texts. A name more is two marks more. Only an escape could make up for them, and
a mark that is written as an escape (`\\u0022`) is not accepted here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from slacktide.bodies import CHAT, COMPLETIONS, EMBEDDINGS, PARAMETERS
from slacktide.models import Model
from slacktide.validation import LONGEST_BODY, LONGEST_CUSTOM_ID, Checker

_NUMBERS = (  # the first two are held against the model's window
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "min_p",
    "top_k",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "top_logprobs",
    "stream",
)


class _Strict(Struct, forbid_unknown_fields=True, gc=False):
    pass


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _Format(_Strict):
    type: Literal["text", "json_object"]


def _line_type(endpoint: str, content: tuple[str, Any]) -> msgspec.json.Decoder[Any]:
    """The decoder of lines of an endpoint whose body has model, `content`, and plain parameters."""
    numbers = [(name, PARAMETERS[name] | UnsetType, UNSET) for name in _NUMBERS]
    texts = [("user", str | UnsetType, UNSET), ("stop", str | UnsetType, UNSET), ("response_format", _Format | UnsetType, UNSET)]
    body = msgspec.defstruct("Body", [("model", str), content, *texts, *numbers], bases=(_Strict,))
    custom_id = Annotated[str, Meta(min_length=1, max_length=LONGEST_CUSTOM_ID)]
    fields: list[Any] = [
        ("custom_id", custom_id),
        ("body", body),
        ("method", Literal["POST"] | UnsetType, UNSET),
        ("url", Literal[endpoint] | UnsetType, UNSET),  # type: ignore[valid-type]
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Line", fields, bases=(_Strict,)))


_Text = Annotated[str, Meta(min_length=1)]
_DECODERS = {
    CHAT: _line_type(CHAT, ("messages", Annotated[list[_Message], Meta(min_length=1)])),
    COMPLETIONS: _line_type(COMPLETIONS, ("prompt", _Text)),
    EMBEDDINGS: _line_type(EMBEDDINGS, ("input", _Text)),
}
_CONTENT = attrgetter("content")


@dataclass(frozen=True, slots=True)
class PlainRequests:
    """Good lines in a row, all of one endpoint, each with its line feed; `text` is all of them."""

    endpoint: str
    custom_ids: tuple[str, ...]
    names: tuple[str, ...]  # of the models, as the lines have them
    models: dict[str, Model]
    lines: list[bytes]
    text: bytes


@dataclass(slots=True)
class PlainChecker:
    """Accepts chunks of plain lines, quickly."""

    checker: Checker
    _models: dict[tuple[str, str], Model | None] = field(default_factory=dict)
    _endpoint: str = CHAT  # of the newest chunk: most likely the next one's too

    def check(self, texts: list[bytes]) -> PlainRequests | None:
        """The requests in lines, each with its line feed; None if not all of them are plain."""
        for endpoint in sorted(_DECODERS, key=lambda endpoint: endpoint != self._endpoint):
            if self.checker.endpoint not in {None, endpoint}:
                continue
            try:
                decoded = list(map(_DECODERS[endpoint].decode, texts))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            self._endpoint = endpoint
            return self._accept(endpoint, decoded, texts)
        return None

    def _accept(self, endpoint: str, decoded: list[Any], lines: list[bytes]) -> PlainRequests | None:
        custom_ids, bodies, methods, urls = zip(*map(astuple, decoded), strict=True)
        names, inputs, users, stops, formats, *numbers = zip(*map(astuple, bodies), strict=True)
        if UNSET in urls and endpoint != (self.checker.endpoint or CHAT):
            return None
        models = self._resolve(names, endpoint)
        if models is None or not _fits_windows(models.values(), numbers[:2]) or True in numbers[_NUMBERS.index("stream")]:
            return None
        given = [len(column) - column.count(UNSET) for column in (methods, urls, users, stops, formats, *numbers)]
        tokens = sum(2 * count for count in given[:4]) + 3 * given[4] + sum(given[5:])
        if endpoint == CHAT:
            messages = list(chain.from_iterable(inputs))
            inputs = map(_CONTENT, messages)
            tokens += 6 * len(lines) + 4 * len(messages)
        else:
            tokens += 7 * len(lines)
        texts = chain(custom_ids, inputs, *[_given(column) for column, count in ((users, given[2]), (stops, given[3])) if count])
        text = b"".join(lines)
        if len(text) > LONGEST_BODY and max(map(len, lines)) > LONGEST_BODY:
            return None
        if not "".join(custom_ids).isprintable() or not _fits_marks(text, tokens, texts):
            return None
        return PlainRequests(endpoint, custom_ids, names, models, lines, text)

    def _resolve(self, names: tuple[str, ...], endpoint: str) -> dict[str, Model] | None:
        known: dict[str, Model] = {}
        for name in sorted(set(names), key=names.index):  # groups are numbered in the order of their first lines
            key = name, endpoint
            if key not in self._models:
                model = self.checker.resolve_model(name, endpoint)
                self._models[key] = model if isinstance(model, Model) and '"' not in name else None
            model = self._models[key]
            if model is None:
                return None
            known[name] = model
        return known


def _given(column: tuple[Any, ...]) -> Iterator[Any]:
    return (value for value in column if value is not UNSET)


def _fits_windows(models: Iterable[Model], limits: list[tuple[Any, ...]]) -> bool:
    """Whether nobody asks for more tokens than the smallest window among the models holds."""
    windows = [model.context for model in models if model.context is not None]
    asked = set(chain.from_iterable(limits)) - {UNSET}
    return not asked or not windows or max(asked) <= min(windows)


def _fits_marks(text: bytes, tokens: int, texts: Iterable[str]) -> bool:
    """Whether there are as many quotation marks as `tokens` names and texts have, and those inside the texts."""
    inner = text.count(b'"') - 2 * tokens
    if inner == 0:
        return True
    if b"0022" in text and b"\\u0022" in text:  # the first is what a search is quick for, and hardly ever there
        return False
    return inner == sum([content.count('"') for content in texts if '"' in content])
