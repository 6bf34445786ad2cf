"""README and docs say what the code does: codes, options, parameters, states, examples, links, commands, figures."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slacktide import dead_letters, keys
from slacktide.batch import Batch, Failure, Job, Notice, ObjectRef, Options, StatusChange
from slacktide.codes import CLASSES
from slacktide.ids import RequestId
from slacktide.notifications import DETAIL_TYPES, JOB_DETAIL_TYPES, build_event, build_job_event, latest_document
from slacktide.options import read_options
from slacktide.results import ErrorBody, write_result
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus, JobNotice, JobState
from slacktide.steps import grow
from slacktide_cli.manual.commands import find_commands
from slacktide_cli.verbs import run
from template.document import read_template

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PARAMETERS = (ROOT / "docs" / "parameters.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("events/*.md")])
MACHINES = ("batch", "job")
TEMPLATE = read_template()


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def find_section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start, heading
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(text, start.end())
    return text[start.end() : end.start() if end else None]


def read_rows(text: str) -> list[list[str]]:
    """The cells of the tables' rows whose first cell begins with code, without backticks in the first."""
    rows = re.findall(r"^\| *(`.*) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def unquote(cell: str) -> str:
    return cell.strip("`")


def read_code(text: str) -> Iterator[str]:
    """What is written as code: in fences, indented, or between backticks."""
    yield from re.findall(r"^```[^\n]*\n(.*?)^\s*```", text, re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", text)


def read_states(machine: str) -> dict[str, Any]:
    """All states of a machine by name, those inside a Map included."""
    definition = json.loads((ROOT / "statemachine" / f"{machine}.asl.json").read_text())
    inner = [state["ItemProcessor"]["States"] for state in definition["States"].values() if "ItemProcessor" in state]
    return {name: state for states in [definition["States"], *inner] for name, state in states.items()}


# Tables


def test_the_readme_has_every_code_with_its_class() -> None:
    documented = {unquote(row[0]): unquote(row[1]) for row in read_rows(find_section(README, "Codes"))}
    assert documented == {str(code): str(kind) for code, kind in CLASSES.items()}


def test_the_readme_has_every_option_with_its_default() -> None:
    documented = {unquote(row[0]): unquote(row[1]) for row in read_rows(find_section(README, "Options of a file"))}
    assert set(documented) == {field.replace("_", "-") for field in Options.__struct_fields__}
    settings = Settings(bucket="b", table="t", event_bus="e")
    given = {name: default for name, default in documented.items() if default != "none"}
    assert read_options(given, settings, 0) == Options()


def test_every_documented_option_is_read() -> None:
    settings = Settings(bucket="b", table="t", event_bus="e")
    for row in read_rows(find_section(README, "Options of a file")):
        refused = read_options({unquote(row[0]): "\n"}, settings, 0)
        assert isinstance(refused, Failure)
        assert unquote(row[0]) in refused.message


def test_the_readme_names_every_option_of_run() -> None:
    options = [parameter for parameter in find_commands()["run"].params if parameter.param_type_name == "option"]
    assert len(options) == len(inspect.signature(run.run).parameters) - 1, "all but the file"
    assert [option.opts[0] for option in options if f"`{option.opts[0]}`" not in README] == []


def test_the_readme_names_every_verb() -> None:
    assert [name for name in find_commands() if not re.search(rf"\bslacktide {name}\b", README)] == []


def test_the_command_has_every_option_of_a_file() -> None:
    assert [name for name in Options.__struct_fields__ if name not in inspect.signature(run.run).parameters] == []


def test_every_parameter_is_documented_with_default_and_bounds() -> None:
    documented = {unquote(row[0]): row[1:3] for row in read_rows(PARAMETERS) if len(row) == 4}
    parameters = TEMPLATE["Parameters"]
    assert set(documented) == set(parameters)
    for name, (default, allowed) in documented.items():
        parameter = parameters[name]
        assert default == ("empty" if parameter["Default"] == "" else f"`{parameter['Default']}`"), name
        if "AllowedValues" in parameter:
            assert allowed == ", ".join(f"`{value}`" for value in parameter["AllowedValues"]), name
        elif "MinValue" in parameter:
            assert allowed == f"{parameter['MinValue']} to {parameter['MaxValue']}", name


def test_every_output_is_documented() -> None:
    documented = re.findall(r"`(\w+)`", "\n".join(row[0] for row in read_rows(find_section(PARAMETERS, "Outputs"))))
    assert sorted(documented) == sorted(TEMPLATE["Outputs"])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_of_a_machine_is_in_the_architecture(machine: str) -> None:
    rows = read_rows(find_section(ARCHITECTURE, f"The machine `{machine}`"))
    assert [unquote(row[0]) for row in rows] == list(dict.fromkeys(order_of_states(machine)))


def order_of_states(machine: str) -> Iterator[str]:
    """The names of the states as the definition lists them; those of a Map behind it."""
    definition = json.loads((ROOT / "statemachine" / f"{machine}.asl.json").read_text())
    for name, state in definition["States"].items():
        yield name
        yield from state.get("ItemProcessor", {}).get("States", {})


def test_every_status_and_every_event_is_in_the_architecture() -> None:
    section = find_section(ARCHITECTURE, "Status")
    assert [status for status in BatchStatus if not re.search(rf"\b{status}\b", section)] == []
    names = [*DETAIL_TYPES.values(), *JOB_DETAIL_TYPES.values()]
    assert [name for name in names if f"`{name}`" not in find_section(ARCHITECTURE, "Events")] == []
    assert [state for state in JobState if f"`{state}`" not in find_section(ARCHITECTURE, "latest.json")] == []


# Examples of documents

BATCH_ID = "batch_k5xq2mzt7vb4hn6jw3ryopdcfa"
STATUSES = ("validating", "queued", "in_progress", "finalizing", "completed")
BATCH = Batch(
    batch_id=BATCH_ID,
    owner="drop",
    status=BatchStatus.COMPLETED,
    input=ObjectRef("BUCKET", "input/may.jsonl", "3HL4kqtJlcpXroDTDmJ", 4_082),
    created_at=0,
    deadline=86_400,
    history=[StatusChange(BatchStatus(status), 0) for status in STATUSES],
    options=Options(tag="nightly"),
)
JOB = Job(
    batch_id=BATCH_ID, job_id="r1-j1", round=1, backend="sagemaker", model="m", upstream_model="m", endpoint="/v1/completions",
    group="g1", first=1, last=40, total=34, created_at=0, notices=[Notice(JobNotice.STUCK, 0)],
)  # fmt: skip


def read_example(name: str) -> dict[str, Any]:
    (text,) = re.findall(rf"^```json {name}\n(.*?)^```", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    return json.loads(text)


def shape(value: object) -> object:
    """The names of a document's fields, at all depths, in order."""
    if isinstance(value, dict):
        return {name: shape(entry) for name, entry in value.items()}
    return [shape(entry) for entry in value] if isinstance(value, list) else None


def plain(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def write_dead_letter() -> dict[str, Any]:
    error = {"code": "model_not_found"}
    line = msgspec.convert({"id": f"{BATCH_ID}.0.23", "custom_id": "x", "line": 23, "error": error}, dead_letters._ErrorLine)
    return json.loads(dead_letters._body(BATCH, line, BATCH.results.errors, 614, 821))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("event", lambda: plain(build_event(BATCH, 5))),
        ("job-event", lambda: plain(build_job_event(BATCH, JOB, 1))),
        ("latest", lambda: plain(latest_document(BATCH, [JOB], 0))),
        ("dead-letter", write_dead_letter),
    ],
)
def test_an_example_has_the_fields_of_what_is_written(name: str, make: Callable[[], dict[str, Any]]) -> None:
    example, written = read_example(name), make()
    assert shape(example) == shape(written)
    assert list(example) == list(written)


def test_the_examples_have_the_keys_and_ids_that_are_made() -> None:
    data = read_example("event")["data"]
    assert data["output"] == build_event(BATCH, 5)["data"]["output"]
    assert read_example("event")["metadata"]["event_id"] == build_event(BATCH, 5)["metadata"]["event_id"]
    assert read_example("latest")["output"]["prefix"] == BATCH.results.prefix
    assert read_example("dead-letter") | {"custom_id": "x"} == write_dead_letter()


def test_the_lines_in_the_readme_have_the_fields_of_result_lines() -> None:
    lines = [json.loads(line) for line in re.findall(r'^(\{"id": .*)$', README, re.MULTILINE)]
    assert len(lines) == 3
    for line in lines:
        assert tuple(line) == tuple(json.loads(write_result(RequestId("batch", 1, 1), None, None)))
        assert set(line["error"] or {}) <= set(ErrorBody.__struct_fields__)
        assert line["id"].endswith(f".{line['line']}")


def test_the_readme_has_the_keys_of_the_results() -> None:
    results = keys.ResultKeys(keys.input_path("input/evaluations/may.jsonl"), "<batch id>")
    section = find_section(README, "What you get")
    for key in (results.output, results.errors, results.receipt, results.manifest, keys.latest(results.path)):
        assert f"    {key} " in section


# Figures

TIMES = "\N{MULTIPLICATION SIGN}"


def count_turns(seconds: int) -> int:
    """Turns of a waiting loop until `seconds` are over, with the template's defaults."""
    first, longest = (TEMPLATE["Parameters"][name]["Default"] for name in ("FirstWaitSeconds", "LongestWaitSeconds"))
    now = wait = turns = 0
    while now < seconds:
        wait = grow(wait, first=first, longest=longest, ends=[], now=now)
        now += wait
        turns += 1
    return turns


@pytest.mark.parametrize(("window", "seconds"), [("1 hour", 3_600), ("24 hours", 86_400), ("7 days", 604_800)])
def test_the_history_of_a_window_is_computed(window: str, seconds: int) -> None:
    turns = count_turns(seconds)
    assert f"| {window} | {turns} | {turns * 9} |" in ARCHITECTURE
    assert turns * 9 < 25_000


PATHS = {
    ("batch", "before the first wait"): ["Plan round", "Any jobs?", "Start jobs", "Wait"],
    ("batch", "each turn"): ["Wait", "Follow round", "Round settled?", "Wait"],
    ("batch", "after the last turn"): [
        "Plan round", "Any jobs?", "Assemble", "Assembled?", "Dead-letter", "All sent?",
        "Announce", "Batch failed?", "Batch ended",
    ],
    ("job", "up to the first wait"): [
        "Begin", "Submit", "Input written?", "Submit", "Input written?", "Submitted?", "Wait for results",
    ],
    ("job", "each turn"): ["Wait for results", "Poll", "Finished?", "Wait for results"],
    ("job", "after the last turn"): ["Collect", "Collected?", "Job settled"],
}  # fmt: skip


@pytest.mark.parametrize(("machine", "part"), PATHS)
def test_the_transitions_in_the_readme_are_those_of_the_machines(machine: str, part: str) -> None:
    states, path = read_states(machine), PATHS[machine, part]
    for state, following in pairwise(path):
        assert following in targets_of(states[state]), (state, following)
    entered = len(path) if "Type" in states[path[-1]] and states[path[-1]]["Type"] == "Succeed" else len(path) - 1
    (row,) = re.findall(rf"^\| machine `{machine}`, {part}[^|]* \| (\d+)", README, re.MULTILINE)
    assert int(row) == entered


def targets_of(state: dict[str, Any]) -> set[str]:
    choices = {choice["Next"] for choice in state.get("Choices", [])}
    return {state[name] for name in ("Next", "Default") if name in state} | choices


def test_the_sum_of_transitions_in_the_readme() -> None:
    turns = count_turns(3_600)
    batch, job = 3 + 1 + 3 * turns + 9, 6 + 3 * turns + 3
    assert f"takes {turns} turns" in README
    total = f"(3 + 1 + 3 {TIMES} {turns} + 9) + (6 + 3 {TIMES} {turns} + 3) = {batch} + {job} = {batch + job} transitions"
    assert total in README


def test_the_invocations_of_sweep_in_the_readme() -> None:
    assert TEMPLATE["Parameters"]["SweepSchedule"]["Default"] == "rate(5 minutes)"
    assert f"12 {TIMES} 24 = {12 * 24} short invocations" in README


# Links, commands, paths


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked.read_text()), target


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {target for code in read_code(page.read_text()) for target in re.findall(r"\bmake ([a-z-]+)", code)}
    assert mentioned <= targets


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_path_in_the_repository_exists(page: Path) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"results"}
    for code in read_code(page.read_text()):
        for path in re.findall(r"(?<![\w/.<-])[\w.-]+/[\w./-]*\w", code):
            if path.partition("/")[0] in folders:
                assert (ROOT / path).exists(), path


# Absolute paths that users meet: of the container, of HTTP endpoints, of log groups, of Git hosting.
KNOWN_ROOTS = {"openai", "opt", "v1", "aws", "ping", "invocations", "execution-parameters"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_page_mentions_a_path_of_a_machine(page: Path) -> None:
    roots = re.findall(r"(?:^|[\s`\"'(=])(?:file://)?/([\w.~-]+)", page.read_text(), re.MULTILINE)
    assert set(roots) <= KNOWN_ROOTS


def test_the_newest_version_is_in_the_changelog() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == version[1]


def test_decisions_are_dated_and_say_how_to_undo_them() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text()
    entries = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"\d{4}-\d{2}-\d{2}: \S", entry), entry.splitlines()[0]
        assert "\n*Undo:* " in entry, entry.splitlines()[0]
