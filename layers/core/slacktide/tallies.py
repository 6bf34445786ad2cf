"""What a scan leaves behind for an estimate: for each model and endpoint the lines, their bounds, and a sample of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import msgspec

from slacktide.codes import Code
from slacktide.faults import Fault
from slacktide.lines import Line
from slacktide.models import Model, ModelTable
from slacktide.prompts import Vocabulary, read_prompt
from slacktide.sampling import Projection, Sample, project
from slacktide.scanning import Scan
from slacktide.tokens import TokenBound, bound_lines, bound_of
from slacktide.validation import Checker

_IDS = msgspec.json.Encoder()


class _Line(msgspec.Struct):
    body: msgspec.Raw


_LINE = msgspec.json.Decoder(_Line)
_BODY = msgspec.json.Decoder()


@dataclass(slots=True)
class Tally:
    """The good lines of one model and endpoint."""

    model: Model
    endpoint: str
    prompt: int = 0  # the most tokens of all prompts
    output: int = 0  # and of all answers
    sample: Sample = field(default_factory=Sample)

    def add(self, text: bytes, count: int) -> None:
        """Take lines in, each with its line feed."""
        bound = bound_lines(text, count, self.endpoint, self.model)
        self.prompt += bound.prompt
        self.output += bound.output
        self.sample.add(text, count)

    @property
    def bound(self) -> TokenBound:
        """The most that all lines can take."""
        return TokenBound(self.prompt, self.output)

    def count_prompts(self, model: Model, vocabulary: Vocabulary | None) -> Projection | None:
        """The tokens of all prompts for a model, projected from the sample; None where they cannot be counted."""
        if vocabulary is None or model.tokenizer is None:
            return None
        return project(self.sample, [self._count(line, model, vocabulary) for line in self.sample.lines])

    def _count(self, line: bytes, model: Model, vocabulary: Vocabulary) -> int:
        body = bytes(_LINE.decode(line).body)
        prompt = read_prompt(_BODY.decode(body), self.endpoint)
        if prompt is None or model.tokenizer is None:
            return bound_of(body, self.endpoint, model).prompt
        return vocabulary.count(prompt.texts) + prompt.around(model.tokenizer)


@dataclass(slots=True)
class Tallies:
    """The sink of a scan that is for an estimate. Nothing is kept for each line but its custom_id, in a temporary file."""

    models: ModelTable
    ids: IO[bytes]
    groups: dict[str, Tally] = field(default_factory=dict[str, Tally])
    codes: Counter[Code] = field(default_factory=Counter[Code])
    _scan: Scan | None = None

    def scan(self, checker: Checker, blocks: Iterable[bytes]) -> Scan:
        """Scan a file that comes in blocks."""
        self._scan = Scan(checker, self)
        self._scan.run(blocks)
        return self._scan

    def keep_requests(self, group: str, numbers: Sequence[int], text: bytes) -> None:
        if group not in self.groups:
            self._open(group)
        self.groups[group].add(text, len(numbers))

    def _open(self, name: str) -> None:
        for group in self._scan.groups if self._scan else ():
            model = self.models.find(group.model)
            if group.name == name and model is not None:
                self.groups[name] = Tally(model, group.endpoint)

    def keep_fault(self, line: Line, fault: Fault) -> None:  # noqa: ARG002 - part of the protocol
        self._note(fault)

    def keep_late_fault(self, fault: Fault) -> None:
        self._note(fault)

    def keep_ids(self, custom_ids: Sequence[str | None]) -> None:
        self.ids.write(_IDS.encode_lines(custom_ids))

    def read_ids(self) -> Iterator[tuple[int, str | None]]:
        self.ids.seek(0)
        for number, text in enumerate(self.ids, 1):
            yield number, msgspec.json.decode(text, type=str | None)

    def _note(self, fault: Fault) -> None:
        self.codes.update({problem.code for problem in fault.problems})
