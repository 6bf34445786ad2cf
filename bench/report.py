"""What came out: the goals, and the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.comparison import DOWNLOADS, JOINS, VALIDATORS, Figures
from bench.faults import FAULTS
from bench.files import Shape
from bench.rounds import Series
from bench.tables import TIMES, Table, write_megabytes, write_ratio, write_seconds

# Those that look into the lines, by short names.
READERS = {
    "json": "`json.loads`",
    "check_file": "`check_file`",
    "litellm": "LiteLLM",
    "pydantic": "pydantic",
    "slacktide": "**Slacktide**",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, and what was reached with each file."""

    title: str
    limit: str
    reached: Sequence[str]
    is_met: bool


def most_memory(lines: int) -> int:
    """The memory that validation may take, in bytes: a validator never holds more, however long the file is."""
    return 40_000_000 + 12 * lines


def judge(figures: Figures) -> list[Goal]:
    """What was to be reached, and what was."""
    validation, joins = figures.validation.values(), figures.joins.values()
    checked = [series.speed("slacktide", "check_file") for series in validation]
    split = [series.speed("splitting", "check_file") for series in validation]
    joined = [series.speed("assembly", "dictionary") for series in joins]
    return [
        _judge_speed("speed of validation, against `check_file`", checked, 1.8),
        _judge_speed("speed of validation and splitting, against `check_file`", split, 1.5),
        _judge_memory("memory of validation", figures.validation, "slacktide"),
        _judge_memory("memory of download, validation and splitting", figures.wire, "split"),
        _judge_wire(figures),
        _judge_speed("speed of assembly, against the dictionary", joined, 3.5),
        _judge_assembly_memory(figures),
    ]


def _judge_speed(title: str, ratios: Sequence[float], least: float) -> Goal:
    return Goal(title, f"at least {least} {TIMES}", [write_ratio(r) for r in ratios], all(r >= least for r in ratios))


def _judge_memory(title: str, measured: Mapping[Shape, Series], name: str) -> Goal:
    peaks = {shape: series.memory(name) for shape, series in measured.items()}
    met = all(peak <= most_memory(shape.lines) for shape, peak in peaks.items())
    return Goal(title, "at most 40 MB + 12 bytes a line", [f"{write_megabytes(p)} MB" for p in peaks.values()], met)


def _judge_wire(figures: Figures) -> Goal:
    ratios = [1 / series.speed("checked", "download") for series in figures.wire.values()]
    met = all(ratio <= 1.1 for ratio in ratios)
    title = "time of download and validation, against the download"
    return Goal(title, f"at most 1.1 {TIMES}", [write_ratio(ratio) for ratio in ratios], met)


def _judge_assembly_memory(figures: Figures) -> Goal:
    shares = [series.memory("assembly") / series.memory("dictionary") for series in figures.joins.values()]
    title = "memory of assembly, against the dictionary"
    return Goal(title, "at most a tenth, at the second", [f"{share:.1%}" for share in shares], shares[-1] <= 0.1)


def show_goals(figures: Figures) -> Table:
    """The goals with what was reached."""
    titles = [shape.title for shape in figures.plan.files]
    rows = [[goal.title, goal.limit, *goal.reached, "met" if goal.is_met else "missed"] for goal in judge(figures)]
    return Table(["goal", "limit", *titles, ""], rows)


def show_validation(figures: Figures) -> Table:
    """All validators: what they find, how long they take, and in how much memory."""
    columns = ["", f"kinds of fault found, of {len(FAULTS)}"]
    for shape in figures.validation:
        columns += [f"{shape.title}: seconds", f"{TIMES} `check_file`", "MB"]
    rows: list[list[str]] = []
    for name in figures.plan.validators:
        row = [VALIDATORS[name], str(len(figures.found[name]))]
        for series in figures.validation.values():
            ratio = write_ratio(series.speed(name, "check_file"))
            row += [write_seconds(series.seconds(name)), ratio, write_megabytes(series.memory(name))]
        rows.append(row)
    return Table(columns, rows)


def show_faults(figures: Figures) -> Table:
    """The kinds of faults, and who finds them."""
    rows = [[kind, *("found" if kind in figures.found[name] else "" for name in READERS)] for kind in FAULTS]
    return Table(["", *READERS.values()], rows)


def show_wire(figures: Figures) -> Table:
    """All downloads: how long they take, how much of that is the processor's, and in how much memory."""
    columns = [""]
    for shape in figures.wire:
        columns += [f"{shape.title}: seconds", f"time, {TIMES} download", "processor, seconds", "MB"]
    rows: list[list[str]] = []
    for name, title in DOWNLOADS.items():
        row = [title]
        for series in figures.wire.values():
            ratio = write_ratio(1 / series.speed(name, "download"))
            row += [write_seconds(series.seconds(name)), ratio, write_seconds(series.processor(name))]
            row += [write_megabytes(series.memory(name))]
        rows.append(row)
    return Table(columns, rows)


def show_joins(figures: Figures) -> Table:
    """All joins: how long they take, and in how much memory."""
    columns = [""]
    for shape in figures.joins:
        columns += [f"{shape.lines:,} answers: seconds", f"{TIMES} dictionary", "MB"]
    rows: list[list[str]] = []
    for name, title in JOINS.items():
        row = [title]
        for series in figures.joins.values():
            ratio = write_ratio(series.speed(name, "dictionary"))
            row += [write_seconds(series.seconds(name)), ratio, write_megabytes(series.memory(name))]
        rows.append(row)
    return Table(columns, rows)


def show(figures: Figures) -> dict[str, Table]:
    """The tables, each with the name of its markers on the page."""
    return {
        "goals": show_goals(figures),
        "validation": show_validation(figures),
        "faults": show_faults(figures),
        "wire": show_wire(figures),
        "assembly": show_joins(figures),
    }
