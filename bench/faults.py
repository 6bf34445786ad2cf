"""Sixteen kinds of faults that a line of an input file can have; each is one file: a good line, and one with the fault."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

GOOD = {
    "custom_id": "good",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "deepseek-ai/DeepSeek-V3", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20},
}


def _line(**changes: Any) -> bytes:
    """A good line with other fields; None takes a field away."""
    return json.dumps(
        {name: value for name, value in (GOOD | {"custom_id": "x"} | changes).items() if value is not None}
    ).encode()


def _body(**changes: Any) -> bytes:
    return _line(body=GOOD["body"] | changes)  # pyright: ignore[reportOperatorIssue]


FAULTS: dict[str, Callable[[], bytes]] = {
    "JSON that breaks off": lambda: _line()[:-5],
    "two objects in one line": lambda: _line() * 2,
    "not an object": lambda: b"[1, 2, 3]",
    "not UTF-8": lambda: _line().replace(b"Hello", b"Hell\xf6"),
    "NaN for a number": lambda: _body(temperature=float("nan")),
    "a name twice in an object": lambda: _line().replace(b'"max_tokens": 20', b'"max_tokens": 20, "max_tokens": 30'),
    "no custom_id": lambda: _line(custom_id=None),
    "a custom_id that is no text": lambda: _line(custom_id=7),
    "a custom_id that is too long": lambda: _line(custom_id="x" * 65),
    "a custom_id that an earlier line has": lambda: _line(custom_id="good"),
    "no body": lambda: _line(body=None),
    "a model that nobody has": lambda: _body(model="no-such-model"),
    "an endpoint that nobody has": lambda: _line(url="/v1/chats"),
    "a role that there is not": lambda: _body(messages=[{"role": "robot", "content": "Hello"}]),
    "a number out of its range": lambda: _body(temperature=9),
    "a stream is asked for": lambda: _body(stream=True),
}


def write_faults(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the file of each kind into a folder; yields the kinds with their files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (kind, make) in enumerate(FAULTS.items(), 1):
        path = folder / f"{number:02d}.jsonl"
        path.write_bytes(json.dumps(GOOD).encode() + b"\n" + make() + b"\n")
        yield kind, path
