"""One stage of a big batch in a process of its own: `python -m memory.stages STAGE FOLDER LINES` prints its memory and count.

Everything is imported before the measurement begins, and all objects are files in the folder.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.batches import Store
from bench.contender import measure
from bench.files import Shape
from slacktide.batch import Options
from slacktide.models import shipped_models
from slacktide_cli.preflight import examine

LINE_BYTES = 250
INPUT = "input.jsonl"
LINES_AT_ONCE = 1_000
REQUEST = b'{"custom_id":"%d","body":{"model":"smollm2","messages":[{"role":"user","content":"Hi"}]}}\n'


def small_answer(line: int) -> dict[str, Any]:
    """An answer of some hundred bytes, so that a million take a while and not an hour."""
    return {"choices": [{"message": {"role": "assistant", "content": f"answer {line}"}}], "usage": {"prompt_tokens": 9}}


def usual_blocks(lines: int) -> Iterator[bytes]:
    return Shape(lines, LINE_BYTES).blocks()


def repeated_blocks(lines: int) -> Iterator[bytes]:
    """A file whose second half has the custom_ids of the first."""
    for start in range(0, lines, LINES_AT_ONCE):
        yield b"".join(REQUEST % (number % (lines // 2)) for number in range(start, start + LINES_AT_ONCE))


def faulty_blocks(lines: int) -> Iterator[bytes]:
    """A file in which every other line is bad."""
    for start in range(0, lines, LINES_AT_ONCE):
        yield b"".join(b"{}\n" if number % 2 else REQUEST % number for number in range(start, start + LINES_AT_ONCE))


def look(blocks: Iterator[bytes]) -> int:
    return examine(blocks, name="a.jsonl", models=shipped_models(), options=Options(), most=20).total


def store_of(folder: Path) -> Store:
    return Store.of(folder, folder / INPUT)


def write_input(folder: Path, lines: int) -> int:
    """The input file, and a store that is made once."""
    (folder / INPUT).write_bytes(b"")
    with (folder / INPUT).open("wb") as file:
        file.writelines(usual_blocks(lines))
    store_of(folder)
    return lines


def reopen(folder: Path) -> Store:
    """The store of a former stage."""
    (folder / "input" / "file.jsonl").unlink()
    return store_of(folder)


def answer(folder: Path) -> int:
    store = reopen(folder)
    store.answer(small_answer)
    return sum(job.total for job in store.read_jobs())


def collect(folder: Path) -> int:
    store = reopen(folder)
    store.collect()
    return sum(job.total for job in store.read_jobs())


def assemble(folder: Path) -> int:
    reopen(folder).assemble()
    (manifest,) = folder.glob("output/**/manifest.json")
    read = json.loads(manifest.read_text())
    return read["output"]["lines"] + read["errors"]["lines"]


STAGES: dict[str, Callable[[Path, int], int]] = {
    "look": lambda _, lines: look(usual_blocks(lines)),
    "look at repeats": lambda _, lines: look(repeated_blocks(lines)),
    "look at faults": lambda _, lines: look(faulty_blocks(lines)),
    "write": write_input,
    "validate": lambda folder, _: reopen(folder).validate().total,
    "answer": lambda folder, _: answer(folder),
    "collect": lambda folder, _: collect(folder),
    "assemble": lambda folder, _: assemble(folder),
}


def main(stage: str, folder: str, lines: str) -> None:
    run = STAGES[stage]
    sample = measure(lambda: run(Path(folder), int(lines)))
    print(json.dumps({"memory": sample.memory, "count": sample.count, "seconds": sample.seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
