"""What a check saw: facts, each with what the fake assumes. The standard library alone: it runs in several environments."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FINAL = {"COMPLETED", "FAILED", "EXPIRED", "CANCELLED"}


class Facts:
    """Facts by name, in the order of their notes."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def note(self, name: str, *, assumed: object, observed: object) -> None:
        assert name not in self.rows, name
        self.rows[name] = {"assumed": assumed, "observed": observed}

    def print(self) -> None:
        print(json.dumps(self.rows, default=str))


class Target:
    """The service to check, from the command line: URL without `/v1`, model, folder for files, seconds to wait for a batch."""

    def __init__(self, arguments: list[str]) -> None:
        self.url, self.model, folder, patience = arguments
        self.folder, self.patience = Path(folder), float(patience)

    def write(self, name: str, *custom_ids: str, model: str | None = None) -> Path:
        """An input file like no other, so that no earlier upload is taken for it. Each answer is one token."""
        path = self.folder / f"{name}-{time.time_ns()}.jsonl"
        lines = [
            {
                "custom_id": custom_id,
                "body": {
                    "model": model or self.model,
                    "messages": [{"role": "user", "content": f"Say yes. {path.stem}"}],
                    "max_tokens": 1,
                },
            }
            for custom_id in custom_ids
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def wait(self, ask: Callable[[], Any], status_of: Callable[[Any], object]) -> Any:
        """Ask until the job has ended, at least every 30 s, and at most for the patience; the last answer."""
        limit, pause = time.monotonic() + self.patience, 0.02
        while True:
            job = ask()
            if str(status_of(job)) in FINAL or time.monotonic() >= limit:
                return job
            time.sleep(pause)
            pause = min(pause * 2, 30)


def read_ids(content: bytes) -> list[str]:
    """The custom_ids of a result file, sorted."""
    return sorted(json.loads(line)["custom_id"] for line in content.splitlines())


def main(check: Callable[[Target, Facts], None]) -> None:
    """Run a check against the service of the command line, and print its facts."""
    facts = Facts()
    check(Target(sys.argv[1:]), facts)
    facts.print()
