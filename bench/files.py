"""The input files that are measured: chat requests in OpenAI's form, the same bytes every time."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # one for a file, as OpenAI's Batch API wants it
WORDS = (
    *("the", "customer", "asked", "whether", "an", "order", "placed", "in", "March", "could", "still", "be", "returned"),
    *("because", "parts", "of", "it", "were", "damaged", "and", "nobody", "had", "answered", "two", "letters", "about"),
    *("delivery", "times", "summarise", "this", "review", "in", "one", "sentence", "name", "its", "tone", "then", "list"),
)
ODD_WORDS = ("Straße", "naïve", "値段", "café", "\N{RIGHT SINGLE QUOTATION MARK}s", '"quoted"', "C:\\temp", "50 %")
TAILS = 997  # different requests; a prime, so that they do not fall into step with anything
LINES_AT_ONCE = 1_000
SYSTEM = "You are a careful assistant. Answer in the language of the question, briefly, and say so when you do not know."


@dataclass(frozen=True, slots=True)
class Shape:
    """A file of so many lines of so many bytes on average, line feed included; single ones differ by up to a quarter."""

    lines: int
    line_bytes: int

    @property
    def title(self) -> str:
        """The shape as tables name it."""
        size = f"{self.line_bytes // 1000} KB" if self.line_bytes >= 1000 else f"{self.line_bytes} B"
        return f"{self.lines:,} \N{MULTIPLICATION SIGN} {size}"

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.lines}x{self.line_bytes}.jsonl"

    def blocks(self) -> Iterator[bytes]:
        """The file, a thousand lines at a time: made as it is read, so it takes no room anywhere."""
        tails = _make_tails(self.line_bytes)
        for first in range(1, self.lines + 1, LINES_AT_ONCE):
            numbers = range(first, min(first + LINES_AT_ONCE, self.lines + 1))
            yield b"".join(b'{"custom_id": "request-%09d", %b\n' % (number, tails[number % TAILS]) for number in numbers)

    def write(self, folder: Path) -> Path:
        """Write the file into a folder, if it is not there yet; answers its path."""
        path = folder / self.name
        if not path.exists():
            draft = path.with_suffix(".part")
            with draft.open("wb") as file:
                file.writelines(self.blocks())
            draft.rename(path)
        return path


def _make_tails(line_bytes: int) -> list[bytes]:
    """What follows the custom_id in each kind of line."""
    chance = random.Random(line_bytes)  # noqa: S311 - the same file every time is what is wanted
    spread = line_bytes // 4
    return [_make_tail(chance, line_bytes + (number * 2 * spread) // (TAILS - 1) - spread) for number in range(TAILS)]


def _make_tail(chance: random.Random, line_bytes: int) -> bytes:
    messages = [{"role": "user", "content": ""}]
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "max_tokens": chance.choice((128, 256, 512))}
    if line_bytes > 1_000:
        messages.insert(0, {"role": "system", "content": SYSTEM})
        body["temperature"] = chance.choice((0, 0.2, 0.7, 1.0))
    request = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    room = line_bytes - len('{"custom_id": "request-000000000", \n') - len(json.dumps(request)) + len("{")
    messages[-1]["content"] = _make_prompt(chance, room)
    return json.dumps(request, ensure_ascii=False).encode().removeprefix(b"{")


def _make_prompt(chance: random.Random, room: int) -> str:
    """Words that take `room` bytes of a JSON text: one in fifty is not plain ASCII or has to be escaped."""
    words: list[str] = []
    while room > 0:
        word = chance.choice(ODD_WORDS if chance.random() < 0.02 else WORDS) + ("\n" if chance.random() < 0.08 else " ")
        room -= len(json.dumps(word, ensure_ascii=False).encode()) - len('""')
        words.append(word)
    return "".join(words)
