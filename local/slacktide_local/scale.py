"""`make scale`: a big file through a local cloud of its own, with a container that answers at once.

Run it as `python -m slacktide_local.scale [--lines 1000000] [--faults 1000]`. It tells how long each stage took, checks
that every line is accounted for, in order, and that no bad line was seen behind the stand-in, and exits 1 if not.
With `--dead-letters 50000` a file of so many bad lines goes through instead, and their dead letters are counted.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from slacktide_local.accounting import ErrorDetail
from slacktide_local.cloud import LocalCloud
from slacktide_local.errors import LocalCloudError
from slacktide_local.scale_file import MODELS, ScaleFile, request_id, request_text
from slacktide_local.start import STATE

PARAMETERS = {
    "TransformModels": ",".join(MODELS),
    "TransformMaxLines": "10000",
    "FirstWaitSeconds": "20",
    "LongestWaitSeconds": "40",
}
NAMES = ("output", "errors")


class ScaleError(LocalCloudError):
    """The batch did not come to its end."""


class Choice(msgspec.Struct):
    """What was answered, at either endpoint."""

    message: dict[str, str] | None = None
    text: str | None = None


class Body(msgspec.Struct):
    """The answer's body."""

    choices: list[Choice]


class Response(msgspec.Struct):
    """The answer."""

    body: Body


class Line(msgspec.Struct):
    """A line of the output or of the error file."""

    line: int
    custom_id: str | None
    response: Response | None = None
    error: ErrorDetail | None = None

    @property
    def answer(self) -> str | None:
        if self.response is None:
            return None
        choice = self.response.body.choices[0]
        return choice.message["content"] if choice.message else choice.text


@dataclass(frozen=True)
class Run:
    """A batch that has ended: its last `latest.json`, and the seconds of each stage."""

    latest: dict[str, Any]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Span:
    """A state of an execution, and when it was entered and left, in Unix seconds."""

    execution: str
    state: str
    begun: float
    ended: float


def run_file(source: Path, cloud: LocalCloud, *, name: str, patience: float) -> Run:
    """Drop a file and wait for the end of its batch. Raises ScaleError after `patience` seconds."""
    s3, bucket = cloud.session.client("s3"), cloud.environment["SLACKTIDE_BUCKET"]
    begun = time.time()
    s3.upload_file(str(source), bucket, f"input/{name}")
    uploaded = time.time()
    latest = _wait_for_end(cloud, name, patience)
    return Run(latest, {"Upload": uploaded - begun} | _find_stages(cloud, latest["batch_id"], uploaded))


def check_run(run: Run, file: ScaleFile, cloud: LocalCloud, folder: Path) -> list[str]:
    """Say what is wrong with a run of the file; `folder` takes the results."""
    s3, bucket, results = cloud.session.client("s3"), cloud.environment["SLACKTIDE_BUCKET"], run.latest["output"]
    codes = file.find_codes()
    problems = [] if run.latest["status"] == "completed" else [f"the batch ended as {run.latest['status']}"]
    letters = {letter["line"] for letter in take_letters(cloud) if letter["batch_id"] == run.latest["batch_id"]}
    if letters != codes.keys():
        problems.append(f"{len(letters)} lines have dead letters, {len(codes)} are bad")
    for name in NAMES:
        s3.download_file(bucket, f"{results['prefix']}{name}.jsonl", str(folder / f"{name}.jsonl"))
    return [*problems, *find_problems(file, folder), *find_unseen(file, cloud.directory.logs / "containers")]


def count_letters(cloud: LocalCloud) -> int:
    """How many messages are on the dead-letter queue."""
    names = ["ApproximateNumberOfMessages"]
    url = cloud.environment["SLACKTIDE_DLQ_URL"]
    answer = cloud.session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return int(answer["Attributes"][names[0]])


def run_bad_lines(count: int, cloud: LocalCloud, folder: Path, *, patience: float) -> tuple[Run, list[str]]:
    """Run a file of bad lines alone, and say what is wrong with its counts and its dead letters."""
    source = folder / "bad.jsonl"
    source.write_bytes(b"[]\n" * count)
    before = count_letters(cloud)
    run = run_file(source, cloud, name=source.name, patience=patience)
    problems = [] if run.latest["status"] == "failed" else [f"the batch ended as {run.latest['status']}"]
    if run.latest["counts"] != {"total": count, "completed": 0, "failed": count}:
        problems.append(f"the counts are {run.latest['counts']}")
    if (letters := count_letters(cloud) - before) != count:
        problems.append(f"{letters} dead letters were sent for {count} lines")
    return run, problems


def take_letters(cloud: LocalCloud) -> Iterator[dict[str, Any]]:
    """The messages of the dead-letter queue, taken off it."""
    sqs, url, quiet = cloud.session.client("sqs"), cloud.environment["SLACKTIDE_DLQ_URL"], 0
    while quiet < 2:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        quiet = 0 if messages else quiet + 1
        yield from (msgspec.json.decode(message["Body"]) for message in messages)
        if messages:
            receipts = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in messages]
            sqs.delete_message_batch(QueueUrl=url, Entries=receipts)


def _wait_for_end(cloud: LocalCloud, name: str, patience: float) -> dict[str, Any]:
    s3, bucket = cloud.session.client("s3"), cloud.environment["SLACKTIDE_BUCKET"]
    end = time.monotonic() + patience
    latest: dict[str, Any] = {}
    while time.monotonic() < end:
        time.sleep(0.5)  # between two looks
        try:
            latest = msgspec.json.decode(s3.get_object(Bucket=bucket, Key=f"output/{name}/latest.json")["Body"].read())
        except s3.exceptions.NoSuchKey:
            continue
        if latest["status"] in {"completed", "failed", "expired", "cancelled"}:
            return latest
    raise ScaleError(f"after {patience:.0f} s the batch is {latest.get('status')}. The logs are in {cloud.directory.logs}")


def _find_stages(cloud: LocalCloud, batch_id: str, uploaded: float) -> dict[str, float]:
    """The seconds in which at least one execution of the batch was in a state, by the names of the states."""
    spans = find_spans(cloud, batch_id)
    named = {span.state: [(other.begun, other.ended) for other in spans if other.state == span.state] for span in spans}
    begun, ended = min(span.begun for span in spans), max(span.ended for span in spans)
    return {"Validate": begun - uploaded} | {name: union(of) for name, of in named.items()} | {"All": ended - uploaded}


def find_spans(cloud: LocalCloud, batch_id: str) -> list[Span]:
    """Each state of each execution of a batch."""
    states = cloud.session.client("stepfunctions")
    spans: list[Span] = []
    for machine in ("BatchStateMachineArn", "JobStateMachineArn"):
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=cloud.outputs[machine])
        for execution in (execution for page in pages for execution in page["executions"]):
            if execution["name"].startswith(batch_id):
                spans += _find_states(states, execution["name"], execution["executionArn"])
    return spans


def _find_states(states: Any, name: str, arn: str) -> Iterator[Span]:
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    entered = [event for event in events if event["type"].endswith("StateEntered")]
    for event, following in zip(entered, [*entered[1:], events[-1]], strict=True):
        if event["type"].startswith(("Task", "Wait")):
            times = event["timestamp"].timestamp(), following["timestamp"].timestamp()
            yield Span(name, event["stateEnteredEventDetails"]["name"], *times)


def union(spans: Iterable[tuple[float, float]]) -> float:
    """The time that is in at least one of the spans."""
    total = reached = 0.0
    for begun, ended in sorted(spans):
        total += max(0.0, ended - max(begun, reached))
        reached = max(reached, ended)
    return total


def find_problems(file: ScaleFile, folder: Path) -> list[str]:
    """Say what is wrong with the results: each line once, in order, its own id and answer, or its own fault."""
    codes = file.find_codes()
    problems: list[str] = []
    missing = bytearray(b"\1") * (file.lines + 1)
    missing[0] = 0
    for name in NAMES:
        before = 0
        for result in _read_lines(folder / f"{name}.jsonl"):
            if not before < result.line <= file.lines or not missing[result.line]:
                problems.append(f"{name}.jsonl has line {result.line} behind line {before}, or again")
                continue
            before, missing[result.line] = result.line, 0
            code = result.error.code if result.error else None
            if (code is None) != (name == "output"):
                problems.append(f"line {result.line} is in {name}.jsonl with the code {code}")
            elif code != codes.get(result.line):
                problems.append(f"line {result.line} has the code {code}, not {codes.get(result.line)}")
            elif code is None and (result.custom_id, result.answer) != _expected(result.line):
                problems.append(f"line {result.line} has not its own id and answer")
    problems += [f"line {line} is in neither file" for line, is_missing in enumerate(missing) if is_missing]
    return problems


def _expected(line: int) -> tuple[str, str]:
    return request_id(line), f"echo: {request_text(line)}"


def _read_lines(path: Path) -> Iterator[Line]:
    decode = msgspec.json.Decoder(Line).decode
    with path.open("rb") as file:
        for text in file:
            yield decode(text)


def find_unseen(file: ScaleFile, logs: Path) -> list[str]:
    """Say what was seen behind the stand-in that should not, and the other way round: every good line, once."""
    seen = bytearray(file.lines + 1)
    for log in logs.glob("*.log"):
        for text in log.read_bytes().splitlines():
            for first, last in msgspec.json.decode(text)["seen"]:
                for line in range(first, last + 1):
                    seen[line] += 1
    wanted = file.find_codes()
    wrong = [line for line in range(1, file.lines + 1) if seen[line] != (line not in wanted)]
    return [f"line {line} was seen {seen[line]} times behind the stand-in" for line in wrong]


def show(run: Run, problems: list[str], lines: int) -> None:
    """Tell how long each stage took, and what is wrong."""
    for name, took in run.seconds.items():
        print(f"  {name:20} {took:8.1f} s {lines / max(took, 0.001):12,.0f} lines/s")
    for problem in problems[:20]:
        print(f"  wrong: {problem}")
    print("Every line is accounted for." if not problems else f"{len(problems)} things are wrong.")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m slacktide_local.scale", description="A big file through the local cloud.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--dead-letters", type=int, metavar="N", help="N bad lines alone, and their dead letters")
    parser.add_argument("--patience", type=float, default=3_600, help="seconds until the batch must have ended")
    arguments = parser.parse_args()
    try:
        file = ScaleFile(arguments.lines, arguments.faults)
        with (
            tempfile.TemporaryDirectory(prefix="slacktide-scale-") as folder,
            LocalCloud.start(STATE / "scale", engine="instant", parameters=PARAMETERS, report=print) as cloud,
        ):
            if arguments.dead_letters:
                run, problems = run_bad_lines(arguments.dead_letters, cloud, Path(folder), patience=arguments.patience)
            else:
                source = Path(folder) / "input.jsonl"
                file.write(source)
                run = run_file(source, cloud, name="scale.jsonl", patience=arguments.patience)
                problems = check_run(run, file, cloud, Path(folder))
    except (ValueError, LocalCloudError) as error:
        print(f"slacktide: {error}", file=sys.stderr)
        return 1
    show(run, problems, arguments.dead_letters or file.lines)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
