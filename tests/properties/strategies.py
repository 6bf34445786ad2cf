"""Files, blocks and backends for properties of the whole: generated lines, each with what is to become of it."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st

from fakes.backend import FakeBackend, Upstream, result

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
FOREIGN = "batch_" + "z" * 26
ROUNDS = 2  # of smollm2's route; the hosted models have one here, since this stack has no hosted backend


@dataclass(frozen=True)
class Entry:
    """A line of an input file. `body` is None where the line is bad; `custom_id` None where it cannot be read."""

    text: bytes
    custom_id: str | None
    body: bytes | None = None
    rounds: int = 0


@dataclass(frozen=True)
class Fate:
    """What a backend does with one request in one round: the lines that it writes, and how the request went by them."""

    kind: str
    outcome: str  # success, rejected, transient, missing

    def lines(self, custom_id: str, body: bytes, round_number: int) -> list[bytes]:
        good = result(custom_id, 200, answer_to(body, round_number))
        broken = result(custom_id, 500, {"error": {"message": "no"}})
        refused = result(custom_id, 400, {"error": {"message": "no"}})
        foreign = result(FOREIGN + custom_id[len(FOREIGN) :], 200, {"choices": ["foreign"]})
        return {
            "answer": [good],
            "answer twice": [good, result(custom_id, 200, answer_to(body + b" again", round_number))],
            "fail, then answer": [broken, good],
            "answer, then fail": [good, broken],
            "answer beside noise": [b"not json", foreign, good, good[:20], b""],
            "refuse": [refused],
            "refuse twice": [refused, refused],
            "break": [broken],
            "lose": [],
            "answer for another": [foreign],
            "cut short": [good[:-9]],
        }[self.kind]


FATES = [
    Fate("answer", "success"),
    Fate("answer twice", "success"),
    Fate("fail, then answer", "success"),
    Fate("answer, then fail", "success"),
    Fate("answer beside noise", "success"),
    Fate("refuse", "rejected"),
    Fate("refuse twice", "rejected"),
    Fate("break", "transient"),
    Fate("lose", "missing"),
    Fate("answer for another", "missing"),
    Fate("cut short", "missing"),
]


def fate_of(fates: list[Fate], line: int, round_number: int) -> Fate:
    """What happens to a line in a round; where nothing is said it is answered."""
    return fates[(ROUNDS * line + round_number) % len(fates)] if fates else FATES[0]


def answer_to(body: bytes, round_number: int) -> dict[str, Any]:
    """An answer that only this body can have."""
    digest = hashlib.sha256(body).hexdigest()
    return {"choices": [{"digest": digest, "round": round_number}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


# Lines

SPACES = st.sampled_from(["", "", " ", "\t", "  "])
IDS = st.sampled_from(["a", "b", "\u00e9\U0001f4a5", "../x"]) | st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=64
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = (
    st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.lists(st.none() | TEXTS, max_size=3)
)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "vendor": VALUES,
        "x\u00fc": VALUES,
        "seed": st.integers(-(2**53), 2**53),
        "temperature": st.floats(0, 2),
        "n": st.integers(1, 128),
        "user": TEXTS,
        "max_tokens": st.integers(1, 8_192),
        "stream": st.just(False) | st.none(),
    },
)
MODELS = st.sampled_from([("smollm2", ROUNDS), ("HuggingFaceTB/SmolLM2-135M-Instruct", ROUNDS), ("Qwen/QwQ-32B", 1)])


@st.composite
def good_lines(draw: st.DrawFn) -> Entry:
    """A request that is to run, written in one of the many ways in which JSON can be."""
    custom_id = draw(IDS)
    model, rounds = draw(MODELS)
    endpoint = draw(st.sampled_from([CHAT, COMPLETIONS]))
    content: dict[str, Any] = {"model": model}
    if endpoint == CHAT:
        content["messages"] = [{"role": "user", "content": draw(TEXTS)}]
    else:
        content["prompt"] = draw(TEXTS.filter(bool))
    content = dict(draw(st.permutations(list((content | draw(EXTRAS)).items()))))
    separators = "," + draw(SPACES), draw(SPACES) + ":" + draw(SPACES)
    body = json.dumps(content, ensure_ascii=draw(st.booleans()), separators=separators)
    fields = [f'"custom_id":{draw(SPACES)}{json.dumps(custom_id)}', f'"body":{draw(SPACES)}{body}']
    if endpoint == COMPLETIONS or draw(st.booleans()):
        fields.append(f'"url":{json.dumps(endpoint)}')
    if draw(st.booleans()):
        fields.append('"method":"POST"')
    text = draw(SPACES) + "{" + f"{draw(SPACES)},{draw(SPACES)}".join(draw(st.permutations(fields))) + "}" + draw(SPACES)
    return Entry(text.encode(), custom_id, body.encode(), rounds)


BAD = [
    Entry(b"", None),
    Entry(b"nonsense", None),
    Entry(b"[]", None),
    Entry(b'{"custom_id":"a"', None),
    Entry(b'{"custom_id":"\xff","body":{}}', None),
    Entry(b'{"body":{}}', None),
    Entry(b'{"custom_id":7,"body":{}}', None),
    Entry(b"\0", None),
    Entry(b'{"custom_id":"a"}', "a"),
    Entry(b'{"custom_id":"b","body":{"model":"nobody","messages":[{"role":"user","content":"x"}]}}', "b"),
    Entry(b'{"custom_id":"s","body":{"model":"smollm2","stream":true,"messages":[{"role":"user","content":"x"}]}}', "s"),
    Entry(b'{"custom_id":"u","url":"/v1/nothing","body":{"model":"smollm2","messages":[{"role":"user","content":"x"}]}}', "u"),
    Entry(b'{"custom_id":"t","body":{"model":"smollm2","temperature":9,"messages":[{"role":"user","content":"x"}]}}', "t"),
]


@dataclass(frozen=True)
class Input:
    """A file: its lines, its bytes, and the blocks in which it is read."""

    entries: list[Entry]
    content: bytes
    places: list[int]

    @property
    def repeated(self) -> set[int]:
        """Lines whose custom_id an earlier line has."""
        first: dict[str, int] = {}
        numbered = [(number, entry.custom_id) for number, entry in enumerate(self.entries, 1)]
        return {
            number for number, custom_id in numbered if custom_id is not None and first.setdefault(custom_id, number) != number
        }

    @property
    def good(self) -> dict[int, Entry]:
        """What is to run, by line."""
        repeated = self.repeated
        return {
            number: entry for number, entry in enumerate(self.entries, 1) if entry.body is not None and number not in repeated
        }


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """Any sequence of good, repeated and bad lines, with any line ends, byte order mark and blank tail."""
    entries = draw(st.lists(good_lines() | good_lines() | st.sampled_from(BAD), min_size=1, max_size=10))
    entries = [
        entry
        for number, entry in enumerate(entries)
        if entry.text.strip() or any(later.text.strip() for later in entries[number:])
    ]
    ends = [draw(st.sampled_from([b"\n", b"\n", b"\r\n"])) for _ in entries]
    lines = b"".join(entry.text + end for entry, end in zip(entries, ends, strict=True))
    mark, tail = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])), draw(st.sampled_from([b"", b"\n \r\n"]))
    content = mark + (lines.removesuffix(b"\n") if entries and not tail and draw(st.booleans()) else lines) + tail
    return Input(entries, content, draw(st.lists(st.integers(0, 4_000), max_size=5)))


# A backend that follows a script


@dataclass
class ShakyBackend(FakeBackend):
    """Writes what `fates` say about each request of each round, the lines of an object sorted by the weights in `order`."""

    fates: list[Fate] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    bodies: list[tuple[int, int, bytes]] = field(default_factory=list)  # line, round, body: as the engine would read them
    answers: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)  # the first success of a line in a round

    def _write(self, job: Upstream, most: int | None = None) -> None:
        if job.written:
            return
        job.written = True
        for key, _ in list(self.bucket.list(job.work.input_prefix))[:most]:
            lines = [line for text in self.bucket.lines(key) for line in self._answer(text)]
            weights = self.order or [0]
            shuffled = [
                line for _, line in sorted(enumerate(lines), key=lambda entry: (weights[entry[0] % len(weights)], entry[0]))
            ]
            self._note_answers(shuffled)
            name = key.rpartition("/")[2]
            self.bucket.write(f"{job.work.output_prefix}{name}.out", b"".join(line + b"\n" for line in shuffled))

    def _note_answers(self, lines: list[bytes]) -> None:
        for line in lines:
            if not line.endswith(b"}"):
                continue  # noise, or cut short
            read = json.loads(line)
            batch_id, round_number, number = read["custom_id"].rsplit(".", 2)
            if read["response"]["status_code"] == 200 and batch_id != FOREIGN:
                self.answers.setdefault((int(number), int(round_number)), read["response"]["body"])

    def _answer(self, text: bytes) -> list[bytes]:
        request = msgspec.json.decode(text, type=_Sent)
        _, round_number, line = request.custom_id.rsplit(".", 2)
        self.bodies.append((int(line), int(round_number), bytes(request.body)))
        fate = fate_of(self.fates, int(line), int(round_number))
        return fate.lines(request.custom_id, bytes(request.body), int(round_number))


class _Sent(msgspec.Struct):
    custom_id: str
    url: str
    body: msgspec.Raw
