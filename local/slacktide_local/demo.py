"""`make demo`: an example file through the whole system here, with real inference; then all is stopped.

A fake of the hosted Batch API runs the first round and leaves part of it undone; the stand-in's GPUs run the rest.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console

from slacktide_local.accounting import find_unaccounted, read_queue, read_results, split_lines
from slacktide_local.cloud import LocalCloud
from slacktide_local.errors import LocalCloudError
from slacktide_local.fake_hosted import start_fake_hosted
from slacktide_local.start import ENGINE_MODULES, ROOT, STATE, Engine, check_engine
from slacktide_local.summary import JobReceipt, Outcome, show_summary

RESULTS = ROOT / "results" / "demo"
MODELS = ROOT / "examples" / "models.toml"  # gives the local model a hosted backend
MODELS_KEY = "config/models.toml"
BOTH = {"together", "sagemaker"}


def main() -> int:
    """Run the demo; 0 only when every line is accounted for and the batch completed."""
    parser = argparse.ArgumentParser(prog="python -m slacktide_local.demo", description="A batch on this machine.")
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "examples" / "demo.jsonl", help="the requests")
    parser.add_argument("--engine", choices=["llama", "scripted"], default="llama", help="what answers the requests")
    arguments = parser.parse_args()
    console = Console()
    signal.signal(signal.SIGTERM, _end)
    try:
        problems = run_demo(arguments.file.resolve(), engine=check_engine(arguments.engine), console=console)
    except LocalCloudError as error:
        console.print(f"The demo could not run: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; all that the demo started is stopped.")
        return 130
    return 1 if problems else 0


def run_demo(file: Path, *, engine: Engine, console: Console) -> list[str]:
    """Start a local cloud of its own, run the file on it, show the outcome, and return what is wrong with it."""

    def report(message: str) -> None:
        console.print(f"[dim]·[/] {message}", highlight=False, soft_wrap=True)

    begin = time.monotonic()
    fake = start_fake_hosted(STATE / "demo-hosted", engine_module=ENGINE_MODULES[engine])
    with fake as upstream, LocalCloud.start(STATE / "demo", engine=engine, hosted=upstream.hosted, report=report) as cloud:
        cloud.session.client("s3").put_object(
            Bucket=cloud.environment["SLACKTIDE_BUCKET"], Key=MODELS_KEY, Body=MODELS.read_bytes()
        )
        upstream.wait()
        report(f"Ready after {time.monotonic() - begin:.0f} s. Hosted backend: a fake Together at {upstream.url}")
        if RESULTS.exists():
            shutil.rmtree(RESULTS)
        exit_code = drop_file(file, cloud)
        outcome = read_outcome(file, cloud, seconds=time.monotonic() - begin)
        problems = find_problems(outcome, exit_code)
        show_summary(console, outcome, problems)
    report("The local cloud and the fake Together are stopped")
    return problems


def drop_file(file: Path, cloud: LocalCloud) -> int:
    """Run the file with the command line, as a person would; its progress bar goes to this terminal."""
    command = [str(Path(sys.executable).with_name("slacktide")), "run", str(file), "--out", str(RESULTS)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(command, env={**environment, **cloud.environment}, check=False).returncode


def read_outcome(file: Path, cloud: LocalCloud, *, seconds: float) -> Outcome:
    """Gather the results, and what lies in the queues. Raises LocalCloudError when there are no results."""
    if not (RESULTS / "manifest.json").exists():
        raise LocalCloudError(f"the batch left no results. The logs are in {cloud.directory.logs}")
    sqs = cloud.session.client("sqs")
    return Outcome(
        requests=split_lines(file.read_bytes()),
        output=read_results(RESULTS / "output.jsonl"),
        errors=read_results(RESULTS / "errors.jsonl"),
        jobs=msgspec.json.decode((RESULTS / "receipt.json").read_bytes(), type=Receipt).jobs,
        dead_letters=read_queue(sqs, cloud.environment["SLACKTIDE_DLQ_URL"]),
        events=read_queue(sqs, cloud.environment["SLACKTIDE_EVENTS_QUEUE_URL"]),
        folder=RESULTS.relative_to(ROOT),
        seconds=seconds,
    )


class Receipt(msgspec.Struct, frozen=True):
    """What of the receipt the summary shows."""

    jobs: list[JobReceipt]


def find_problems(outcome: Outcome, exit_code: int) -> list[str]:
    """Return what is wrong with the outcome, in words."""
    lines = [int(letter["line"]) for letter in outcome.dead_letters]
    problems = find_unaccounted(len(outcome.requests), output=outcome.output, errors=outcome.errors, dead_letters=lines)
    if not outcome.output:
        problems.append("no request was answered")
    if missing := BOTH - {job.backend for job in outcome.jobs if job.completed}:
        problems.append(f"nothing was answered by {', '.join(sorted(missing))}")
    if exit_code != 0:
        problems.append(f"`slacktide run` ended with exit code {exit_code}")
    return problems


def _end(_number: int, _frame: object) -> None:
    """End as if by an exception, so that all is stopped and removed on the way out."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
