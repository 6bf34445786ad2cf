"""The input of a run at scale: requests for several models and endpoints, and among them faults of every kind."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"
MODELS = (SMOLLM, "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "Qwen/Qwen2.5-7B-Instruct-Turbo")
ABSENT_MODEL = "deepseek-ai/DeepSeek-V3"  # in the model table, but not in this stack
TOO_LONG = 10_000_001  # bytes; a request may have 10,000,000
_FILLER = "the quick brown fox jumps over the lazy dog and goes on to the next line of this long file "


def write_request(line: int, custom_id: str | None = None, **changes: object) -> bytes:
    """A good line, by its number; `changes` are made to its body."""
    text = request_text(line)
    if line % 4 == 3:
        body, url = {"model": MODELS[line % len(MODELS)], "prompt": text}, "/v1/completions"
    else:
        body = {"model": MODELS[line % len(MODELS)], "messages": [{"role": "user", "content": text}], "max_tokens": 64}
        url = "/v1/chat/completions"
    name = custom_id or request_id(line)
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body | changes}).encode()


def request_text(line: int) -> str:
    """What a request says."""
    return f"{line} {_FILLER}"


def request_id(line: int) -> str:
    """The custom_id of a good line."""
    return f"request-{line}"


# What is wrong with a line: its code, and the line, given its number.
FAULTS: tuple[tuple[str, Callable[[int], bytes]], ...] = (
    ("invalid_json_line", lambda line: write_request(line)[:-20]),
    ("invalid_json_line", lambda line: write_request(line, top_p=0.5).replace(b"0.5", b"NaN")),
    ("invalid_json_line", lambda line: write_request(line).replace(b'"method"', b'"custom_id"')),
    ("invalid_encoding", lambda line: write_request(line).replace(b"fox", b"f\xffx")),
    ("invalid_encoding", lambda line: write_request(line).replace(b"fox", b"f\0x")),
    ("missing_custom_id", lambda line: write_request(line).replace(b'"custom_id"', b'"customid"')),
    ("invalid_custom_id", lambda line: write_request(line, "x" * 65)),
    ("duplicate_custom_id", lambda line: write_request(line, request_id(line - 1))),
    ("model_not_found", lambda line: write_request(line, model="nobody/nothing")),
    ("no_backend_for_model", lambda line: write_request(line, model=ABSENT_MODEL)),
    ("url_mismatch", lambda line: write_request(line).replace(b"/v1/c", b"/v2/c")),
    ("unsupported_parameter", lambda line: write_request(line, stream=True)),
    ("invalid_request", lambda line: write_request(line, temperature=9)),
)


@dataclass(frozen=True, slots=True)
class ScaleFile:
    """A file of `lines` lines, `faults` of them bad, scattered evenly; the last has the custom_id of the first.

    There are at least four lines for each fault, so that the line before one is good.
    """

    lines: int
    faults: int

    def __post_init__(self) -> None:
        if not 2 <= self.faults <= self.lines // 4:
            raise ValueError(f"{self.lines} lines take 2 to {self.lines // 4} faults, not {self.faults}")

    def find_codes(self) -> dict[int, str]:
        """The code of each bad line."""
        return {line: code for line, (code, _) in self._faulty().items()} | {self._long: "line_too_long"} | self._last

    def write(self, path: Path) -> None:
        """Write the file."""
        with path.open("wb", buffering=1 << 20) as file:
            for text in self._texts():
                file.write(text + b"\n")

    def _texts(self) -> Iterator[bytes]:
        faulty = self._faulty()
        for line in range(1, self.lines):
            if line == self._long:
                yield write_request(line, user="x" * TOO_LONG)
            elif line in faulty:
                yield faulty[line][1](line)
            else:
                yield write_request(line)
        yield write_request(self.lines, request_id(1))

    def _faulty(self) -> dict[int, tuple[str, Callable[[int], bytes]]]:
        others = self.faults - 2  # beside the one that is too long and the last line
        step = self.lines // (others + 1)
        return {2 + step * number: FAULTS[number % len(FAULTS)] for number in range(others)}

    @property
    def _long(self) -> int:
        return self.lines - 1

    @property
    def _last(self) -> dict[int, str]:
        return {self.lines: "duplicate_custom_id"}
