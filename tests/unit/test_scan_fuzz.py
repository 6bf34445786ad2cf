"""The two ways through the code against each other: a file as a whole, many lines at once, and each of its lines by itself."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fakes.world import request
from properties.odd_lines import LINES, PLAIN, nearly_plain
from slacktide.faults import Fault
from slacktide.lines import BOM, Line, read_lines
from slacktide.models import shipped_models
from slacktide.plain import PlainChecker, PlainRequests
from slacktide.scanning import Scan
from slacktide.shapes import Shape, decoder
from slacktide.validation import Checker, Request

CHECKER = Checker(shipped_models().find, lambda model: model.route)


def cut_lines(text: bytes) -> list[bytes]:
    """The lines of a text, each with its line feed, and only that ends one."""
    assert text.endswith(b"\n")
    return [line + b"\n" for line in text[:-1].split(b"\n")]


@dataclass
class Outcomes:
    """A sink that keeps what the scan says of each line."""

    requests: dict[int, tuple[str, bytes]] = field(default_factory=dict)  # group and text, by line
    faults: list[tuple[Line, Fault]] = field(default_factory=list)
    late: list[Fault] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)

    def keep_requests(self, group: str, numbers: Sequence[int], text: bytes) -> None:
        self.requests |= {number: (group, line) for number, line in zip(numbers, cut_lines(text), strict=True)}

    def keep_fault(self, line: Line, fault: Fault) -> None:
        self.faults.append((line, fault))

    def keep_ids(self, custom_ids: Sequence[str | None]) -> None:
        self.ids += custom_ids

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        yield from enumerate(self.ids, 1)

    def keep_late_fault(self, fault: Fault) -> None:
        self.late.append(fault)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


NUMBERED = st.integers(0, 5).map(lambda number: json.dumps(request(f"id-{number}", top_k=number)).encode())
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n"])
FILES = st.builds(
    lambda start, lines, tail: start + b"".join(line + end for line, end in lines) + tail,
    st.sampled_from([b"", b"", BOM]),
    st.lists(st.tuples(NUMBERED | NUMBERED | LINES, ENDS), max_size=16),
    st.just(b"") | LINES,
)


@given(FILES, st.lists(st.integers(0, 9_999), max_size=4))
@example(b"".join(json.dumps(request(str(number))).encode() + b"\n" for number in range(40)), [])
def test_a_file_as_a_whole_is_what_its_lines_are(data: bytes, places: list[int]) -> None:
    sink = Outcomes()
    scan = Scan(CHECKER, sink)
    scan.run(cut(data, places))
    lines = list(read_lines([data]))
    alone = [CHECKER.check(line) for line in lines]
    good = [outcome for outcome in alone if isinstance(outcome, Request)]
    groups = {group.name: (group.model, group.endpoint) for group in scan.groups}
    found = [(line, *groups[group], text) for line, (group, text) in sorted(sink.requests.items())]
    contents = {line.number: line.content for line in lines}
    assert found == [
        (outcome.line, outcome.model.id, outcome.endpoint, (contents[outcome.line] or b"") + b"\n") for outcome in good
    ]
    assert sink.faults == [(line, outcome) for line, outcome in zip(lines, alone, strict=True) if isinstance(outcome, Fault)]
    assert sink.ids == [outcome.custom_id for outcome in alone]
    assert scan.total == len(lines)
    first: dict[str, int] = {}
    named = [(outcome.line, outcome.custom_id) for outcome in alone if outcome.custom_id is not None]
    repeated = {line for line, custom_id in named if first.setdefault(custom_id, line) != line}
    faulty = {outcome.line for outcome in alone if isinstance(outcome, Fault)}
    assert [fault.line for fault in sink.late] == sorted(repeated)
    assert list(scan.invalid) == sorted(faulty | repeated)
    for group in scan.groups:
        members = [outcome.line for outcome in good if (outcome.model.id, outcome.endpoint) == (group.model, group.endpoint)]
        assert list(group.members) == members


# Plain lines: what is checked many at a time must be what would be accepted one by one


@given(st.lists(nearly_plain(), min_size=1, max_size=3))
@example([PLAIN["chat"].replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["chat"].replace(b'"x"', b'"\\u0022"').replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["chat"].replace(b'"x"', b'"\\u0022"'), PLAIN["chat"].replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["chat"].replace(b'"x"', b'"\\u0022\\u0022"').replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["chat"].replace(b'"x"', b'"\\u0022\\u0022"'), PLAIN["chat"].replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["long"], PLAIN["chat"].replace(b'"x"', b'"\\u0022\\u0022"').replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["chat"].replace(b'"id"', b'"\\u0007"')])
@example([PLAIN["chat"].replace(b'"id"', b'"\xc2\x85"')])
@example([PLAIN["chat"].replace(b'"n":2', b'"max_tokens":8193')])
@example([PLAIN["chat"].replace(b'"n":2', b'"stream":true')])
@example([PLAIN["chat"], PLAIN["chat"].replace(b'"smollm2"', b'"Qwen/QwQ-32B"').replace(b'"n":2', b'"max_tokens":8193')])
@example([PLAIN["chat"].replace(b'{"custom_id":"id",', b'{"custom_id":"{\\"a\\":1}",')])
@example([PLAIN["chat"].replace(b'}],"temp', b'}]  ,"temp')])
@example([PLAIN["completion"], PLAIN["chat"], PLAIN["completion"].replace(b"Qwen/QwQ-32B", b"smollm2")])
@example([PLAIN["completion"], PLAIN["chat"].replace(b'"n":2', b'"n":2,"n":2')])
@example([PLAIN["chat"].replace(b'"n":2', b'"user":"/v1/completions"'), PLAIN["chat"]])
def test_what_is_accepted_at_once_would_be_accepted_alone(lines: list[bytes]) -> None:
    for endpoint in (None, "/v1/chat/completions", "/v1/completions"):
        checker = Checker(CHECKER.find_model, CHECKER.route, endpoint)
        assert_accepted_alone(checker, PlainChecker(checker).check([line + b"\n" for line in lines]), lines)


CHAT_LINE = PLAIN["chat"]


@given(st.lists(st.lists(nearly_plain(), min_size=1, max_size=2), min_size=2, max_size=4))
@example([[CHAT_LINE], [CHAT_LINE], [CHAT_LINE.replace(b'"n":2', b'"n":2,"n":2')]])
@example([[CHAT_LINE], [CHAT_LINE.replace(b',"n":2', b"")], [CHAT_LINE, CHAT_LINE.replace(b'"n":2', b'"n":2,"n":2')]])
@example([[CHAT_LINE.replace(b'"n":2', b'"stream":true')]] * 2)
@example([[CHAT_LINE.replace(b'"n":2', b'"max_tokens":8193')]] * 2)
@example([[CHAT_LINE.replace(b'"n":2', b'"max_completion_tokens":8193')]] * 2)
@example([[CHAT_LINE.replace(b'"n":2', b'"user":"\\"\\"","user":"\\u0022\\u0022"')]] * 2)
@example([[CHAT_LINE.replace(b'"n":2', b'"stop":"\\"\\"","stop":"\\u0022\\u0022"')]] * 2)
@example([[CHAT_LINE.replace(b'"body"', b'"url":"/v1/chat/completions","body"')]] * 2 + [[CHAT_LINE]])
@example([[PLAIN["completion"]]] * 2 + [[PLAIN["completion"].replace(b'"url":"/v1/completions",', b"")]])
def test_also_after_lines_of_other_shapes(chunks: list[list[bytes]]) -> None:
    """The decoder has the fields that the lines before had."""
    for endpoint in (None, "/v1/chat/completions", "/v1/completions"):
        checker = Checker(CHECKER.find_model, CHECKER.route, endpoint)
        plain = PlainChecker(checker)
        for lines in chunks:
            assert_accepted_alone(checker, plain.check([line + b"\n" for line in lines]), lines)


def assert_accepted_alone(checker: Checker, plain: PlainRequests | None, lines: list[bytes]) -> None:
    """What was accepted at once is what would be accepted line by line."""
    if plain is None:
        return
    alone = [checker.check(Line(number, line, len(line))) for number, line in enumerate(lines, 1)]
    assert [type(outcome) for outcome in alone] == [Request] * len(lines), lines
    found = [(kind[0], custom_id, plain.models[kind]) for custom_id, kind in zip(plain.custom_ids, plain.kinds, strict=True)]
    assert found == [(outcome.endpoint, outcome.custom_id, outcome.model) for outcome in alone if isinstance(outcome, Request)]
    assert plain.lines == cut_lines(plain.text) == [line + b"\n" for line in lines]


@pytest.mark.parametrize("name", PLAIN)
def test_usual_lines_are_checked_at_once(name: str) -> None:
    """Otherwise nothing would be wrong, but slow."""
    plain = PlainChecker(CHECKER).check([PLAIN[name].replace(b'"id"', b'"%d"' % number) + b"\n" for number in range(9)])
    assert plain is not None
    assert len(plain.lines) == 9


@pytest.mark.parametrize("names", list(itertools.permutations(PLAIN)))
def test_so_are_lines_of_several_endpoints(names: Sequence[str]) -> None:
    lines = [PLAIN[name] + b"\n" for name in names] * 2
    plain = PlainChecker(CHECKER).check(lines)
    assert plain is not None
    endpoints = ["/v1/completions" if name == "completion" else "/v1/chat/completions" for name in names]
    assert [endpoint for endpoint, _ in plain.kinds] == endpoints * 2
    assert list(plain.models) == list(dict.fromkeys(plain.kinds)), "groups are numbered in the order of their first lines"


@given(st.lists(st.sampled_from([b'"n":2', b'"seed":1', b'"n":2,"seed":1', b'"user":"\\"u"', b'"stop":"\\""']), max_size=6))
def test_usual_lines_are_checked_at_once_after_lines_of_other_shapes(members: list[bytes]) -> None:
    """A field that comes up or goes missing is learned, not refused."""
    plain = PlainChecker(CHECKER)
    for member in members:
        lines = [CHAT_LINE.replace(b'"n":2', text) + b"\n" for text in (member, member, b'"top_p":1')]
        assert [plain.check(chunk) is not None for chunk in (lines[:2], lines[:2], lines)] == [True] * 3
    assert [plain.check([PLAIN[name] + b"\n"]) is not None for name in [*PLAIN, *PLAIN]] == [True] * 2 * len(PLAIN)


def test_what_a_file_uses_is_learned_from_its_first_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nothing would be wrong, but each line would be read twice, or by a decoder that knows all fields."""
    used: list[Shape] = []

    def note(shape: Shape) -> object:
        used.append(shape)
        return decoder(shape)

    monkeypatch.setattr("slacktide.plain.decoder", note)
    plain, chat, every = PlainChecker(CHECKER), "/v1/chat/completions", Shape.of_any("/v1/chat/completions")
    without = CHAT_LINE.replace(b',"n":2', b"")
    learned, merged = (
        Shape(chat, frozenset({"temperature", "n"}), frozenset()),
        Shape(chat, frozenset({"temperature"}), frozenset("n")),
    )
    for line, shapes in ((CHAT_LINE, [every]), (CHAT_LINE, [learned]), (without, [learned, every]), (without, [merged])):
        assert plain.check([line + b"\n"]) is not None
        assert used == shapes
        used.clear()
