"""The shapes of plain lines: which fields they have, and a decoder for just these.

The types have no field that is not known, and no value that is not limited. A field that a type has and a line has not still
costs its time in each line, and few files use more than a handful: so a decoder has only those that a file was seen to use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from slacktide.bodies import CHAT, COMPLETIONS, EMBEDDINGS, PARAMETERS
from slacktide.validation import LONGEST_CUSTOM_ID

MOST_SHAPES = 256  # whose types are kept in memory


class _Strict(Struct, forbid_unknown_fields=True, gc=False):
    pass


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _Format(_Strict):
    type: Literal["text", "json_object"]


_TEXT = Annotated[str, Meta(min_length=1)]
CONTENTS: dict[str, tuple[str, Any]] = {  # the field of a body that it cannot be without, by endpoint
    CHAT: ("messages", Annotated[list[_Message], Meta(min_length=1)]),
    COMPLETIONS: ("prompt", _TEXT),
    EMBEDDINGS: ("input", _TEXT),
}
_PARAMETERS = (
    *("max_tokens", "max_completion_tokens", "temperature", "top_p", "min_p", "top_k", "n", "seed"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "top_logprobs", "stream"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a plain line may have: whether it is of the body, and how many names and texts it is, all in marks."""

    of_body: bool
    kind: Any
    marked: int


FIELDS: dict[str, Field] = {
    "method": Field(of_body=False, kind=Literal["POST"], marked=2),
    "url": Field(of_body=False, kind=None, marked=2),  # that of the endpoint
    "user": Field(of_body=True, kind=str, marked=2),
    "stop": Field(of_body=True, kind=str, marked=2),
    "response_format": Field(of_body=True, kind=_Format, marked=3),
    **{name: Field(of_body=True, kind=PARAMETERS[name], marked=1) for name in _PARAMETERS},
}
_GETTERS = {name: attrgetter(f"body.{name}" if field.of_body else name) for name, field in FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of lines of an endpoint beside those that all have: such as are `always` there, and such as are `sometimes`."""

    endpoint: str
    always: frozenset[str]
    sometimes: frozenset[str]

    @classmethod
    def of_any(cls, endpoint: str) -> Self:
        """That of every plain line."""
        return cls(endpoint, frozenset(), frozenset(FIELDS))

    @classmethod
    def of_lines(cls, endpoint: str, lines: Sequence[Any]) -> Self:
        """That of lines which the decoder for any shape has read."""
        missing = {name: column(lines, name).count(UNSET) for name in FIELDS}
        always = {name for name, count in missing.items() if not count}
        sometimes = {name for name, count in missing.items() if 0 < count < len(lines)}
        return cls(endpoint, frozenset(always), frozenset(sometimes))

    def merge(self, other: Self) -> Self:
        """That of the lines of both."""
        always = self.always & other.always
        fields = self.always | self.sometimes | other.always | other.sometimes
        return replace(self, always=always, sometimes=fields - always)


def column(lines: Sequence[Any], name: str) -> list[Any]:
    """What decoded lines have as a field; UNSET where they have it not."""
    return list(map(_GETTERS[name], lines))


@lru_cache(MOST_SHAPES)
def decoder(shape: Shape) -> msgspec.json.Decoder[Any]:
    """Decodes lines of a shape, one by one, into objects with `custom_id`, `body` and the shape's fields of either."""
    body = _struct("Body", [("model", str), CONTENTS[shape.endpoint], *_fields(shape, of_body=True)])
    custom_id = Annotated[str, Meta(min_length=1, max_length=LONGEST_CUSTOM_ID)]
    line = [("custom_id", custom_id), *_fields(shape, of_body=False), ("body", body)]
    return msgspec.json.Decoder(_struct("Line", line))


def _struct(name: str, fields: list[Any]) -> type[Struct]:
    return msgspec.defstruct(name, fields, bases=(_Strict,), gc=False, kw_only=True)


def _fields(shape: Shape, *, of_body: bool) -> list[Any]:
    fields: list[Any] = []
    for name, field in FIELDS.items():
        kind = Literal[shape.endpoint] if name == "url" else field.kind  # type: ignore[valid-type]
        if field.of_body == of_body and name in shape.always:
            fields.append((name, kind))
        elif field.of_body == of_body and name in shape.sometimes:
            fields.append((name, kind | UnsetType, UNSET))
    return fields
