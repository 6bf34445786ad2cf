"""Five gigabytes through `slacktide validate` once: `python -m bench.large`, which `make bench-large` runs.

The lines are made by this process while the other reads them from a pipe, so they lie on no disk. Prints a table in
Markdown; `--write` puts it on the page docs/performance.md too.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from bench.contender import Sample
from bench.files import Shape
from bench.report import most_memory
from bench.rounds import ENVIRONMENT, MeasurementError
from bench.tables import Table, describe_run, write_megabytes, write_seconds, write_section

LINE_BYTES = 2_000
BYTES = 5_000_000_000


def stream(shape: Shape) -> tuple[Sample, int]:
    """Read a file of that shape once; answers the sample, and the bytes that were sent."""
    command = [sys.executable, "-m", "bench.contender", "stream"]
    size = 0
    with subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        if reader.stdin is None or reader.stdout is None:
            raise MeasurementError("the reader has no pipes")
        for block in shape.blocks():
            size += len(block)
            reader.stdin.write(block)
        reader.stdin.close()
        text = reader.stdout.read()
    if reader.returncode:
        raise MeasurementError("the reader failed")
    sample = Sample(**json.loads(text))
    if sample.count != shape.lines:
        raise MeasurementError(f"{sample.count} lines were read instead of {shape.lines}")
    return sample, size


def show(shape: Shape, sample: Sample, size: int) -> Table:
    """The one row."""
    columns = ["", "lines", "seconds", "MB/s", "processor, seconds", "memory, MB", "allowed, MB", ""]
    limit = most_memory(shape.lines)
    row = [
        f"{size / 1e9:.1f} GB",
        f"{shape.lines:,}",
        write_seconds(sample.seconds),
        f"{size / sample.seconds / 1e6:.0f}",
        write_seconds(sample.processor),
        write_megabytes(sample.memory),
        write_megabytes(limit),
        "met" if sample.memory <= limit else "missed",
    ]
    return Table(columns, [row])


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.large", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bytes", type=int, default=BYTES)
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args(arguments)
    shape = Shape(max(1, options.bytes // LINE_BYTES), LINE_BYTES)
    text = f"{describe_run(['msgspec'], 1)}\n\n{show(shape, *stream(shape))}"
    print(text)
    if options.write:
        write_section("large", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
