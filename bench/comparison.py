"""What is measured: which contenders, on which files, how often."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.files import Shape
from bench.rounds import Series, run_rounds, run_task, serve

WIRE_RATE = 110e6  # bytes a second: some 900 Mbit/s
VALIDATORS = {
    "memcpy": "floor: copy the bytes out of the page cache",
    "newlines": "floor: count the line feeds",
    "json": "`json.loads` of each line",
    "check_file": "`check_file` (together)",
    "litellm": "`check_batch_file_upload` (LiteLLM)",
    "pydantic": "pydantic models as in vLLM",
    "slacktide": "**Slacktide**, checked",
    "splitting": "**Slacktide**, checked and split",
}
DOWNLOADS = {
    "download": "download alone",
    "checked": "download, **Slacktide** checks",
    "split": "download, **Slacktide** checks and splits",
}
JOINS = {
    "dictionary": "dictionary of parsed JSON",
    "collected": "**Slacktide**, collecting and assembly",
    "assembly": "**Slacktide**, assembly",
}
PACKAGES = ("together", "litellm", "pydantic", "openai", "msgspec", "boto3")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: input files, and how often. `answers` are the files whose answers are put in order."""

    files: Sequence[Shape]
    answers: Sequence[Shape]
    rounds: int
    validators: Sequence[str] = tuple(VALIDATORS)


FULL = Plan([Shape(50_000, 2_000), Shape(1_000_000, 300)], [Shape(50_000, 300), Shape(1_000_000, 300)], rounds=5)
QUICK = Plan([Shape(2_000, 2_000), Shape(5_000, 300)], [Shape(2_000, 300), Shape(5_000, 300)], rounds=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """All that was measured, by file; and the kinds of faults that each validator finds."""

    plan: Plan
    found: Mapping[str, Sequence[str]]
    validation: Mapping[Shape, Series]
    wire: Mapping[Shape, Series]
    joins: Mapping[Shape, Series]


def compare(plan: Plan, folder: Path) -> Figures:
    """Measure everything; files are kept in `folder` meanwhile."""
    return Figures(plan, find_faults(plan, folder), *(measure(plan, folder) for measure in (validate, download, join)))


def find_faults(plan: Plan, folder: Path) -> dict[str, Sequence[str]]:
    """The kinds of faults that each validator finds."""
    return {name: run_task("faults", name, str(folder / "faults")) for name in plan.validators}


def validate(plan: Plan, folder: Path) -> dict[Shape, Series]:
    """All validators on all files."""
    series: dict[Shape, Series] = {}
    for shape in plan.files:
        path = _lay_out(shape, folder)
        # The packages that do not count their lines, and the floor, answer -1; a file that is refused would count 0.
        counts = (shape.lines, -1)
        series[shape] = run_rounds("read", plan.validators, str(path), rounds=plan.rounds, counts=counts)
    return series


def download(plan: Plan, folder: Path) -> dict[Shape, Series]:
    """All downloads of all files, from a server of this machine."""
    series: dict[Shape, Series] = {}
    for shape in plan.files:
        path = _lay_out(shape, folder)
        counts = (shape.lines, path.stat().st_size)
        with serve(path, WIRE_RATE) as url:
            series[shape] = run_rounds("download", list(DOWNLOADS), url, str(path), rounds=plan.rounds, counts=counts)
    return series


def join(plan: Plan, folder: Path) -> dict[Shape, Series]:
    """All joins on the answers to each file."""
    series: dict[Shape, Series] = {}
    for shape in plan.answers:
        path, store = _lay_out(shape, folder), folder / "store"
        print(f"  collecting {shape.lines:,} answers", flush=True)
        run_task("prepare", str(store), str(path))
        try:
            series[shape] = run_rounds("join", list(JOINS), str(store), rounds=plan.rounds, counts=(shape.lines,))
        finally:
            shutil.rmtree(store)
    return series


def _lay_out(shape: Shape, folder: Path) -> Path:
    """Write a file, and read it once, so that it lies in the page cache for all of them."""
    path = shape.write(folder)
    print(f"{shape.title} ({path.stat().st_size / 1e6:.0f} MB)", flush=True)
    run_task("read", "memcpy", str(path))
    return path
