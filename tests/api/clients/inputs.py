"""Input files of the checks. The standard library alone: it runs in the environments of the clients."""

import json
import time
from pathlib import Path

from facts import Target

ENDPOINT = "/v1/chat/completions"
HANG = "[[hang]]"  # the engine never answers such a line


def write_input(target: Target, name: str, *texts: str, lines: int | None = None) -> Path:
    """A file like no other; its lines are `r1`, `r2` and so on. With `lines` it has that many, of the first text."""
    path = target.folder / f"{name}-{time.time_ns()}.jsonl"
    with path.open("w") as file:
        for number, text in enumerate(texts * (lines or 1), 1):
            messages = [{"role": "user", "content": f"{text} {path.stem}"}]
            line = {
                "custom_id": f"r{number}",
                "method": "POST",
                "url": ENDPOINT,
                "body": {"model": target.model, "messages": messages},
            }
            file.write(json.dumps(line) + "\n")
    return path
