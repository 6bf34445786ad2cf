"""A report as a person sees it: the caret stands under the column, and nothing in a file can command the terminal."""

import msgspec
import pytest

from fakes.world import jsonl, request
from slacktide.batch import Options
from slacktide.codes import Code
from slacktide.faults import Problem
from slacktide.models import shipped_models
from slacktide_cli.preflight import Report, _excerpt, examine
from slacktide_cli.reports import build_document, draw_excerpt, render_report, visible


def report_on(content: bytes, options: Options | None = None, most: int = 20) -> Report:
    return examine([content], name="a.jsonl", models=shipped_models(), options=options or Options(), most=most)


def text_of(content: bytes, options: Options | None = None, most: int = 20) -> str:
    options = options or Options()
    return "\n".join(render_report("a.jsonl", report_on(content, options, most), options))


def draw(content: bytes, column: int, encoding: str = "utf-8") -> tuple[str, str]:
    excerpt = _excerpt(content, Problem(Code.INVALID_JSON_LINE, "", column=column))
    assert excerpt
    return draw_excerpt(excerpt, encoding)


@pytest.mark.parametrize(
    ("content", "column", "text", "caret"),
    [
        (b"{x}", 2, "{x}", " ^"),
        (b"{x}", 4, "{x}", "   ^"),  # behind the end: something is missing there
        (b"\t{x", 3, "\u2409{x", "  ^"),
        (b"\x1b[2J{x", 6, "\u241b[2J{x", "     ^"),
        (b"\x7f{x", 3, "\u2421{x", "  ^"),
        ("\u202e{x".encode(), 5, "\\u202e{x", "       ^"),  # it would turn the line around
        ("\u6f6e{x".encode(), 5, "\u6f6e{x", "   ^"),  # two cells wide
        (b"{\xffx", 2, "{\\xffx", " ^"),
    ],
)
def test_the_caret_stands_under_the_column(content: bytes, column: int, text: str, caret: str) -> None:
    assert draw(content, column) == (text, caret)


def test_a_long_line_is_shortened_around_the_column() -> None:
    text, caret = draw(b"a" * 5_000 + b"!" + b"b" * 5_000, 5_001)
    assert text.startswith("...a")
    assert text.endswith("b...")
    assert len(text) < 100
    assert text[caret.index("^")] == "!"


@pytest.mark.parametrize("shift", range(3))
def test_it_is_not_cut_in_the_middle_of_a_character(shift: int) -> None:
    wide, thin = "\u6f6e".encode() * 40, b"a" * shift
    text, caret = draw(wide + thin + b"!" + thin + wide, len(wide) + shift + 1)
    assert set(text) == {".", "\u6f6e", "!"} | ({"a"} if shift else set()), "no half character is shown as bytes"
    # A wide character takes two cells, and so two columns of the caret's line.
    before = text.partition("!")[0]
    assert caret.index("^") == len(before) + before.count("\u6f6e")


def test_a_terminal_that_knows_ascii_only_gets_ascii_only() -> None:
    text, caret = draw("\u00fc{x".encode(), 4, "ascii")
    assert (text, caret) == ("\\xfc{x", "     ^")
    assert visible("\u00fc\udcff\r", "ascii") == "\\xfc\\udcff\\u240d"


def test_a_report_says_what_is_there_and_what_would_happen() -> None:
    content = jsonl(request("a"), b'{"a": }', request("a"), request("b"))
    assert text_of(content).splitlines() == [
        "a.jsonl: 4 lines, 2 good, 2 bad",
        "  Good lines by model and endpoint:",
        "    2  HuggingFaceTB/SmolLM2-135M-Instruct  /v1/chat/completions",
        "  Bad lines by code:",
        "    1  invalid_json_line",
        "    1  duplicate_custom_id",
        "  The first 2 faults, of 2 bad lines, as line:column:",
        "    2:7  invalid_json_line  The line is not well-formed JSON.",
        '        {"a": }',
        "              ^",
        "    3  duplicate_custom_id  custom_id of line 3 is that of line 1 already.",
        "  Dropped with these options, 2 lines would run in 1 job, one for each model and endpoint.",
        "  2 lines would stand in the error file: on-invalid is skip, 0.5 of the file is bad, and max-invalid-ratio 1.",
        "  Not known here: your stack's own rows of the model table; and its backends, so all of a model's route count as there.",
    ]


def test_a_refused_file_says_why_nothing_would_run() -> None:
    told = text_of(jsonl(request("a"), b"x"), Options(on_invalid="reject"))
    assert "nothing of it would run: invalid_lines: 1 of 2 lines are invalid and on-invalid is reject" in told
    assert "would run in" not in told
    assert "nothing of it would run: empty_file: The file is empty." in text_of(b"")
    assert "nothing of it would run: empty_file: The file has no lines." in text_of(b"\n\n")


def test_only_the_first_faults_are_listed_and_all_are_counted() -> None:
    told = text_of(b"x\n" * 30, most=3)
    assert "The first 3 faults, of 30 bad lines" in told
    assert "    30  invalid_json_line" in told
    assert [line for line in told.splitlines() if line.lstrip().startswith("4:")] == []


def test_a_clean_file_has_no_words_about_faults() -> None:
    told = text_of(jsonl(request("a")))
    assert told.startswith("a.jsonl: 1 line, 1 good, 0 bad")
    assert "1 line would run in 1 job" in told
    assert "fault" not in told
    assert "error file" not in told


def test_a_model_that_no_gpus_can_hold_is_told_before_it_needs_them() -> None:
    big, small = "deepseek-ai/DeepSeek-R1", "Qwen/QwQ-32B"
    content = jsonl(request("a", model=big), request("b", model=small), request("c", model=big))
    assert text_of(content).count(f"{big} fits no instance type of own GPUs") == 1
    assert f"{small} fits" not in text_of(content)
    assert build_document("a.jsonl", report_on(content)).without_fallback == [big]


def test_no_control_character_of_a_file_reaches_the_terminal() -> None:
    content = b'{"a": \x1b]0;owned\x07\n' + jsonl(request("\x1b[2J"), request("a", **{"\x1b[1m": 1}))
    options = Options()
    for line in render_report("a\x1b[2J\n.jsonl", report_on(content), options):
        assert line.isprintable()


def test_the_document_has_no_text_of_a_line() -> None:
    document = msgspec.to_builtins(build_document("a.jsonl", report_on(b'{"secret": }\n' + jsonl(request("a")))))
    assert document == {
        "file": "a.jsonl",
        "total": 2,
        "valid": 1,
        "invalid": 1,
        "runs": 1,
        "jobs": 1,
        "groups": [{"model": "HuggingFaceTB/SmolLM2-135M-Instruct", "endpoint": "/v1/chat/completions", "lines": 1}],
        "codes": {"invalid_json_line": 1},
        "faults": [
            {"line": 1, "column": 12, "code": "invalid_json_line", "param": None, "message": "The line is not well-formed JSON."}
        ],
        "failure": None,
        "without_fallback": [],
        "unreadable": None,
    }
    refused = build_document("a.jsonl", report_on(jsonl(request("a"), b"x"), Options(on_invalid="reject")))
    assert (refused.valid, refused.runs, refused.jobs) == (1, 0, 0)
    assert refused.failure
    assert refused.failure.code == "invalid_lines"
