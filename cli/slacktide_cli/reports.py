"""A report on a file: as text for eyes, as a document for scripts."""

import codecs
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta
from rich.cells import cell_len

from slacktide.batch import Failure, Options
from slacktide_cli.preflight import Excerpt, Finding, GroupCount, Report

_INDENT = "    "
_PICTURES = 0x2400  # the block of Unicode that has a visible sign for each ASCII control character
_DELETE, _DELETE_PICTURE = "\x7f", "\u2421"

# What the manual says of the fields with these names.
_CODES = "bad lines by code, the commonest first; a line with several faults counts once for each of their codes"
_WITHOUT_FALLBACK = "the models of the file that own GPUs stand in the route of, and that fit no instance type of them"
_FAULTS = (
    "the first faults, by line; a line may have several. `param` is the field, `column` the 1-based byte; either may be null"
)


class FaultDocument(msgspec.Struct, frozen=True):
    """One thing that is wrong with a line, which may have several; `column` is the 1-based byte of the line.

    Null are the column of a fault without place, and the `param` (the field) of a line that is no JSON.
    """

    line: int
    column: int | None
    code: str
    param: str | None
    message: str


class FileDocument(msgspec.Struct, frozen=True):
    """One file. `unreadable` says why it could not be read; the counts are 0 then. `failure` is that of the batch.

    `without_fallback` are the models that fit no instance type of own GPUs.
    """

    file: Annotated[str, Meta(description="the argument, `-` for the standard input")]
    total: Annotated[int, Meta(description="lines; `valid` + `invalid` is `total`")] = 0
    valid: Annotated[int, Meta(description="lines without a fault")] = 0
    invalid: Annotated[int, Meta(description="lines with faults")] = 0
    runs: Annotated[int, Meta(description="lines that would run; 0 if the file would be refused")] = 0
    jobs: Annotated[int, Meta(description="jobs of the first round; 0 if the file would be refused")] = 0
    groups: Annotated[list[GroupCount], Meta(description="good lines by model id and endpoint")] = []
    codes: Annotated[dict[str, int], Meta(description=_CODES)] = {}
    faults: Annotated[list[FaultDocument], Meta(description=_FAULTS)] = []
    failure: Annotated[Failure | None, Meta(description="of the failed batch, if the file would be refused; else null")] = None
    without_fallback: Annotated[list[str], Meta(description=_WITHOUT_FALLBACK)] = []
    unreadable: Annotated[str | None, Meta(description="why the file could not be read; all else is then 0 or empty")] = None


class Document(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    ok: Annotated[bool, Meta(description="whether the exit code is 0")]
    files: list[FileDocument]
    v: int = 1


def build_document(file: str, report: Report) -> FileDocument:
    """The document of a file. The text of a line is no part of it, since scripts write logs."""
    return FileDocument(
        file=visible(file),
        total=report.total,
        valid=report.total - report.invalid,
        invalid=report.invalid,
        runs=0 if report.failure else report.total - report.invalid,
        jobs=0 if report.failure else len(report.groups),
        groups=report.groups,
        codes={str(code): count for code, count in report.codes.items()},
        faults=[_fault_document(finding) for finding in report.findings],
        failure=report.failure,
        without_fallback=report.without_fallback,
    )


def render_report(file: str, report: Report, options: Options, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a report for a terminal of that encoding; none holds a control character."""
    for line in _render(file, report, options, encoding):
        yield visible(line, encoding)


def visible(text: str, encoding: str = "utf-8") -> str:
    """The text with every character that a terminal would not show, or would obey, replaced by one that it shows."""
    shown = "".join(character if character.isprintable() else _picture(character) for character in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _render(file: str, report: Report, options: Options, encoding: str) -> Iterator[str]:
    good = report.total - report.invalid
    yield f"{file}: {_count(report.total, 'line')}, {good} good, {report.invalid} bad"
    width = len(str(report.total))
    if report.groups:
        yield "  Good lines by model and endpoint:"
    for group in report.groups:
        yield f"{_INDENT}{group.lines:>{width}}  {group.model}  {group.endpoint}"
    if report.codes:
        yield "  Bad lines by code:"
    for code, count in report.codes.items():
        yield f"{_INDENT}{count:>{width}}  {code}"
    if report.findings:
        shown, bad = _count(len(report.findings), "fault"), _count(report.invalid, "bad line")
        yield f"  The first {shown}, of {bad}, as line:column:"
    for finding in report.findings:
        yield from _render_finding(finding, encoding)
    yield from (f"  {sentence}" for sentence in _foresee(report, options))


def _render_finding(finding: Finding, encoding: str) -> Iterator[str]:
    problem = finding.problem
    place = f"{finding.line}:{problem.column}" if problem.column else f"{finding.line}"
    yield f"{_INDENT}{place}  {problem.code}  {problem.message}"
    if finding.excerpt:
        yield from (f"{_INDENT}{_INDENT}{line}" for line in draw_excerpt(finding.excerpt, encoding))


def draw_excerpt(excerpt: Excerpt, encoding: str = "utf-8") -> tuple[str, str]:
    """The line around a column, and a caret below that column, wherever wide and escaped characters move it to."""
    before = ("..." if excerpt.cut_before else "") + visible(_decode(excerpt.before, is_cut=False), encoding)
    after = visible(_decode(excerpt.after, is_cut=excerpt.cut_after), encoding) + ("..." if excerpt.cut_after else "")
    return before + after, " " * cell_len(before) + "^"


def _decode(content: bytes, *, is_cut: bool) -> str:
    """Text, bytes that are not UTF-8 as \\xNN; the beginning of a character at the end is left away if it was cut there."""
    return codecs.getincrementaldecoder("utf-8")("backslashreplace").decode(content, final=not is_cut)


def _foresee(report: Report, options: Options) -> Iterator[str]:
    """What the pipeline would do with the file."""
    if report.failure:
        yield f"Dropped with these options, nothing of it would run: {report.failure.code}: {report.failure.message}"
        return
    good = report.total - report.invalid
    jobs = _count(len(report.groups), "job")
    yield f"Dropped with these options, {_count(good, 'line')} would run in {jobs}, one for each model and endpoint."
    if report.invalid:
        share, most = report.invalid / report.total, options.max_invalid_ratio
        yield (
            f"{_count(report.invalid, 'line')} would stand in the error file: on-invalid is {options.on_invalid}, "
            f"{share:.4g} of the file is bad, and max-invalid-ratio {most:g}."
        )
    for model in report.without_fallback:
        yield f"{model} fits no instance type of own GPUs: what a hosted backend leaves undone of it has no fallback."
    yield "Not known here: your stack's own rows of the model table; and its backends, so all of a model's route count as there."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _fault_document(finding: Finding) -> FaultDocument:
    problem = finding.problem
    return FaultDocument(finding.line, problem.column, str(problem.code), problem.param, problem.message)


def _picture(character: str) -> str:
    if ord(character) < 0x20:
        return chr(_PICTURES + ord(character))
    if character == _DELETE:
        return _DELETE_PICTURE
    return character.encode("ascii", "backslashreplace").decode("ascii")
