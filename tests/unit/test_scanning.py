"""The scan hands every line to its sink once, in order, and knows what the sink need not keep."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from fakes.world import jsonl, request
from slacktide.batch import Options
from slacktide.faults import Fault
from slacktide.lines import ENOUGH_LINES, Chunk, Line, read_chunks
from slacktide.models import shipped_models
from slacktide.refusals import refuse_lines
from slacktide.scanning import Scan
from slacktide.validation import Checker

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@dataclass
class ListSink:
    requests: list[tuple[str, int]] = field(default_factory=list)
    faults: list[tuple[bytes | None, Fault]] = field(default_factory=list)
    late: list[Fault] = field(default_factory=list)
    texts: list[tuple[int, bytes]] = field(default_factory=list)
    ids: list[tuple[int, str | None]] = field(default_factory=list)
    readings: int = 0

    def keep_requests(self, group: str, numbers: Sequence[int], text: bytes) -> None:
        self.requests += [(group, number) for number in numbers]
        self.texts += zip(numbers, text.splitlines(), strict=True)

    def keep_fault(self, line: Line, fault: Fault) -> None:
        self.faults.append((line.content, fault))

    def keep_ids(self, custom_ids: Sequence[str | None]) -> None:
        self.ids += enumerate(custom_ids, len(self.ids) + 1)

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        self.readings += 1
        yield from self.ids

    def keep_late_fault(self, fault: Fault) -> None:
        self.late.append(fault)


def scan(content: bytes) -> tuple[Scan, ListSink]:
    sink = ListSink()
    scanned = Scan(Checker(shipped_models().find, lambda model: model.route), sink)
    scanned.run([content])
    return scanned, sink


def completion(custom_id: str) -> dict[str, object]:
    return {"custom_id": custom_id, "url": COMPLETIONS, "body": {"model": "smollm2", "prompt": "x"}}


def test_lines_go_to_their_groups_and_faults_to_theirs() -> None:
    scanned, sink = scan(jsonl(request("a"), b"nonsense", completion("b"), request("c")))
    assert sink.requests == [("g1", 1), ("g2", 3), ("g1", 4)]
    assert [(content, fault.line, fault.code) for content, fault in sink.faults] == [(b"nonsense", 2, "invalid_json_line")]
    assert sink.ids == [(1, "a"), (2, None), (3, "b"), (4, "c")]
    assert [(group.model, group.endpoint, list(group.members)) for group in scanned.groups] == [
        (MODEL, CHAT, [1, 4]),
        (MODEL, COMPLETIONS, [3]),
    ]
    assert (scanned.total, list(scanned.invalid)) == (4, [2])


def test_a_repeated_id_is_a_late_fault_and_its_line_invalid() -> None:
    scanned, sink = scan(jsonl(request("a"), request("b"), request("a"), request("a", temperature=9)))
    assert [(fault.line, fault.code) for fault in sink.late] == [(3, "duplicate_custom_id"), (4, "duplicate_custom_id")]
    assert "line 1 already" in sink.late[0].message
    assert list(scanned.invalid) == [3, 4], "line 4 has a fault of its own"
    assert list(scanned.groups[0].members - scanned.invalid) == [1, 2]


def test_ids_are_read_back_only_if_two_may_be_equal() -> None:
    assert scan(jsonl(request("a"), request("b")))[1].readings == 0
    assert scan(jsonl(request("a"), request("a")))[1].readings == 1


def test_every_bitmap_has_the_size_of_the_file() -> None:
    scanned, _ = scan(jsonl(request("a"), b"nonsense", *[b"{}"] * 20))
    assert {scanned.invalid.size, scanned.groups[0].members.size} == {22}


def test_a_file_without_lines_is_nothing() -> None:
    scanned, sink = scan(b"\n\n")
    assert (scanned.total, scanned.groups, sink.ids) == (0, [], [])


def test_groups_are_numbered_in_the_order_of_their_first_lines_also_when_many_lines_are_checked_at_once() -> None:
    """So a scan that is done again finds the same groups, whatever order sets have in its process."""
    models = ["Qwen/QwQ-32B", "smollm2", "deepseek-ai/DeepSeek-V3", MODEL]
    scanned, sink = scan(jsonl(*[request(str(number), model=models[number % 4]) for number in range(40)]))
    found = [(group.name, group.model, list(group.members)) for group in scanned.groups]
    assert found == [
        ("g1", "Qwen/QwQ-32B", list(range(1, 41, 4))),
        ("g2", MODEL, list(range(2, 41, 2))),
        ("g3", "deepseek-ai/DeepSeek-V3", list(range(3, 41, 4))),
    ]
    assert dict(sink.requests).keys() == {"g1", "g2", "g3"}
    assert [json.loads(text)["custom_id"] for _, text in sorted(sink.texts)] == [str(number) for number in range(40)]


@pytest.mark.parametrize("blanks", [0, 1000])
@pytest.mark.parametrize("lines", [49, 50, 51, 200])
def test_a_file_of_too_many_lines_is_read_to_one_line_more(monkeypatch: pytest.MonkeyPatch, lines: int, blanks: int) -> None:
    """So what was read is the same again, whatever the blocks; and the number of lines says that the file is refused."""
    monkeypatch.setattr("slacktide.scanning.MOST_LINES", 50)
    monkeypatch.setattr("slacktide.refusals.MOST_LINES", 50)
    content = jsonl(*[request(str(number)) for number in range(lines - 1)], b"\n" * blanks + jsonl(request("last")))
    expected = min(lines + blanks, 51)
    for size in (len(content), 500):
        sink = ListSink()
        scanned = Scan(Checker(shipped_models().find, lambda model: model.route), sink)
        scanned.run(content[start : start + size] for start in range(0, len(content), size))
        assert (scanned.total, len(sink.ids), scanned.invalid.size) == (expected, expected, expected)
        refusal = refuse_lines(scanned.total, len(scanned.invalid), Options())
        assert (refusal is not None and "more than 50 lines" in refusal.message) == (expected > 50)


def test_blank_lines_come_few_at_a_time() -> None:
    """A file of nothing but line feeds and one line at its end has as many lines as bytes."""
    chunks = list(read_chunks([b"\n" * 100_000, b"{}"]))
    assert all(len(chunk.texts) <= ENOUGH_LINES for chunk in chunks if isinstance(chunk, Chunk))
    assert sum(len(chunk.texts) for chunk in chunks if isinstance(chunk, Chunk)) == 100_001
