"""The benchmark measures what it says: the same work for all, in processes of their own; and its page has its shape."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import hosted, large, transform
from bench.batches import Store
from bench.comparison import DOWNLOADS, FULL, JOINS, VALIDATORS, Figures
from bench.contender import Sample, find_faults, measure, prepare_join
from bench.faults import FAULTS
from bench.files import MODEL, Shape
from bench.folder_s3 import FolderS3
from bench.joining import JOINS as JOIN_CALLS
from bench.joining import naive_output
from bench.report import READERS, judge, most_memory, show
from bench.rounds import MeasurementError, Series, run_rounds, run_task, serve
from bench.tables import PAGE, TIMES, Table, read_section, write_ratio, write_section
from bench.validators import VALIDATORS as VALIDATOR_CALLS
from bench.wire import DOWNLOADS as DOWNLOAD_CALLS
from slacktide.batch import Options
from slacktide.models import shipped_models
from slacktide_cli.preflight import examine
from slacktide_local.scale import Span

# Files


@pytest.mark.parametrize("shape", FULL.files, ids=lambda shape: shape.name)
def test_a_file_has_its_lines_and_about_its_bytes(shape: Shape) -> None:
    few = Shape(2_000, shape.line_bytes)
    text = b"".join(few.blocks())
    assert text.count(b"\n") == few.lines
    assert len(text) == pytest.approx(few.lines * few.line_bytes, rel=0.02)
    assert text == b"".join(few.blocks()), "another file the next time"
    longest, shortest = (pick(map(len, text.splitlines())) for pick in (max, min))
    assert shortest < few.line_bytes * 0.85 < few.line_bytes * 1.15 < longest


def test_every_line_is_a_good_request() -> None:
    report = examine(Shape(2_000, 300).blocks(), name="a.jsonl", models=shipped_models(), options=Options(), most=5)
    assert (report.total, report.invalid, report.findings) == (2_000, 0, [])
    assert {group.model for group in report.groups} == {MODEL}


def test_some_lines_have_more_than_ascii_and_some_have_escapes() -> None:
    lines = b"".join(Shape(2_000, 2_000).blocks()).splitlines()
    assert 0.5 < sum(not line.isascii() for line in lines) / len(lines) < 1
    assert sum(b'\\"' in line for line in lines) > 100


# Measuring


def test_memory_is_what_the_run_adds_at_its_peak() -> None:
    def run() -> int:
        return len(b"x" * (64 << 20))

    assert 60 << 20 <= measure(run).memory <= 80 << 20
    assert measure(lambda: 1).memory < 4 << 20, "the peak of an earlier run counts"


def test_processes_take_turns_and_every_one_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Shape(300, 300).write(tmp_path)
    names = ["newlines", "json", "slacktide", "splitting"]
    series = run_rounds("read", names, str(path), rounds=2, counts=(300,))
    assert [[sample.count for sample in series.samples[name]] for name in names] == [[300, 300]] * len(names)
    order = re.findall(r"round \d: (\w+)", capsys.readouterr().out)
    assert order == [*names, *names[1:], names[0]]
    assert all(sample.seconds > 0 for samples in series.samples.values() for sample in samples)
    assert list(tmp_path.iterdir()) == [path], "the store of the split lines is left behind"


def test_a_run_that_did_not_read_all_lines_ends_the_benchmark(tmp_path: Path) -> None:
    path = Shape(10, 300).write(tmp_path)
    with pytest.raises(MeasurementError, match="json counted 10 instead of 11"):
        run_rounds("read", ["json"], str(path), rounds=1, counts=(11,))


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="FileNotFoundError"):
        run_task("read", "newlines", str(tmp_path / "missing.jsonl"))


def test_ratios_are_those_of_each_round() -> None:
    series = Series({"a": [Sample(t, 0, 0, 1) for t in (1, 2, 9)], "b": [Sample(t, 0, 0, 1) for t in (2, 8, 18)]})
    assert series.speed("a", "b") == 2  # 2, 4 and 2
    assert series.seconds("b") == 8


def test_slacktide_finds_all_kinds_of_faults_and_json_three(tmp_path: Path) -> None:
    assert find_faults("slacktide", str(tmp_path)) == list(FAULTS)
    assert find_faults("splitting", str(tmp_path)) == list(FAULTS)
    assert find_faults("json", str(tmp_path)) == ["JSON that breaks off", "two objects in one line", "not UTF-8"]
    assert find_faults("newlines", str(tmp_path)) == []


# Joining


def test_all_joins_make_the_same_lines(tmp_path: Path) -> None:
    path = Shape(1_200, 300).write(tmp_path)
    assert prepare_join(str(tmp_path / "store"), str(path)) == 1_200
    store = Store(tmp_path / "store", FolderS3(tmp_path / "store"))
    assert [JOIN_CALLS[name](store) for name in ("dictionary", "assembly", "collected")] == [1_200] * 3
    naive = [json.loads(line) for line in naive_output(store.root).read_bytes().splitlines()]
    ours = [json.loads(line) for line in store.bucket.lines(store.batch.results.output)]
    assert naive == ours
    assert [line["line"] for line in ours] == list(range(1, 1_201))
    assert [line["custom_id"] for line in ours[:2]] == ["request-000000001", "request-000000002"]
    assert len(store.read_jobs()) == 1


# The wire


def test_a_download_is_complete_and_no_faster_than_the_wire(tmp_path: Path) -> None:
    path = Shape(3_000, 2_000).write(tmp_path)
    size = path.stat().st_size
    rate = 30e6
    with serve(path, rate) as url:
        samples = {name: Sample(**run_task("download", name, url, str(path))) for name in DOWNLOADS}
    assert {name: sample.count for name, sample in samples.items()} == {"download": size, "checked": 3_000, "split": 3_000}
    assert all(sample.seconds > 0.8 * size / rate for sample in samples.values())


# The large file


def test_a_large_file_goes_through_a_pipe() -> None:
    shape = Shape(3_000, 2_000)
    sample, size = large.stream(shape)
    assert (sample.count, size) == (3_000, sum(map(len, shape.blocks())))
    assert large.show(shape, sample, size).rows[0][-1] == "met"
    assert large.show(shape, Sample(1, 1, most_memory(3_000) + 1, 3_000), size).rows[0][-1] == "missed"


# The report


def same(names: Sequence[str], seconds: float, memory: int, **other: tuple[float, int]) -> Series:
    """One round in which all take the same, but for those that are given: seconds and memory."""
    figures = {name: other.get(name, (seconds, memory)) for name in names}
    return Series({name: [Sample(time, time, size, 1)] for name, (time, size) in figures.items()})


def make_figures(*, speed: float = 1.8, split: float = 1.5, memory: int = 40_000_000, wire: float = 1.1) -> Figures:
    """Figures that are just good enough."""
    plan = FULL
    validators = {"check_file": (9.0, 0), "slacktide": (9 / speed, memory), "splitting": (9 / split, memory)}
    joins = {"dictionary": (7.0, 1_000), "assembly": (2.0, 100)}
    return Figures(
        plan,
        {name: list(FAULTS) for name in VALIDATORS},
        {shape: same(list(VALIDATORS), 1, 1, **validators) for shape in plan.files},
        {shape: same(list(DOWNLOADS), 1, 1, checked=(wire, 1), split=(wire, memory)) for shape in plan.files},
        {shape: same(list(JOINS), 1, 1, **joins) for shape in plan.answers},
    )


def missed(figures: Figures) -> list[str]:
    return [goal.title for goal in judge(figures) if not goal.is_met]


def test_a_goal_is_met_up_to_its_limit() -> None:
    assert missed(make_figures()) == []
    assert missed(make_figures(speed=1.79)) == ["speed of validation, against `check_file`"]
    assert missed(make_figures(split=1.49)) == ["speed of validation and splitting, against `check_file`"]
    assert missed(make_figures(memory=41_000_000)) == [
        "memory of validation",
        "memory of download, validation and splitting",
    ]
    assert missed(make_figures(wire=1.11)) == ["time of download and validation, against the download"]


def test_a_goal_has_to_be_met_with_every_file() -> None:
    figures, slow = make_figures(), make_figures(speed=1.0)
    first, second = FULL.files
    mixed = {first: figures.validation[first], second: slow.validation[second]}
    mixed_figures = Figures(FULL, figures.found, mixed, figures.wire, figures.joins)
    assert missed(mixed_figures) == ["speed of validation, against `check_file`"]


def test_what_is_measured_is_what_is_listed() -> None:
    assert list(VALIDATORS) == list(VALIDATOR_CALLS)
    assert list(DOWNLOADS) == list(DOWNLOAD_CALLS)
    assert list(JOINS) == list(JOIN_CALLS)
    assert set(READERS) <= set(VALIDATORS)


# The page


def shape_of(table: Table) -> tuple[list[str], list[str]]:
    """The columns of a table, and the names of its rows."""
    return list(table.columns), [row[0] for row in table.rows]


def read_tables(section: str) -> list[Table]:
    """The tables of a section of the page."""
    tables = re.findall(r"(?:^\|.*\|$\n?)+", read_section(section), re.MULTILINE)
    return [Table(columns, rows) for columns, _, *rows in ([_cells(line) for line in text.splitlines()] for text in tables)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


@pytest.mark.parametrize("name", list(show(make_figures())))
def test_the_page_has_the_tables_that_the_benchmark_makes(name: str) -> None:
    made = show(make_figures())[name]
    (table,) = read_tables(name)
    assert shape_of(table) == shape_of(made)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert all(cell for row in table.rows for cell in row) or name == "faults"


def test_the_page_has_the_tables_of_the_large_file_and_of_the_container() -> None:
    shape = Shape(large.BYTES // large.LINE_BYTES, large.LINE_BYTES)
    (table,) = read_tables("large")
    assert shape_of(table) == shape_of(large.show(shape, Sample(1, 1, 1, 1), large.BYTES))
    (table,) = read_tables("container")
    assert shape_of(table) == shape_of(transform.show("model", [1.0], [1.0]))


@pytest.mark.parametrize("section", ["run", "large", "container", "hosted"])
def test_the_page_says_when_and_on_what_it_was_measured(section: str) -> None:
    text = read_section(section)
    assert re.match(r"Measured on \d{4}-\d\d-\d\d: ", text)
    assert re.search(r"\d+ cores \(.*\), \d+ GiB, Linux [\d.]+, Python 3\.\d+\.\d+; \w+ [\d.]+", text)


def test_the_page_counts_what_check_file_misses_as_its_table_does() -> None:
    (table,) = read_tables("faults")
    place = list(table.columns).index(READERS["check_file"])
    missing = sum(not row[place] for row in table.rows)
    assert f"misses {missing} of {len(table.rows)} kinds" in PAGE.read_text()


# Through the whole system


def span(execution: str, state: str, begun: float, ended: float) -> Span:
    return Span(f"batch_x-{execution}", state, begun, ended)


def test_the_stages_of_a_run_add_up_to_it() -> None:
    """Job 2 still uploads while job 1 waits: that counts as upload. Between 14 and 16 nothing is done but planned."""
    spans = [
        *(
            span("a1", "Plan round", 3, 4),
            span("a1", "Wait", 4, 15),
            span("a1", "Assemble", 16, 17),
            span("a1", "Announce", 17, 18),
        ),
        *(span("r1-j1-a1", "Submit", 4, 5), span("r1-j1-a1", "Wait for results", 5, 8), span("r1-j1-a1", "Collect", 8, 11)),
        *(span("r1-j2-a1", "Submit", 4, 7), span("r1-j2-a1", "Poll", 7, 10), span("r1-j2-a1", "Collect", 10, 14)),
    ]
    assert hosted.split_time(1, spans) == {
        "validate": 2,
        "upload": 3,
        "wait": 3,
        "download": 4,
        "assemble": 2,
        "rest": 3,
    }


def test_both_are_beside_each_other_and_the_ratio_is_that_of_a_round() -> None:
    stages = ("drop", *hosted.split_time(0, [span("a1", "Wait", 1, 2)]))
    client = {"upload": 1.0, "create": 1.0, "wait": 1.0, "download": 1.0}
    rounds = [hosted.Round(dict.fromkeys(stages, seconds), client) for seconds in (1.0, 0.5, 4.0)]
    table = hosted.show(rounds)
    assert {row[0]: tuple(row[1:]) for row in table.rows[-4:]} == {
        "plan, follow": ("1.00", ""),
        "**in all**": ("7.00", "4.00"),
        "single rounds": (f"{write_ratio(0.875)} to {write_ratio(7.0)}", ""),
        "": (write_ratio(1.75), f"at most 2 {TIMES}: met"),
    }
    assert [row[2] for row in table.rows[:3]] == ["", "", "2.00"], "its create is part of the upload"


def test_no_two_rounds_send_the_same_bytes(tmp_path: Path) -> None:
    first, second = (hosted.write_file(tmp_path, 20, number).read_bytes() for number in (1, 2))
    assert first != second
    assert first.replace(b"round01-", b"") == second.replace(b"round02-", b"")
    assert hosted.LINE_BYTES * 50_000 < 100_000_000


def test_a_section_of_the_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n")
    write_section("x", r"new \1", page)
    assert read_section("x", page) == r"new \1"
    assert page.read_text() == "a\n<!-- x: begin -->\nnew \\1\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n"
    with pytest.raises(ValueError, match="markers of z"):
        write_section("z", "text", page)
