"""Markdown tables, the machine that they are of, and the page that they are written into."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as texts; the first column names the rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_seconds(seconds: float) -> str:
    """A time, with as many digits as it is good for."""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.2f}"


def write_ratio(ratio: float) -> str:
    """A ratio as a multiple."""
    return f"{ratio:.2f} {TIMES}" if ratio < 10 else f"{ratio:.0f} {TIMES}"


def write_megabytes(size: float) -> str:
    """A size in megabytes."""
    return f"{size / 1e6:.0f}" if size >= 1e6 else "below 1"


def describe_run(packages: Iterable[str], rounds: int) -> str:
    """When and on what it was measured, without a name of the machine or a path on it."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    rounds_text = "one run" if rounds == 1 else f"medians of {rounds} rounds"
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {rounds_text}; {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}; {versions}."
    )


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put a text between the page's markers of that name."""
    old = page.read_text()
    pattern = _markers(name)
    if len(pattern.findall(old)) != 1:
        raise ValueError(f"{page.name} does not have the markers of {name} once")
    page.write_text(pattern.sub(lambda match: f"{match[1]}\n{text.strip()}\n{match[3]}", old))


def read_section(name: str, page: Path = PAGE) -> str:
    """What stands between the page's markers of that name."""
    match = _markers(name).search(page.read_text())
    if match is None:
        raise ValueError(f"{page.name} does not have the markers of {name}")
    return match[2].strip()


def _markers(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: begin -->)\n(.*?)(<!-- {name}: end -->)", re.DOTALL)


def _processor() -> str:
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1].strip() if match else platform.machine()
