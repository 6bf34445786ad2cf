"""`python -m slacktide_local.history`: count the events of a real run, and put into docs/cost.md what 24 hours take.

A batch runs on a local cloud against the fake Together, slowly enough for 20 polls and more. From the histories of its two
executions come the events and transitions of a turn of the waiting loops, and of all the rest; the waits of 24 hours follow from
the template's defaults. The emulator leaves out some events that AWS records; they are put in. Every type of event, those too,
must be one of AWS's own list (API model of Step Functions, HistoryEventType).
"""

import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from slacktide.steps import grow
from slacktide_local.cloud import LocalCloud
from slacktide_local.errors import LocalCloudError
from slacktide_local.fake_hosted import start_fake_hosted
from slacktide_local.start import ROOT, STATE

PAGE = ROOT / "docs" / "cost.md"
BEGIN, END = "<!-- history: python -m slacktide_local.history -->", "<!-- end of history -->"
DAY = 86_400  # seconds
MOST_EVENTS = 25_000  # of one execution (AWS Step Functions Developer Guide, Service quotas)
LEAST_POLLS = 20
LINES = 120  # of a second each, four at a time
PATIENCE = 300  # seconds
LOOPS = {"batch": "Wait", "job": "Wait for results"}  # the state with which a turn begins

# Prices in USD, us-east-1, without free tiers; docs/cost.md says where each of them was found.
TRANSITION = 0.025 / 1_000
INVOCATION, GB_SECOND = 0.20 / 1_000_000, 0.0000133334  # on Arm, the template's default
PUT, GET = 0.005 / 1_000, 0.0004 / 1_000
WRITE, READ = 0.625 / 1_000_000, 0.125 / 1_000_000
# Of a turn, at most: `follow` or `poll` for half a second at 512 MB. `follow` looks at latest.json too, reads and writes it.
SECONDS, GB = 0.5, 0.5
READS, WRITES = 4, 1


@dataclass(frozen=True)
class Measured:
    """What one execution's history shows. A turn's figures are slopes over all turns, `off` is the worst distance from them."""

    machine: str
    turns: int
    recorded: int  # events, by the emulator
    events: int
    transitions: int
    events_a_turn: float
    transitions_a_turn: float
    off: float

    def events_of(self, turns: int) -> int:
        """The events of an execution of so many turns."""
        return round(self.events + self.events_a_turn * (turns - self.turns))

    def transitions_of(self, turns: int) -> int:
        """The state transitions of an execution of so many turns; each state entered is one."""
        return round(self.transitions + self.transitions_a_turn * (turns - self.turns))


class Event(NamedTuple):
    """An event's type, and of the beginning of a state its name."""

    kind: str
    state: str | None = None


def complete(events: Sequence[Event]) -> list[Event]:
    """Put in what AWS records and the emulator does not (Step Functions Developer Guide and API reference, GetExecutionHistory):
    that a task has started, that a Map has started and succeeded, and the items of it with the states that they enter."""
    kinds = {event.kind for event in events}
    whole: list[Event] = []
    is_in_map = False
    for event in events:
        is_item = is_in_map and "MapIterationStarted" not in kinds
        if is_item and event.kind == "TaskScheduled":
            whole += [Event("MapIterationStarted"), Event("TaskStateEntered", "item")]
        if event.kind == "MapStateExited" and "MapStateSucceeded" not in kinds:
            whole.append(Event("MapStateSucceeded"))
        whole.append(event)
        if event.kind == "MapStateEntered" and "MapStateStarted" not in kinds:
            whole.append(Event("MapStateStarted"))
        if event.kind == "TaskScheduled" and "TaskStarted" not in kinds:
            whole.append(Event("TaskStarted"))
        if is_item and event.kind == "TaskSucceeded":
            whole += [Event("TaskStateExited"), Event("MapIterationSucceeded")]
        is_in_map = event.kind == "MapStateEntered" or (is_in_map and event.kind != "MapStateExited")
    return whole


def measure(machine: str, recorded: Sequence[Event]) -> Measured:
    """Fit the events of an execution, in their order. Raises ValueError when it has too few turns."""
    events = complete(recorded)
    begins = [place for place, event in enumerate(events) if event == Event("WaitStateEntered", LOOPS[machine])]
    if len(begins) < LEAST_POLLS:
        raise ValueError(f"the machine {machine} made {len(begins)} turns; at least {LEAST_POLLS} are wanted")
    entered = [event.state is not None for event in events]
    turn = statistics.linear_regression(range(len(begins)), begins)
    step = statistics.linear_regression(range(len(begins)), [sum(entered[:place]) for place in begins])
    off = max(abs(turn.intercept + turn.slope * number - place) for number, place in enumerate(begins))
    figures = (round(figure, 3) for figure in (turn.slope, step.slope, off))
    return Measured(machine, len(begins), len(recorded), len(events), sum(entered), *figures)


def count_turns(seconds: int) -> int:
    """Turns of a waiting loop until so many seconds are over, with the template's defaults."""
    text = (ROOT / "template.yaml").read_text()
    first, longest = (int(read_default(text, name)) for name in ("FirstWaitSeconds", "LongestWaitSeconds"))
    now = wait = turns = 0
    while now < seconds:
        wait = grow(wait, first=first, longest=longest, ends=[], now=now)
        now, turns = now + wait, turns + 1
    return turns


def read_default(template: str, parameter: str) -> str:
    """The default of a parameter, out of the template's text. Raises LookupError when there is none."""
    found = re.search(rf"^  {parameter}:\n(?:    .*\n)*?    Default: (\S+)$", template, re.MULTILINE)
    if found is None:
        raise LookupError(f"template.yaml has no default of {parameter}")
    return found[1]


def price(measured: Sequence[Measured], turns: int) -> dict[str, float]:
    """What the orchestration of a batch of one job costs in USD, by what it is paid for."""
    transitions = sum(one.transitions_of(turns) for one in measured)
    invocations = 2 * turns  # `follow` and `poll`; the others are few
    return {
        f"{transitions:,} state transitions": transitions * TRANSITION,
        f"{invocations} invocations of {SECONDS} s at {GB} GB": invocations * (INVOCATION + SECONDS * GB * GB_SECOND),
        f"{turns} versions of `latest.json`, {2 * turns} looks at it": turns * (PUT + 2 * GET),
        f"{invocations * READS:,} reads and {invocations * WRITES} writes of the table": invocations
        * (READS * READ + WRITES * WRITE),
    }


def render(measured: Sequence[Measured]) -> str:
    """The part of the page between the markers."""
    turns = count_turns(DAY)
    rows = [
        "Measured:",
        "",
        "| machine | turns | events recorded | events on AWS | transitions | events a turn | transitions a turn | off by |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| `{it.machine}` | {it.turns} | {it.recorded} | {it.events} | {it.transitions} "
            f"| {it.events_a_turn:g} | {it.transitions_a_turn:g} | {it.off:g} |"
            for it in measured
        ),
        "",
        f"24 hours, {turns} turns:",
        "",
        "| machine | events | of 25,000 | transitions |",
        "|---|---|---|---|",
        *(
            f"| `{it.machine}` | {it.events_of(turns):,} | {it.events_of(turns) / MOST_EVENTS:.1%} | {it.transitions_of(turns)} |"
            for it in measured
        ),
        "",
        "| what | USD |",
        "|---|---|",
        *(f"| {what} | {cost:.4f} |" for what, cost in price(measured, turns).items()),
        f"| in all | {sum(price(measured, turns).values()):.4f} |",
    ]
    return "\n".join(rows)


def replace_part(page: str, part: str) -> str:
    """The page with another part between the markers. Raises ValueError when it has no such place."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no markers {BEGIN} and {END}")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


def run_batch(cloud: LocalCloud) -> list[Measured]:
    """Run one batch at the hosted backend, slowly, and measure both of its executions."""
    body = '{"model": "meta-llama/Llama-3.3-70B-Instruct-Turbo", "messages": [{"role": "user", "content": "[[delay 1]] hello"}]}'
    lines = "".join(f'{{"custom_id": "r{number}", "body": {body}}}\n' for number in range(LINES))
    bucket = cloud.environment["SLACKTIDE_BUCKET"]
    cloud.session.client("s3").put_object(Bucket=bucket, Key="input/history.jsonl", Body=lines.encode())
    states = cloud.session.client("stepfunctions")
    machines = {"batch": cloud.outputs["BatchStateMachineArn"], "job": cloud.outputs["JobStateMachineArn"]}
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended = {
            machine: states.list_executions(stateMachineArn=arn, statusFilter="SUCCEEDED")["executions"]
            for machine, arn in machines.items()
        }
        if all(ended.values()):
            return [measure(machine, read_history(states, one["executionArn"])) for machine, (one,) in ended.items()]
        time.sleep(1)
    raise LocalCloudError(f"the batch did not end in {PATIENCE} s. The logs are in {cloud.directory.logs}")


def read_history(states: Any, execution: str) -> list[Event]:
    """The events of an execution. Raises LocalCloudError for one that AWS does not have, among those that are put in, too."""
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
    events = [
        Event(event["type"], event.get("stateEnteredEventDetails", {}).get("name")) for page in pages for event in page["events"]
    ]
    known: list[str] = states.meta.service_model.shape_for("HistoryEventType").enum
    if unknown := {event.kind for event in complete(events)} - set(known):
        raise LocalCloudError(f"AWS has no events of type {', '.join(sorted(unknown))}")
    return events


def main() -> int:
    """Measure, and write the page; 0 when it is done."""
    fake = start_fake_hosted(STATE / "history-hosted", engine_module="slacktide_local.scripted_engine", faults=())
    with fake as upstream, LocalCloud.start(STATE / "history", engine="scripted", hosted=upstream.hosted, report=print) as cloud:
        upstream.wait()
        measured = run_batch(cloud)
    part = render(measured)
    PAGE.write_text(replace_part(PAGE.read_text(), part))
    print(part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
