"""Measurements side by side: each in a process started for it alone, all of them once in a round, medians over the rounds."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contender import Sample

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    # The library, the command and the fakes of the tests, so that nothing has to be installed but the packages.
    "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("", "layers/core", "cli", "tests")),
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it fetches a list of prices when it is imported
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class MeasurementError(Exception):
    """A measurement failed, or did not do the work that was asked for."""


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of several contenders, round by round."""

    samples: Mapping[str, Sequence[Sample]]

    def seconds(self, name: str) -> float:
        """The median time of a contender, in seconds."""
        return statistics.median(sample.seconds for sample in self.samples[name])

    def processor(self, name: str) -> float:
        """The median of the processor seconds of a contender."""
        return statistics.median(sample.processor for sample in self.samples[name])

    def memory(self, name: str) -> float:
        """The median of a contender's peak of memory above its imports, in bytes."""
        return statistics.median(sample.memory for sample in self.samples[name])

    def speed(self, name: str, against: str) -> float:
        """How many times as fast as another a contender is: of each round by itself, since two rounds see two machines."""
        pairs = zip(self.samples[against], self.samples[name], strict=True)
        return statistics.median(other.seconds / own.seconds for other, own in pairs)


def run_task(*arguments: str) -> Any:
    """Carry out one task of `bench.contender` in a fresh process; answers what it printed. Raises MeasurementError."""
    command = [sys.executable, "-m", "bench.contender", *arguments]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementError(f"bench.contender {' '.join(arguments[:2])} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_rounds(task: str, names: Sequence[str], *arguments: str, rounds: int, counts: Sequence[int]) -> Series:
    """Carry out a task for each of `names` in each of the rounds, each round beginning with another one.

    A run that counts anything but one of `counts` did not do its work. Raises MeasurementError.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            sample = Sample(**run_task(task, name, *arguments))
            if sample.count not in counts:
                raise MeasurementError(f"{name} counted {sample.count} instead of {counts[0]}")
            samples[name].append(sample)
            print(f"  round {number + 1}: {name} {sample.seconds:.2f} s, {sample.memory / 1e6:.0f} MB", flush=True)
    return Series(samples)


@contextmanager
def serve(path: Path, rate: float) -> Generator[str]:
    """A file behind HTTP at so many bytes a second, served by a process of its own; yields the URL."""
    command = [sys.executable, "-m", "bench.wire", str(path), str(rate)]
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        if server.stdin is None or server.stdout is None:
            raise MeasurementError("the server has no pipes")
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()
