"""Pages of a list, newest first: what comes behind a cursor, at most so many, and whether there is more."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from slacktide.api.errors import BadRequestError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    entries: list[T]
    has_more: bool


def take_page(entries: Iterable[T], limit: int) -> Page[T]:
    """The first `limit` entries."""
    found = list(islice(entries, limit + 1))
    return Page(found[:limit], len(found) > limit)


def read_limit(text: str | None, *, default: int, most: int) -> int:
    """The `limit` of a list. Raises BadRequestError."""
    if text is None:
        return default
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) else 0
    if not 1 <= limit <= most:
        raise BadRequestError(f"limit is a whole number from 1 to {most}.", param="limit")
    return limit
