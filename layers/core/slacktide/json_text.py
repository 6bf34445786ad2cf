"""One line as strict JSON: where RFC 8259 lets readers differ, and so does what they make of a line, there is a problem."""

import json
import math
import re
from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import Any

from slacktide.codes import Code
from slacktide.faults import Problem

MOST_DEPTH = 100  # of objects and arrays in one another, the line's own object being 1
MOST_NAMES = 10_000  # in one object
LARGEST_DIGITS = 308  # an integer with at most so many digits is always in the range of a double
LONGEST_SEARCHED = 1_000_000  # characters; in a longer line a repeated name is found without its place

Path = tuple[str | int, ...]

REPEATED_NAME = "A name stands twice in an object of the line; each may stand there once."
MANY_NAMES = f"An object of the line has more than {MOST_NAMES} names."
NO_NUMBER = "NaN and Infinity are no JSON; leave the field out or give a number."
LARGE_NUMBER = "A number of the line is beyond the range of a double (about 1.8e308)."
LONE_SURROGATE = "A \\u escape of the line is half of a surrogate pair, which is no character."

_SPACE = re.compile(r"[ \t\n\r]*")
# Strings are one token, closed or not, so that the search never goes back; the quantifiers are possessive.
_STRING = r'"(?:[^"\\]++|\\.)*+"?'
_BRACKETS = re.compile(rf"{_STRING}|[\[\]{{}}]".encode(), re.DOTALL)
_STRINGS = re.compile(_STRING.encode(), re.DOTALL)
_STEPS = {byte: 1 if byte in b"[{" else -1 for byte in b"[{]}"}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)
_NUMBERS = re.compile(rf"{_STRING}|(-?\d[\d.eE+-]*)|(NaN|-?Infinity)", re.DOTALL)
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


class UnreadableLineError(Exception):
    """A line that is no JSON value; it has one problem, since nothing more can be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class JsonReader:
    """Reads lines; not to be shared by threads, since it notes what it meets."""

    def __init__(self) -> None:
        self._met: dict[str, None] = {}  # messages, in the order of their first meeting
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._constant, parse_int=self._integer, parse_float=self._float
        )

    def read(self, content: bytes) -> tuple[Any, list[Problem]]:
        """The value of a line, and what strict readers would refuse in it. Raises UnreadableLineError."""
        text = _decode(content)
        if (place := _too_deep(content)) is not None:
            message = f"The line has objects and arrays more than {MOST_DEPTH} deep in one another."
            raise UnreadableLineError(Problem(Code.INVALID_JSON_LINE, message, column=place + 1))
        self._met.clear()
        try:
            value = self._decoder.decode(text)
        except json.JSONDecodeError as error:
            message = "The line is not well-formed JSON."
            raise UnreadableLineError(Problem(Code.INVALID_JSON_LINE, message, column=column(text, error.pos))) from None
        if _HALF_PAIR.search(text) and _lone_surrogate(text) is not None:
            self._met[LONE_SURROGATE] = None
        return value, [_problem(text, message) for message in self._met]

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self._met[REPEATED_NAME] = None
        if len(pairs) > MOST_NAMES:
            self._met[MANY_NAMES] = None
        return value

    def _constant(self, _: str) -> None:
        self._met[NO_NUMBER] = None

    def _float(self, text: str) -> float:
        value = float(text)
        if math.isinf(value):
            self._met[LARGE_NUMBER] = None
        return value

    def _integer(self, text: str) -> int:
        if len(text) > LARGEST_DIGITS and math.isinf(float(text)):
            self._met[LARGE_NUMBER] = None
            return 0
        return int(text)


def column(text: str, place: int) -> int:
    """The 1-based byte of the character at `place`."""
    return len(text[:place].encode("utf-8", "surrogatepass")) + 1


def find_values(text: str, paths: Collection[Path]) -> dict[Path, int]:
    """Where the values at some paths begin; of a name that stands twice, the last one, as readers take it. They must be there."""
    found: dict[Path, int] = {}
    _find_below((), _skip(text, 0), text, set(paths), found)
    return found


def _find_below(path: Path, place: int, text: str, wanted: set[Path], found: dict[Path, int]) -> None:
    """Note the value at `path` if it is wanted, and those below it, in one walk over its members."""
    if path in wanted:
        found[path] = place
    below: dict[str | int, set[Path]] = {}
    for other in wanted:
        if len(other) > len(path):
            below.setdefault(other[len(path)], set()).add(other)
    for name, _, value in _members(text, place) if below else ():
        if name in below:
            _find_below((*path, name), value, text, below[name], found)
            if isinstance(name, int) and name == max(below):
                return  # an index stands once, a name may come again


def _decode(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UnreadableLineError(Problem(Code.INVALID_ENCODING, "The line is not UTF-8.", column=error.start + 1)) from None
    if (place := content.find(b"\0")) >= 0:
        raise UnreadableLineError(Problem(Code.INVALID_ENCODING, "The line holds a NUL byte.", column=place + 1))
    return text


def _too_deep(content: bytes) -> int | None:
    """The place of the first bracket that is too deep, found before a reader counts depth in a way of its own."""
    if content.count(b"[") + content.count(b"{") <= MOST_DEPTH:
        return None
    brackets = _STRINGS.sub(b"", content).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) <= MOST_DEPTH:
        return None
    depth = 0
    for match in _BRACKETS.finditer(content):
        bracket = match[0]
        depth += 1 if bracket in b"[{" else -1 if bracket in b"]}" else 0
        if depth > MOST_DEPTH:
            return match.start()
    return None


def _problem(text: str, message: str) -> Problem:
    place = _PLACES[message](text)
    code = Code.INVALID_REQUEST if message == MANY_NAMES else Code.INVALID_JSON_LINE
    return Problem(code, message, column=None if place is None else column(text, place))


def _lone_surrogate(text: str) -> int | None:
    return next((match.start() for match in _ESCAPES.finditer(text) if match[1]), None)


def _constant_place(text: str) -> int | None:
    return next((match.start() for match in _NUMBERS.finditer(text) if match[2]), None)


def _large_number(text: str) -> int | None:
    return next((match.start() for match in _NUMBERS.finditer(text) if match[1] and math.isinf(float(match[1]))), None)


def _repeated_name(text: str, place: int = 0) -> int | None:
    if len(text) > LONGEST_SEARCHED:
        return None
    place = _skip(text, place)
    seen: set[str | int] = set()
    for name, name_place, value in _members(text, place):
        if name in seen:
            return name_place
        seen.add(name)
        if text[value] in "[{" and (found := _repeated_name(text, value)) is not None:
            return found
    return None


def _large_object(_: str) -> None:
    return None


_PLACES = {
    REPEATED_NAME: _repeated_name,
    MANY_NAMES: _large_object,
    NO_NUMBER: _constant_place,
    LARGE_NUMBER: _large_number,
    LONE_SURROGATE: _lone_surrogate,
}
_PLAIN = json.JSONDecoder(parse_int=float)  # integers of any length


def _members(text: str, place: int) -> Iterator[tuple[str | int, int, int]]:
    """The members of the object or array at `place`: name or index, where that begins, where the value begins."""
    if text[place] not in "[{":
        return
    closing = "}" if text[place] == "{" else "]"
    place = _skip(text, place + 1)
    index = 0
    while text[place] != closing:
        name, begin = index, place
        if closing == "}":
            name, place = _PLAIN.raw_decode(text, place)
            place = _skip(text, _skip(text, place) + 1)  # behind the colon
        yield name, begin, place
        place = _skip(text, _PLAIN.raw_decode(text, place)[1])
        if text[place] == ",":
            place = _skip(text, place + 1)
        index += 1


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
