"""Validation and assembly against other packages and against the floor: `python -m bench`, which `make bench` runs.

Prints tables in Markdown; `--write` puts them on the page docs/performance.md too.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.comparison import FULL, PACKAGES, QUICK, compare
from bench.report import show
from bench.tables import PAGE, describe_run, write_section

FOLDER = PAGE.parents[1] / ".slacktide" / "bench"


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small files and one round, to see whether it works")
    parser.add_argument("--rounds", type=int, help=f"how often everything is measured (default {FULL.rounds}; with --quick 1)")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files lie meanwhile, in a folder of their own")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    if (load := os.getloadavg()[0]) > 1:
        print(f"This machine is busy (load {load:.1f}): the figures will not be its best, and will vary.", flush=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        tables = show(compare(plan, Path(folder)))
    texts = {"run": describe_run(PACKAGES, plan.rounds)} | {name: str(table) for name, table in tables.items()}
    for name, text in texts.items():
        print(f"\n{text}")
        if options.write:
            write_section(name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
