"""100 MB through the local cloud and a hosted backend, beside the official client: `python -m bench.hosted`.

`make bench-hosted` runs it. Both work against the same fake Together at full speed, which answers at once, in turns; medians
over the rounds. In each of them a first batch is not counted: it starts the functions' processes. Prints a table in
Markdown; `--write` puts it on the page docs/performance.md too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench.files import Shape
from bench.rounds import ROOT, MeasurementError
from bench.tables import TIMES, Table, describe_run, write_ratio, write_seconds, write_section
from slacktide_local.cloud import LocalCloud
from slacktide_local.fake_hosted import FakeHosted, start_fake_hosted
from slacktide_local.scale import Span, find_spans, run_file, union
from slacktide_local.start import STATE

LINE_BYTES = 1_998  # 50,000 of them are just below 100 MB, the most that one batch of Together may have
ANSWER = "The order can be returned until the end of the month; the damaged parts are replaced without charge. " * 6
TARGET = 2.0
PATIENCE = 600  # seconds
CLIENT = STATE / "venvs" / "together" / "bin" / "python"
# The waits of the machines are there for a service that takes hours: here they are a tenth of a second, and as many turns.
WAIT_SCALE, PARAMETERS = 0.01, {"FirstWaitSeconds": "15", "LongestWaitSeconds": "20"}
# The stages in the order in which a line goes through them, and the states that they are.
STAGES: Mapping[str, Sequence[str]] = {
    "upload": ("Submit", "Wait for room", "Wait for proof"),
    "wait": ("Wait for results", "Poll"),
    "download": ("Collect",),
    "assemble": ("Assemble", "Dead-letter", "Announce"),
}


def split_time(dropped: float, spans: Iterable[Span]) -> dict[str, float]:
    """The seconds of each stage, from the drop to the end; while jobs are in several stages, the first of these counts.

    `validate` lasts until the execution begins; `rest` is what none of the stages is: planning, and waiting for its turn.
    """
    spans = list(spans)
    began, ended = min(span.begun for span in spans), max(span.ended for span in spans)
    seconds = {"validate": began - dropped}
    covered: list[tuple[float, float]] = []
    for stage, states in STAGES.items():
        before = union(covered)
        covered += [(span.begun, span.ended) for span in spans if span.state in states]
        seconds[stage] = union(covered) - before
    return seconds | {"rest": ended - began - union(covered)}


def run_stack(source: Path, cloud: LocalCloud, lines: int) -> dict[str, float]:
    """One batch through the local cloud; answers the seconds of its stages. Raises MeasurementError when it is not whole."""
    dropped = time.time()
    run = run_file(source, cloud, name=source.name, patience=PATIENCE)
    counts = {"total": lines, "completed": lines, "failed": 0}
    if run.latest["status"] != "completed" or run.latest["counts"] != counts:
        raise MeasurementError(f"the batch ended as {run.latest['status']} with {run.latest['counts']}")
    spans = find_spans(cloud, run.latest["batch_id"])
    return {"drop": run.seconds["Upload"]} | split_time(dropped + run.seconds["Upload"], spans)


def run_client(source: Path, fake: FakeHosted, lines: int) -> dict[str, float]:
    """One batch by the official client, in a process of its own; answers the seconds of its stages. Raises MeasurementError."""
    environment = os.environ | {"TOGETHER_BASE_URL": fake.url, "TOGETHER_API_KEY": fake.hosted.key}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [str(CLIENT), str(ROOT / "bench" / "plain_client.py"), str(source), folder]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MeasurementError(f"the official client failed:\n{done.stderr}")
        if (found := (Path(folder) / "output.jsonl").read_bytes().count(b"\n")) != lines:
            raise MeasurementError(f"the official client got {found} lines")
    return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True, slots=True)
class Round:
    """The seconds of each stage, of both, in one round."""

    stack: Mapping[str, float]
    client: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return sum(self.stack.values()) / sum(self.client.values())


def measure(lines: int, rounds: int) -> list[Round]:
    """Run all rounds; each begins with the other one."""
    found: list[Round] = []
    for number in range(1, rounds + 1):
        found.append(measure_round(lines, number))
        print(
            f"  round {number}: {found[-1].ratio:.2f}",
            {name: round(sum(of.values()), 2) for name, of in asdict(found[-1]).items()},
        )
    return found


def measure_round(lines: int, number: int) -> Round:
    """One round, over a fake and a local cloud of its own: what they hold in memory from former rounds would make them slower."""
    with (
        tempfile.TemporaryDirectory(prefix="slacktide-bench-") as folder,
        start_fake_hosted(STATE / "bench-hosted-fake", engine_module=None, faults=(), settings={"answer": ANSWER}) as fake,
        LocalCloud.start(
            STATE / "bench-hosted",
            engine="instant",
            hosted=fake.hosted,
            parameters=PARAMETERS,
            wait_scale=WAIT_SCALE,
            report=print,
        ) as cloud,
    ):
        fake.wait()
        run_stack(write_file(Path(folder), lines, 0), cloud, lines)
        source = write_file(Path(folder), lines, number)
        runs = {"stack": partial(run_stack, source, cloud, lines), "client": partial(run_client, source, fake, lines)}
        return Round(**{name: runs[name]() for name in sorted(runs, reverse=bool(number % 2))})


def write_file(folder: Path, lines: int, number: int) -> Path:
    """The input of a round; each has other bytes, since equal content is one file at Together."""
    path = folder / f"round-{number}.jsonl"
    with path.open("wb") as file:
        for block in Shape(lines, LINE_BYTES).blocks():
            file.write(block.replace(b'"request-', b'"round%02d-' % number))
    return path


def show(rounds: Sequence[Round]) -> Table:
    """A row for each stage, and one for all."""
    titles = {
        "drop": "put the file into the bucket",
        "validate": "validate",
        "upload": "upload, create",
        "wait": "wait",
        "download": "download, collect",
        "assemble": "assemble",
        "rest": "plan, follow",
    }

    def middle(seconds: Iterable[float]) -> str:
        return write_seconds(statistics.median(seconds))

    rows = [[title, middle(it.stack[stage] for it in rounds), _plain(rounds, stage)] for stage, title in titles.items()]
    sums = [middle(sum(it.stack.values()) for it in rounds), middle(sum(it.client.values()) for it in rounds)]
    ratio = statistics.median(it.ratio for it in rounds)
    verdict = f"at most {TARGET:g} {TIMES}: {'met' if ratio <= TARGET else 'missed'}"
    single = " to ".join(write_ratio(edge(it.ratio for it in rounds)) for edge in (min, max))
    rows += [["**in all**", *sums], ["", write_ratio(ratio), verdict], ["single rounds", single, ""]]
    return Table(["", "**Slacktide**, seconds", "`together`, seconds"], rows)


def _plain(rounds: Sequence[Round], stage: str) -> str:
    """The official client's seconds of a stage: its create is part of the upload."""
    parts = {"upload": ("upload", "create"), "wait": ("wait",), "download": ("download",)}.get(stage, ())
    return write_seconds(statistics.median(sum(it.client[part] for part in parts) for it in rounds)) if parts else ""


def find_version() -> str:
    """The version of the official client."""
    command = [str(CLIENT), "-c", "import importlib.metadata as it; print(it.version('together'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.hosted", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args(arguments)
    if (load := os.getloadavg()[0]) > 1:
        print(f"This machine is busy (load {load:.1f}): the figures will not be its best, and will vary.", flush=True)
    rounds = measure(options.lines, options.rounds)
    about = describe_run(["httpx", "aiohttp"], options.rounds).removesuffix(".") + f", together {find_version()}."
    text = f"{about}\n\n{show(rounds)}"
    print(f"\n{text}")
    if options.write:
        write_section("hosted", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
