"""Another model for every request of a file, line by line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


def rewrite_models(lines: Iterable[bytes], model: str) -> Iterator[bytes]:
    """Yield the lines with the `model` of each request's body replaced; nothing else in them changes its value.

    A line that is no well-formed request passes unchanged, so that validation finds in it what the user wrote.
    """
    value = msgspec.Raw(msgspec.json.encode(model))
    for line in lines:
        yield _rewrite(line, value)


def _rewrite(line: bytes, model: msgspec.Raw) -> bytes:
    try:
        # Strictly first: the fast parser below would drop duplicate keys, and so mend a line that must be refused.
        json.loads(line, object_pairs_hook=_refuse_duplicates)
        request = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        body = msgspec.json.decode(request["body"], type=dict[str, msgspec.Raw])
    except (ValueError, KeyError, RecursionError):  # both parsers' errors are ValueErrors
        return line
    request["body"] = msgspec.Raw(msgspec.json.encode({**body, "model": model}))
    return msgspec.json.encode(request) + line[len(line.rstrip(b"\r\n")) :]


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key appears twice")
