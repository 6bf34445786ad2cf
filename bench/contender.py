"""One measurement in a process of its own: `python -m bench.contender WHAT NAME …` prints time and memory as JSON."""

import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

BLOCK = 1 << 16  # bytes read at once


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall and of processor, the most bytes of memory above the imports, and what was counted."""

    seconds: float
    processor: float
    memory: int
    count: int


def measure(run: Callable[[], int]) -> Sample:
    """Run once. The interpreter is as it is in life: with its garbage collector, at its defaults."""
    gc.collect()
    before = _reset_peak()
    began, used = time.perf_counter(), time.process_time()
    count = run()
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    # The kernel counts pages in lumps, so what takes no memory can come out a little below nothing.
    return Sample(seconds, processor, max(0, _read_status("VmHWM") - before), count)


def _reset_peak() -> int:
    """Let the kernel's peak begin anew (proc(5), clear_refs); answers what is resident now, in bytes.

    The peak of getrusage would not do: it is inherited over exec, and cannot be reset.
    """
    Path("/proc/self/clear_refs").write_text("5")
    return _read_status("VmRSS")


def _read_status(name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"this kernel does not tell {name}")
    return int(match[1]) * 1024


def read_file(name: str, path: str) -> Sample:
    """Let one of the validators read a file."""
    from bench.validators import VALIDATORS  # noqa: PLC0415 - what is loaded here would count as another's import

    run = VALIDATORS[name]()
    return measure(lambda: run(Path(path)))


def find_faults(name: str, folder: str) -> list[str]:
    """The kinds of faults that a validator finds: those in whose files it does not take both lines for good."""
    from bench.faults import write_faults  # noqa: PLC0415
    from bench.validators import VALIDATORS  # noqa: PLC0415

    run = VALIDATORS[name]()
    return [kind for kind, path in write_faults(Path(folder)) if run(path) not in {-1, 2}]


def read_stream() -> Sample:
    """Let `slacktide validate` read the standard input."""
    from slacktide.batch import Options  # noqa: PLC0415
    from slacktide.models import shipped_models  # noqa: PLC0415
    from slacktide_cli.preflight import examine  # noqa: PLC0415

    models = shipped_models()

    def run() -> int:
        blocks: Iterator[bytes] = iter(partial(os.read, 0, BLOCK), b"")
        report = examine(blocks, name="stdin.jsonl", models=models, options=Options(), most=20)
        return report.total - report.invalid

    return measure(run)


def download(name: str, url: str, path: str) -> Sample:
    """Let one of the downloads fetch a file."""
    from bench.wire import DOWNLOADS, connect  # noqa: PLC0415

    s3 = connect(url)
    return measure(lambda: DOWNLOADS[name](s3, Path(path)))


def prepare_join(folder: str, path: str) -> int:
    """Validate a file and collect an answer to each line, for the joins that are measured; answers the lines."""
    from bench.batches import Store  # noqa: PLC0415
    from bench.joining import write_custom_ids  # noqa: PLC0415

    store = Store.of(Path(folder), Path(path))
    index = store.validate()
    store.answer()
    store.collect()
    write_custom_ids(store)
    return index.total


def join(name: str, folder: str) -> Sample:
    """Let one of the joins put the answers in order."""
    from bench.batches import Store  # noqa: PLC0415
    from bench.folder_s3 import FolderS3  # noqa: PLC0415
    from bench.joining import JOINS  # noqa: PLC0415

    store = Store(Path(folder), FolderS3(Path(folder)))
    return measure(lambda: JOINS[name](store))


TASKS: dict[str, Callable[..., Sample | list[str] | int]] = {
    "read": read_file,
    "faults": find_faults,
    "stream": read_stream,
    "download": download,
    "prepare": prepare_join,
    "join": join,
}


def main(arguments: list[str]) -> int:
    """Carry out a task; the result is the last line of what is printed."""
    result = TASKS[arguments[0]](*arguments[1:])
    print(json.dumps(asdict(result) if isinstance(result, Sample) else result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
