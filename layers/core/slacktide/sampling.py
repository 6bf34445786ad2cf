"""A sample of lines, evenly spread over a file whose length is not known before its end; and what it says about all of them."""

import math
from dataclasses import dataclass, field

SAMPLE_BYTES = 2_000_000  # of the lines that are kept; a smaller file is kept whole
LEAST_SAMPLE = 30  # lines: with fewer, their spread says nothing
NORMAL_95 = 1.96  # standard errors on both sides in which 95 of 100 samples lie


@dataclass(slots=True)
class Sample:
    """Every n-th line: n doubles, and every other line is dropped, whenever too much is kept."""

    lines: list[bytes] = field(default_factory=list[bytes])
    total: int = 0
    size: int = 0  # bytes of all lines
    _step: int = 1
    _kept: int = 0  # bytes

    @property
    def is_whole(self) -> bool:
        """Whether every line is in it."""
        return self._step == 1

    def add(self, text: bytes, count: int) -> None:
        """Take lines in, each with its line feed."""
        first = -self.total % self._step
        self.total += count
        self.size += len(text)
        if first >= count:
            return
        chosen = text.split(b"\n")[first : count : self._step]
        self.lines += chosen
        self._kept += sum(map(len, chosen))
        while self._kept > SAMPLE_BYTES and len(self.lines) > 1:
            self.lines = self.lines[::2]
            self._step *= 2
            self._kept = sum(map(len, self.lines))


@dataclass(frozen=True, slots=True)
class Projection:
    """What a sample says about a sum over all lines: the sum, and how far it may be off in 95 of 100 samples."""

    value: int
    error: int


def project(sample: Sample, counted: list[int]) -> Projection | None:
    """The sum over all lines, from what was counted in the sample's; None where these are too few to tell.

    It is a ratio estimate (Cochran, "Sampling Techniques", chapter 6): what is counted grows with the bytes of a line.
    """
    if sample.is_whole:
        return Projection(sum(counted), 0)
    number = len(counted)
    if number < LEAST_SAMPLE:
        return None
    sizes = [len(line) for line in sample.lines]
    ratio = sum(counted) / sum(sizes)
    spread = sum((count - ratio * size) ** 2 for count, size in zip(counted, sizes, strict=True)) / (number - 1)
    value = ratio * (sample.size - sample.total)  # without line feeds
    error = NORMAL_95 * sample.total * math.sqrt((1 - number / sample.total) * spread / number)
    return Projection(round(value), math.ceil(error))
