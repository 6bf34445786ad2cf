"""The line reader against Python's `json`: what it accepts is what `json.loads` accepts, but for the differences in one table."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from properties.odd_lines import END, FIELD, FRAGMENTS, GOOD, HOLES, LINES, NAME, NOTE, TEXT
from slacktide.codes import Code
from slacktide.faults import Fault
from slacktide.json_text import MOST_DEPTH, MOST_NAMES
from slacktide.lines import BOM, LONGEST_LINE, Line
from slacktide.models import shipped_models
from slacktide.validation import LONGEST_BODY, Checker, Request

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text()
CHECKER = Checker(shipped_models().find, lambda model: model.route)
NOT_READABLE = frozenset({Code.INVALID_JSON_LINE, Code.INVALID_ENCODING})


# Where we are stricter than Python's json, and never the other way round


@dataclass
class Reading:
    """What Python's json meets in a line that it accepts."""

    value: Any = None
    constants: int = 0
    repeated: bool = False
    names: int = 0
    endless: bool = False
    texts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, line: bytes) -> "Reading | None":
        """None where `json.loads` refuses the line."""
        reading = cls()
        try:
            reading.value = json.loads(
                line,
                object_pairs_hook=reading._take_object,
                parse_constant=reading._take_constant,
                parse_float=reading._take_float,
                parse_int=reading._take_integer,
            )
        except (ValueError, RecursionError):
            return None
        reading._take_texts(reading.value)
        return reading

    def _take_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        self.names = max(self.names, len(names))
        self.repeated |= len(set(names)) < len(names)
        self.texts += names
        for _, value in pairs:
            self._take_texts(value)  # of a name that stands twice, json keeps the last value only
        return dict(pairs)

    def _take_constant(self, _: str) -> None:
        self.constants += 1

    def _take_float(self, text: str) -> float:
        self.endless |= math.isinf(float(text))
        return float(text)

    def _take_integer(self, text: str) -> int:
        self.endless |= math.isinf(float(text))
        return int(text)

    def _take_texts(self, value: Any) -> None:
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list):
            for entry in value:
                self._take_texts(entry)


def depth_of(line: bytes) -> int:
    """How many arrays and objects are open at the deepest place; brackets in text do not count."""
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)
    depth = deepest = 0
    for byte in bare:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def has_lone_surrogate(reading: Reading) -> bool:
    return any("\ud800" <= character <= "\udfff" for text in reading.texts for character in text)


@dataclass(frozen=True)
class Difference:
    """A kind of line that Python's json accepts and Slacktide refuses, with an example."""

    what: str  # as in the table of docs/architecture.md
    code: Code
    examples: list[bytes]
    applies: Callable[[bytes, Reading], bool]


DIFFERENCES = [
    Difference(
        "a name that stands twice in one object",
        Code.INVALID_JSON_LINE,
        [FIELD % b'{"a":1,"a":1}', NOTE % b'[{"":0,"\\u0061":0,"a":0}]', NAME % b"model"],
        lambda _, reading: reading.repeated,
    ),
    Difference(
        "`NaN`, `Infinity`, `-Infinity`",
        Code.INVALID_JSON_LINE,
        [FIELD % b"NaN", FIELD % b"[-Infinity]", NOTE % b"Infinity"],
        lambda _, reading: reading.constants > 0,
    ),
    Difference(
        "a number beyond a double, such as `1e400`",
        Code.INVALID_JSON_LINE,
        [FIELD % b"1e400", FIELD % b"-1E+999", NOTE % b"[1e309]", FIELD % (b"9" * 5_000 + b".5"), NOTE % (b"9" * 310)],
        lambda _, reading: reading.endless,
    ),
    Difference(
        "more than 100 arrays and objects inside each other",
        Code.INVALID_JSON_LINE,
        [FIELD % (b"[" * MOST_DEPTH + b"]" * MOST_DEPTH), NOTE % (b'{"a":' * MOST_DEPTH + b"0" + b"}" * MOST_DEPTH)],
        lambda line, _: depth_of(line) > MOST_DEPTH,
    ),
    Difference(
        "an object of more than 10,000 names",
        Code.INVALID_REQUEST,
        [template % (b"{" + b",".join(b'"%d":0' % n for n in range(MOST_NAMES + 1)) + b"}") for template in (FIELD, NOTE)],
        lambda _, reading: reading.names > MOST_NAMES,
    ),
    Difference(
        "half of a surrogate pair as an escape, such as `\\ud800`",
        Code.INVALID_JSON_LINE,
        [TEXT % b"\\ud800", TEXT % b"\\udc00\\ud800", NAME % b"\\udfff", NOTE % b'["\\ud83d"]', FIELD % b'{"a":"\\udfff","a":1}'],
        lambda _, reading: has_lone_surrogate(reading),
    ),
    Difference(
        "half of a surrogate pair as bytes (`ED A0 80`)",
        Code.INVALID_ENCODING,
        [TEXT % b"\xed\xa0\x80", NOTE % b'"\xed\xbf\xbf"'],
        lambda line, _: json.detect_encoding(line) == "utf-8" and not is_utf8(line),
    ),
    Difference(
        "UTF-16, UTF-32",
        Code.INVALID_ENCODING,
        [GOOD.decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")],
        lambda line, _: json.detect_encoding(line).startswith(("utf-16", "utf-32")),
    ),
    Difference(
        "a byte order mark, but at the start of the file",
        Code.INVALID_JSON_LINE,
        [BOM + GOOD],
        lambda line, _: line.startswith(BOM),
    ),
    Difference(
        "a line of more than 10,000,000 bytes, or a body of more than 9,999,800",
        Code.LINE_TOO_LONG,
        [TEXT % (b"x" * LONGEST_LINE), TEXT % (b"x" * LONGEST_BODY)],
        lambda line, _: len(line) > LONGEST_BODY,
    ),
]


def differences_of(line: bytes) -> list[Difference] | None:
    """The differences that apply to a line; None where Python's json refuses it too."""
    reading = Reading.of(line)
    return None if reading is None else [entry for entry in DIFFERENCES if entry.applies(line, reading)]


def check(line: bytes, checker: Checker = CHECKER) -> Request | Fault:
    return checker.check(Line(2, None if len(line) > LONGEST_LINE else line, len(line)))


def codes_of(outcome: Request | Fault) -> set[Code]:
    """The codes of all problems of a line."""
    if isinstance(outcome, Request):
        return set()
    return {outcome.code, *(problem.code for problem in outcome.others)}


@pytest.mark.parametrize("entry", DIFFERENCES, ids=lambda entry: entry.what)
def test_a_difference_is_one(entry: Difference) -> None:
    for line in entry.examples:
        assert entry in (differences_of(line) or []), "Python's json accepts it"
        assert entry.code in codes_of(check(line)), line[:120]


@pytest.mark.parametrize(
    "line",
    [
        FIELD % (b"[" * (MOST_DEPTH - 2) + b"]" * (MOST_DEPTH - 2)),
        FIELD % (b"{" + b",".join(b'"%d":0' % n for n in range(MOST_NAMES)) + b"}"),
        TEXT % (b"x" * (LONGEST_BODY - len(TEXT) + 2)),
        FIELD % b"1.7976931348623157e308",
        FIELD % (b"9" * 300),
        TEXT % b"\\ud83d\\ude00",
    ],
    ids=["depth", "names", "length", "biggest double", "300 digits", "pair"],
)
def test_what_is_just_within_a_limit_is_accepted(line: bytes) -> None:
    assert differences_of(line) == []
    assert isinstance(check(line), Request)


def test_depth_does_not_depend_on_how_deep_the_caller_is() -> None:
    """Python and msgspec count the frames of the caller too: the same line must not be good here and bad there."""
    line = FIELD % (b"[" * (MOST_DEPTH - 2) + b"]" * (MOST_DEPTH - 2))

    def call(frames: int) -> Request | Fault:
        return call(frames - 1) if frames else check(line)

    assert isinstance(call(700), Request)


def test_the_documented_differences_are_these() -> None:
    section = PAGE.partition("\n## The JSON of a line\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| `(\w+)` \|$", section, re.MULTILINE)
    assert rows == [(entry.what, str(entry.code)) for entry in DIFFERENCES]


# Generated lines


@given(LINES)
@example(b"")
@example(b"[")
@example(END % b"}")
@example(FIELD % b"[1e400]")
@example(FIELD % b'"\\ud800\\u0041"')
def test_what_runs_is_what_python_reads_without_a_difference(line: bytes) -> None:
    differences = differences_of(line)
    outcome = check(line)
    if isinstance(outcome, Request):
        assert differences == []
        assert json.loads(outcome.body) == json.loads(line)["body"]
        assert outcome.body in line
    if differences == []:
        assert not codes_of(outcome) & NOT_READABLE, outcome


@given(st.sampled_from(HOLES[:2]), FRAGMENTS.map(lambda fragment: fragment.replace(b"\n", b" ")))
def test_in_a_good_request_json_alone_decides(hole: bytes, fragment: bytes) -> None:
    """Where nothing but the value of an unknown field is at stake, the verdict and its code are those of the table."""
    line = hole % fragment
    differences = differences_of(line)
    outcome = check(line)
    if differences is None:
        assert codes_of(outcome) & NOT_READABLE
    elif differences:
        assert {entry.code for entry in differences} & codes_of(outcome)
    elif json.loads(line).keys() <= {"note", "custom_id", "body"} and json.loads(line)["body"].keys() == {
        "model",
        "messages",
        "x",
    }:
        assert isinstance(outcome, Request), outcome
