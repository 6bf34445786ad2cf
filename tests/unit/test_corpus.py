"""Nasty files: `slacktide validate` and the pipeline report what the rules say, whatever the blocks in which a file comes.

That both say it in the same words, and plan the same jobs, test_cli_preflight.py shows with the same files.
"""

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.world import Outcome, World, jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.batch import Failure, Options
from slacktide.codes import CLASSES, Code, CodeClass
from slacktide.lines import LONGEST_LINE
from slacktide.models import shipped_models
from slacktide.options import read_options
from slacktide.validation import LONGEST_BODY
from slacktide_cli import app
from slacktide_cli.preflight import Report, examine
from slacktide_cli.reports import build_document

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NAMES = sorted(path.stem for path in CORPUS.glob("*.jsonl"))
MODELS = shipped_models()

Problem = tuple[int, int | None, str, str | None]  # line, column, code, param


@dataclass(frozen=True)
class Expected:
    """What stands in `<name>.expected.json`."""

    about: str
    total: int
    invalid: int
    failure: str | None
    problems: list[Problem]
    options: dict[str, str]

    @classmethod
    def of(cls, name: str) -> "Expected":
        read = json.loads((CORPUS / f"{name}.expected.json").read_text())
        problems = [(entry["line"], entry["column"], entry["code"], entry["param"]) for entry in read["problems"]]
        return cls(read["about"], read["total"], read["invalid"], read["failure"], problems, read.get("options", {}))


def content_of(name: str) -> bytes:
    return (CORPUS / f"{name}.jsonl").read_bytes()


def by_place(problems: Iterable[Problem]) -> list[Problem]:
    """Problems in an order of their own, so that it does not matter which of a line is found first."""
    return sorted(problems, key=lambda problem: (problem[0], problem[2], str(problem[3]), problem[1] or 0))


def problems_of(faults: Iterable[dict[str, Any]]) -> list[Problem]:
    return by_place((fault["line"], fault["column"], fault["code"], fault["param"]) for fault in faults)


def problems_in(outcome: Outcome) -> list[Problem]:
    """The problems in an error file, without the good lines of a batch that did not run."""
    return by_place(
        (line["line"], problem.get("column"), problem["code"], problem.get("param"))
        for line in outcome.errors
        if line["error"]["code"] != "batch_failed"
        for problem in (line["error"], *line["error"].get("others", []))
    )


def validate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> tuple[int, dict[str, Any]]:
    """`slacktide validate --json` on a file of the corpus: exit code, and what it says about the file."""
    options = [word for key, value in Expected.of(name).options.items() for word in (f"--{key}", value)]
    arguments = ["slacktide", "validate", str(CORPUS / f"{name}.jsonl"), "--json", "--faults", "100000", *options]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        app.main()
    (document,) = json.loads(capsys.readouterr().out)["files"]
    return int(ended.value.code or 0), document


def blocks_of(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def look(blocks: Iterable[bytes], options: Options | None = None) -> Report:
    return examine(blocks, name="a.jsonl", models=MODELS, options=options or Options(), most=200_000)


# The committed files


@pytest.mark.parametrize("name", NAMES)
def test_the_command_reports_what_the_rules_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    wanted = Expected.of(name)
    code, document = validate(monkeypatch, capsys, name)
    assert problems_of(document["faults"]) == by_place(wanted.problems), wanted.about
    assert (document["total"], document["invalid"]) == (wanted.total, wanted.invalid)
    assert (document["failure"] or {}).get("code") == wanted.failure
    assert code == (1 if wanted.failure or wanted.invalid else 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_pipeline_reports_what_the_rules_say(world: World, name: str) -> None:
    wanted = Expected.of(name)
    outcome = world.process(content_of(name), **{key.replace("-", "_"): value for key, value in wanted.options.items()})
    assert problems_in(outcome) == by_place(wanted.problems), wanted.about
    assert (outcome.batch.total, outcome.batch.invalid) == (wanted.total, wanted.invalid)
    assert (outcome.batch.failure.code if outcome.batch.failure else None) == wanted.failure
    bad = {problem[0] for problem in wanted.problems}
    good = [] if wanted.failure else [line for line in range(1, wanted.total + 1) if line not in bad]
    assert [line["line"] for line in outcome.output] == good
    assert len(outcome.output) + len(outcome.errors) == wanted.total


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_of_a_file_do_not_matter(name: str) -> None:
    content, options = content_of(name), read_options(Expected.of(name).options, World().settings, 0)
    assert not isinstance(options, Failure)
    whole = build_document(name, look([content] if content else [], options))
    for size in (5, 64, 1_000):  # the first block tells the format: it has at least the four bytes of its mark
        assert build_document(name, look(blocks_of(content, size), options)) == whole, f"in blocks of {size} bytes"


def test_every_file_has_its_report_and_says_what_it_is_about() -> None:
    assert {path.name.removesuffix(".expected.json") for path in CORPUS.glob("*.expected.json")} == set(NAMES)
    assert [name for name in NAMES if not Expected.of(name).about.endswith(".")] == []
    assert len(NAMES) > 50


def test_the_corpus_has_every_code_of_a_line() -> None:
    found = {problem[2] for name in NAMES for problem in Expected.of(name).problems}
    elsewhere = {Code.LINE_TOO_LONG, Code.NO_BACKEND_FOR_MODEL}  # a big file, below; and a stack without backends
    assert found | elsewhere == {code for code in Code if CLASSES[code] is CodeClass.INVALID_LINE}


def test_no_report_says_what_a_line_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of fields are told; what the user wrote as text is not."""
    for name in NAMES:
        _, document = validate(monkeypatch, capsys, name)
        told = " ".join(fault["message"] for fault in document["faults"])
        assert [
            text for text in ("robot", "gpt-4o", "nobody", "iVBOR", "example.com", "openai.com", "What is") if text in told
        ] == []


# The big ones, made here

GOOD, LONE = jsonl(request("good")), jsonl(request("lone")).removesuffix(b"\n")
HEAD = b'{"custom_id": "big", "body": {"model": "smollm2", "messages": [{"role": "user", "content": "'
END = b'"}]}}'
OPEN = b'{"custom_id": "big", "body": {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "x": '
LONGEST_GOOD = LONGEST_BODY + HEAD.index(b'{"model"') + len(b"}")  # of lines that begin with HEAD
MEGA = b"x" * 1_000_000


def padded(length: int) -> bytes:
    """A good line of exactly that many bytes."""
    return HEAD + b"x" * (length - len(HEAD) - len(END)) + END


def bombs(depth: int, opening: bytes, closing: bytes) -> bytes:
    return OPEN + opening * depth + b"0" + closing * depth + b"}}"


@dataclass(frozen=True)
class Big:
    """A line that is too much, and the code of its first problem; None: it is good."""

    make: Callable[[], bytes]
    code: str | None
    seconds: float = 3  # of the processor; far more than it takes, far less than a blow-up would


BIG: dict[str, Big] = {
    "the longest line": Big(lambda: padded(LONGEST_GOOD), None),
    "one byte more": Big(lambda: padded(LONGEST_GOOD + 1), "line_too_long"),
    "one byte more than a line may have": Big(lambda: padded(LONGEST_LINE + 1), "line_too_long"),
    "a line of 50 MB": Big(lambda: padded(50_000_000), "line_too_long"),
    "50 MB of nothing that ends": Big(lambda: b"x" * 50_000_000, "line_too_long"),
    "a number of 5,000 digits": Big(lambda: OPEN + b"9" * 5_000 + b"}}", "invalid_json_line"),
    "a number of 5,000,000 digits": Big(lambda: OPEN + b"9" * 5_000_000 + b"}}", "invalid_json_line"),
    "a fraction of 5,000,000 digits": Big(lambda: OPEN + b"0." + b"3" * 5_000_000 + b"}}", None),
    "100,000 arrays in each other": Big(lambda: bombs(100_000, b"[", b"]"), "invalid_json_line"),
    "100,000 objects in each other": Big(lambda: bombs(100_000, b'{"a":', b"}"), "invalid_json_line"),
    "4,000,000 arrays in each other": Big(lambda: bombs(4_000_000, b"[", b"]"), "invalid_json_line"),
    "5,000,000 brackets and no more": Big(lambda: b"[" * 5_000_000, "invalid_json_line"),
    "half a bomb in a field that nobody reads": Big(lambda: b'{"note": ' + b"[" * 100_000, "invalid_json_line"),
    "a million names": Big(lambda: OPEN + b"{" + b",".join(b'"%d":0' % n for n in range(800_000)) + b"}}}", "invalid_request"),
    "a million equal names": Big(lambda: OPEN + b"{" + b'"a":0,' * 1_000_000 + b'"b":0}}}', "invalid_json_line"),
    "a million empty objects": Big(lambda: OPEN + b"[" + b"{}," * 1_000_000 + b"{}]}}", None, seconds=10),
    "100,000 messages": Big(
        lambda: OPEN[: -len(b'}], "x": ')] + b"}" + b',{"role":"user","content":"Hi"}' * 100_000 + b"]}}", None, seconds=10
    ),
    "100,000 bad messages": Big(lambda: OPEN[: -len(b'}], "x": ')] + b"}" + b",{}" * 100_000 + b"]}}", "invalid_request"),
    "1,000,000 bad parts": Big(
        lambda: HEAD[: -len(b'"')] + b"[" + b"0," * 1_000_000 + b"0" + END.removeprefix(b'"').replace(b"}", b"]}", 1),
        "invalid_request",
    ),
    "1,000,000 bad tokens": Big(lambda: OPEN[: -len(b'x": ')] + b'stop":[' + b"0," * 1_000_000 + b"0]}}", "invalid_request"),
    "a million escapes": Big(lambda: HEAD + b"\\u00e9" * 1_000_000 + END, None),
    "a long custom_id": Big(lambda: padded(5_000_000).replace(b'"big"', b'"' + MEGA + b'"'), "invalid_custom_id"),
    "a long role": Big(lambda: LONE.replace(b'"user"', b'"' + MEGA + b'"'), "invalid_request"),
    "a long url": Big(lambda: LONE.replace(b'"body"', b'"url": "' + MEGA + b'", "body"'), "url_mismatch"),
}


@pytest.mark.parametrize("name", BIG)
def test_a_big_line_is_one_fault_and_costs_little(world: World, name: str) -> None:
    big = BIG[name]
    content = big.make() + b"\n" + GOOD
    started = time.process_time()
    report = look(blocks_of(content, 1 << 16))
    assert time.process_time() - started < big.seconds
    wanted = [] if big.code is None else [(1, big.code)]
    document = build_document("a.jsonl", report)
    assert [(fault.line, fault.code) for fault in document.faults][:1] == wanted
    assert {fault.line for fault in document.faults} <= {1}
    assert sum(len(fault.message) for fault in document.faults) < 20_000
    assert (report.total, report.invalid) == (2, len(wanted))
    outcome = world.process(content)
    assert [(line["line"], line["error"]["code"]) for line in outcome.errors] == wanted
    assert [line["line"] for line in outcome.output] == [line for line in (1, 2) if line > len(wanted)]


def test_a_line_without_end_takes_no_memory() -> None:
    tracemalloc.start()
    report = look(MEGA for _ in range(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.codes == {"line_too_long": 1}
    assert peak < 3 * LONGEST_LINE


REPEATS = 100_000


def test_100_000_repeats_of_one_id_are_99_999_faults() -> None:
    started = time.process_time()
    report = look(GOOD * 1_000 for _ in range(REPEATS // 1_000))
    assert time.process_time() - started < 20
    assert (report.total, report.codes) == (REPEATS, {"duplicate_custom_id": REPEATS - 1})
    document = build_document("a.jsonl", report)
    assert [fault.line for fault in document.faults] == list(range(2, REPEATS + 1))
    assert {fault.message.partition("line 1 ")[1] for fault in document.faults} == {"line 1 "}, "each names the first one"


def test_100_000_blank_lines_are_lines_only_in_front_of_another() -> None:
    assert look([GOOD, b"\n" * REPEATS]).total == 1
    report = look([GOOD, b"\n" * REPEATS, GOOD.replace(b"good", b"last")])
    assert (report.total, report.invalid, report.codes) == (REPEATS + 2, REPEATS, {"invalid_json_line": REPEATS})


def test_a_file_above_every_limit_of_a_backend_is_split_and_stays_one_batch(world: World) -> None:
    """50,001 lines at a backend that takes 50,000 to a job."""
    world.backend.limits = Limits(object_lines=25_001, object_bytes=100_000_000, job_requests=50_000)
    lines = 50_001
    outcome = world.process(b"".join(GOOD.replace(b"good", b"%d" % number) for number in range(lines)))
    assert [job.total for job in world.records.jobs(outcome.batch.batch_id)] == [25_000, 25_001]
    assert [line["custom_id"] for line in outcome.output] == [str(number) for number in range(lines)]
    assert outcome.errors == []
