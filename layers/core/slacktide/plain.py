"""Plain requests: lines of the usual shape, checked many at a time. What is not plain is checked line by line instead.

A chunk is accepted as a whole or not at all, and only if `slacktide.validation` would accept each line of it. So every test
here may be too strict, and none may be too lax: the types have no field that is not known, and no value that is not limited.

Names that stand twice are seen by no decoder. But in a line whose every value is known, the quotation marks can be counted: two
for each name and each text, and those inside the texts. A name more is two marks more. Only an escape could make up for them, and
a mark that is written as an escape (`\\u0022`) is not accepted here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import msgspec
from msgspec import UNSET

from slacktide.bodies import CHAT, COMPLETIONS, EMBEDDINGS
from slacktide.models import Model
from slacktide.shapes import CONTENTS, FIELDS, Shape, column, decoder
from slacktide.validation import LONGEST_BODY, Checker

_LIMITS = ("max_tokens", "max_completion_tokens")  # are held against the model's window
_TEXTS = ("user", "stop")  # may hold quotation marks
_READ = frozenset((*_LIMITS, *_TEXTS, "stream"))  # of the fields that all lines have: of the others, the type says enough
_OTHER_SHAPE = " field `"  # is in what msgspec says of a field that is missing or unknown
_COMMON = {CHAT: 6, COMPLETIONS: 7, EMBEDDINGS: 7}  # names and texts that each line of an endpoint is, messages apart
_OF_A_MESSAGE = 4


Kind = tuple[str, str]  # an endpoint, and the name of a model as a line has it
_MARKS = [(endpoint, b'"%b"' % endpoint.encode()) for endpoint in CONTENTS if endpoint != CHAT]


@dataclass(frozen=True, slots=True)
class PlainRequests:
    """Good lines in a row, each with its line feed; `text` is all of them. `models` is in the order of first lines."""

    custom_ids: list[str]
    kinds: list[Kind]
    models: dict[Kind, Model]
    lines: list[bytes]
    text: bytes


@dataclass(slots=True)
class PlainChecker:
    """Accepts chunks of plain lines, quickly."""

    checker: Checker
    _models: dict[tuple[str, str], Model | None] = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)  # of the lines so far, by endpoint
    _endpoint: str = CHAT  # of the newest chunk: most likely the next one's too

    def check(self, texts: list[bytes]) -> PlainRequests | None:
        """The requests in lines, each with its line feed; None if not all of them are plain."""
        for endpoint in sorted(CONTENTS, key=lambda endpoint: endpoint != self._endpoint):
            if self.checker.endpoint in {None, endpoint} and (decoded := self._decode(endpoint, texts)):
                self._endpoint = endpoint
                return self._accept(*decoded, texts)
        return self._check_mixed(texts) if self.checker.endpoint is None else None

    def _check_mixed(self, texts: list[bytes]) -> PlainRequests | None:
        """The same for lines of several endpoints: those of each are checked together."""
        endpoints = [next((endpoint for endpoint, mark in _MARKS if mark in text), CHAT) for text in texts]
        if len(set(endpoints)) == 1:
            return None
        parts: dict[str, PlainRequests] = {}
        for endpoint in set(endpoints):
            own = [text for text, its_endpoint in zip(texts, endpoints, strict=True) if its_endpoint == endpoint]
            decoded = self._decode(endpoint, own)
            part = self._accept(*decoded, own) if decoded else None
            if part is None:
                return None
            parts[endpoint] = part
        ids = {endpoint: iter(part.custom_ids) for endpoint, part in parts.items()}
        kinds = {endpoint: iter(part.kinds) for endpoint, part in parts.items()}
        merged = [next(kinds[endpoint]) for endpoint in endpoints]
        models = {kind: parts[kind[0]].models[kind] for kind in dict.fromkeys(merged)}
        return PlainRequests([next(ids[endpoint]) for endpoint in endpoints], merged, models, texts, b"".join(texts))

    def _decode(self, endpoint: str, texts: list[bytes]) -> tuple[Shape, list[Any]] | None:
        """The lines as objects, and the shape that these have; None if they are not of that endpoint, or not plain."""
        shape = self._shapes.get(endpoint)
        try:
            if shape is not None:
                return shape, list(map(decoder(shape).decode, texts))
        except msgspec.ValidationError as error:
            if _OTHER_SHAPE not in str(error):
                return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        every = Shape.of_any(endpoint)
        try:
            lines = list(map(decoder(every).decode, texts))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        seen = Shape.of_lines(endpoint, lines)
        self._shapes[endpoint] = shape.merge(seen) if shape else seen
        return every, lines

    def _accept(self, shape: Shape, lines: list[Any], texts: list[bytes]) -> PlainRequests | None:
        custom_ids, bodies = [line.custom_id for line in lines], [line.body for line in lines]
        names = [body.model for body in bodies]
        columns = {name: column(lines, name) for name in (*shape.sometimes, *(shape.always & _READ))}
        models = self._resolve(names, shape.endpoint)
        if models is None or not self._allows(shape, columns) or not _fits_windows(models.values(), columns):
            return None
        text = b"".join(texts)
        if len(text) > LONGEST_BODY and max(map(len, texts)) > LONGEST_BODY:
            return None
        marked = _COMMON[shape.endpoint] * len(lines) + _count_marked(shape, columns, len(lines))
        contents, owners = [getattr(body, CONTENTS[shape.endpoint][0]) for body in bodies], texts
        if shape.endpoint == CHAT:
            owners = list(chain.from_iterable(map(repeat, texts, map(len, contents))))
            contents = [message.content for message in chain.from_iterable(contents)]
            marked += _OF_A_MESSAGE * len(contents)
        ids = "".join(custom_ids)
        held = [(contents, owners), *[(columns[name], texts) for name in _TEXTS if name in columns]]
        held += [(custom_ids, texts)] if '"' in ids else []
        if not ids.isprintable() or not _fits_marks(text.count(b'"') - 2 * marked, held):
            return None
        kinds = [(shape.endpoint, name) for name in names] if len(models) > 1 else [(shape.endpoint, names[0])] * len(names)
        return PlainRequests(custom_ids, kinds, {(shape.endpoint, name): model for name, model in models.items()}, texts, text)

    def _allows(self, shape: Shape, columns: dict[str, list[Any]]) -> bool:
        """Whether nobody means another endpoint by naming none, or asks for a stream."""
        names_none = "url" not in shape.always and UNSET in columns.get("url", [UNSET])
        return (not names_none or shape.endpoint == (self.checker.endpoint or CHAT)) and True not in columns.get("stream", ())

    def _resolve(self, names: list[str], endpoint: str) -> dict[str, Model] | None:
        known: dict[str, Model] = {}
        distinct = names[:1] if names.count(names[0]) == len(names) else sorted(set(names), key=names.index)
        for name in distinct:  # groups are numbered in the order of their first lines
            key = name, endpoint
            if key not in self._models:
                model = self.checker.resolve_model(name, endpoint)
                self._models[key] = model if isinstance(model, Model) and '"' not in name else None
            model = self._models[key]
            if model is None:
                return None
            known[name] = model
        return known


def _count_marked(shape: Shape, columns: dict[str, list[Any]], lines: int) -> int:
    """The names and texts that the shape's fields are in all lines."""
    always = sum(FIELDS[name].marked for name in shape.always)
    return always * lines + sum(FIELDS[name].marked * (lines - columns[name].count(UNSET)) for name in shape.sometimes)


def _fits_windows(models: Iterable[Model], columns: dict[str, list[Any]]) -> bool:
    """Whether nobody asks for more tokens than the smallest window among the models holds."""
    windows = [model.context for model in models if model.context is not None]
    asked = set(chain.from_iterable(columns.get(name, ()) for name in _LIMITS)) - {UNSET}
    return not asked or not windows or max(asked) <= min(windows)


def _fits_marks(inner: int, held: list[tuple[list[str], list[bytes]]]) -> bool:
    """Whether there are as many quotation marks beside those around names and texts as texts hold; each has its line."""
    if inner == 0:
        return True
    quoting = [(text, line) for texts, lines in held for text, line in zip(texts, lines, strict=True) if text and '"' in text]
    return inner == sum([text.count('"') for text, _ in quoting]) and not [True for _, line in quoting if b"\\u0022" in line]
