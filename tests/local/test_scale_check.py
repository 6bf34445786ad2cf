"""The run at scale by its parts: its file has the faults that it says, its container answers, its checks see what is wrong."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fakes.world import World
from slacktide_local.instant_container import answer_line, find_ranges
from slacktide_local.scale import find_problems, find_unseen
from slacktide_local.scale_file import FAULTS, MODELS, ScaleFile, request_id, request_text, write_request

FILE = ScaleFile(lines=80, faults=len(FAULTS) + 2)


def write_results(folder: Path, file: ScaleFile = FILE) -> dict[str, list[bytes]]:
    """Results as they should be."""
    codes = file.find_codes()
    lines: dict[str, list[bytes]] = {"output": [], "errors": []}
    for line in range(1, file.lines + 1):
        error = {"code": codes[line], "message": "m"} if line in codes else None
        body = msgspec.json.decode(answer_line(write_request(line).replace(b"request-", b"b.1."))[1])["response"]
        result = {"line": line, "custom_id": request_id(line), "response": None if error else body, "error": error}
        lines["errors" if error else "output"].append(msgspec.json.encode(result))
    put_results(folder, lines)
    return lines


def put_results(folder: Path, lines: dict[str, list[bytes]]) -> None:
    for name, texts in lines.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(text + b"\n" for text in texts))


def test_the_file_has_the_faults_that_it_says_and_the_library_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    FILE.write(path)
    assert path.read_bytes().count(b"\n") == FILE.lines
    world = World()
    world.backend.models = frozenset(MODELS)
    outcome = world.process(path.read_bytes())
    assert outcome.codes == FILE.find_codes()
    assert set(outcome.codes.values()) == {code for code, _ in FAULTS} | {"line_too_long"}
    assert [line["line"] for line in outcome.output] == [line for line in range(1, 81) if line not in outcome.codes]
    assert len({request["body"]["model"] for request in world.backend.seen}) == len(MODELS)
    ids = [msgspec.json.decode(text)["custom_id"] for text in path.read_bytes().splitlines()[:: FILE.lines - 1]]
    assert ids == [request_id(1)] * 2, "first and last"


@pytest.mark.parametrize(("lines", "faults"), [(100, 26), (100, 1), (3, 2)])
def test_a_file_needs_good_lines_between_the_bad(lines: int, faults: int) -> None:
    with pytest.raises(ValueError, match="faults"):
        ScaleFile(lines, faults)


@pytest.mark.parametrize("line", [1, 3])
def test_the_container_answers_with_the_text_of_the_request(line: int) -> None:
    number, answer = answer_line(write_request(line).replace(b"request-", b"batch.1."))
    told = msgspec.json.decode(answer)
    assert (number, told["custom_id"], told["error"]) == (line, f"batch.1.{line}", None)
    choice = told["response"]["body"]["choices"][0]
    assert request_text(line) in (choice["text"] if line == 3 else choice["message"]["content"])
    assert told["response"]["body"]["usage"]["completion_tokens"] > told["response"]["body"]["usage"]["prompt_tokens"] > 5


def test_lines_are_told_as_ranges() -> None:
    assert find_ranges([2, 3, 4, 7, 9, 10]) == [(2, 4), (7, 7), (9, 10)]
    assert find_ranges([]) == []


def test_right_results_have_no_problems(tmp_path: Path) -> None:
    write_results(tmp_path)
    assert find_problems(FILE, tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda lines: lines["output"].pop(3), "is in neither file"),
        (lambda lines: lines["errors"].pop(3), "is in neither file"),
        (lambda lines: lines["output"].insert(3, lines["output"][3]), "or again"),
        (lambda lines: lines["output"].insert(3, lines["output"].pop(9)), "behind line"),
        (lambda lines: lines["output"].append(lines["errors"].pop()), "is in output.jsonl with the code"),
        (
            lambda lines: lines.update(errors=[text.replace(b"invalid_request", b"x") for text in lines["errors"]]),
            "has the code x",
        ),
        (
            lambda lines: lines.update(output=[text.replace(b"echo: 5 ", b"echo: 6 ") for text in lines["output"]]),
            "line 5 has not",
        ),
        (lambda lines: lines.update(output=[text.replace(b'st-5"', b'st-6"') for text in lines["output"]]), "line 5 has not"),
    ],
)
def test_wrong_results_are_seen(tmp_path: Path, damage: Callable[[dict[str, list[bytes]]], object], told: str) -> None:
    lines = write_results(tmp_path)
    damage(lines)
    put_results(tmp_path, lines)
    assert re.search(told, " ".join(find_problems(FILE, tmp_path)))


def test_what_was_seen_behind_the_stand_in_is_checked(tmp_path: Path) -> None:
    good = [line for line in range(1, FILE.lines + 1) if line not in FILE.find_codes()]

    def tell(lines: list[int]) -> list[str]:
        events = [{"event": "answered", "seen": find_ranges(lines[:9])}, {"event": "answered", "seen": find_ranges(lines[9:])}]
        (tmp_path / "a.log").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        return find_unseen(FILE, tmp_path)

    assert tell(good) == []
    assert tell([*good, FILE.lines]) == [f"line {FILE.lines} was seen 1 times behind the stand-in"]
    assert tell(good[1:]) == ["line 1 was seen 0 times behind the stand-in"]
    assert tell([*good, 1]) == ["line 1 was seen 2 times behind the stand-in"]
