"""docs/cost.md says what follows from the run that it was measured by, and that is what the machines are."""

import re

import pytest

from slacktide_local.history import (
    BEGIN,
    DAY,
    END,
    LEAST_POLLS,
    LOOPS,
    MOST_EVENTS,
    PAGE,
    Event,
    Measured,
    complete,
    count_turns,
    measure,
    price,
    render,
)
from statemachine.execution import EVENTS, EVENTS_OF_EXECUTION, EVENTS_OF_ITEM
from statemachine.machine import read_contract

PART = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
MOST_USD = 0.05
BEFORE = {"batch": ["Plan round", "Any jobs?", "Start jobs"], "job": ["Begin", *["Submit", "Input written?"] * 2, "Submitted?"]}
TURN = {"batch": ["Wait", "Follow round", "Round settled?"], "job": ["Wait for results", "Poll", "Finished?"]}
AFTER = {
    "batch": [
        "Plan round", "Any jobs?", "Assemble", "Assembled?", "Dead-letter", "All sent?",
        "Announce", "Batch failed?", "Batch ended",
    ],
    "job": ["Collect", "Collected?", "Job settled"],
}  # fmt: skip
ITEM = {"batch": EVENTS_OF_ITEM + EVENTS["Task"], "job": 0}  # the one job that is started


def read_measured() -> list[Measured]:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\S+) \| (\S+) \| (\S+) \|$", PART, re.MULTILINE)
    return [Measured(name, *map(int, whole), *map(float, fit)) for name, *rest in rows for whole, fit in [(rest[:4], rest[4:])]]


MEASURED = read_measured()


def events_of(machine: str, states: list[str]) -> int:
    types = {name: state["Type"] for name, state in read_contract(machine)["definition"]["States"].items()}
    return sum(EVENTS[types[name]] for name in states)


def test_the_page_says_what_follows_from_the_run() -> None:
    assert [measured.machine for measured in MEASURED] == list(LOOPS)
    assert render(MEASURED) == PART


@pytest.mark.parametrize("measured", MEASURED, ids=lambda measured: measured.machine)
def test_the_run_shows_the_events_of_the_machines(measured: Measured) -> None:
    name = measured.machine
    assert measured.turns >= LEAST_POLLS
    assert (measured.events_a_turn, measured.transitions_a_turn, measured.off) == (events_of(name, TURN[name]), 3, 0)
    rest = EVENTS_OF_EXECUTION + events_of(name, BEFORE[name]) + ITEM[name] + events_of(name, AFTER[name])
    assert measured.events == rest + measured.events_a_turn * measured.turns


def test_a_day_stays_below_the_limits() -> None:
    turns = count_turns(DAY)
    assert all(measured.events_of(turns) < MOST_EVENTS for measured in MEASURED)
    assert sum(price(MEASURED, turns).values()) < MOST_USD


def test_a_history_is_completed_as_aws_records_it() -> None:
    task = [Event("TaskScheduled"), Event("TaskSucceeded")]
    recorded = [Event("MapStateEntered", "m"), *task, *task, Event("MapStateExited"), Event("TaskStateEntered", "t"), *task]
    whole = complete(recorded)

    item = ["MapIterationStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited"]
    item.append("MapIterationSucceeded")
    mapped = ["MapStateEntered", "MapStateStarted", *item, *item, "MapStateSucceeded", "MapStateExited"]
    assert [event.kind for event in whole] == [*mapped, "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded"]
    assert complete(whole) == whole


def test_a_run_with_too_few_turns_or_uneven_ones_shows() -> None:
    turn = [Event("WaitStateEntered", "Wait"), Event("WaitStateExited")]
    with pytest.raises(ValueError, match=f"made {LEAST_POLLS - 1} turns"):
        measure("batch", turn * (LEAST_POLLS - 1))
    assert measure("batch", turn * LEAST_POLLS).off == 0
    assert measure("batch", [*turn * LEAST_POLLS, Event("PassStateEntered", "p"), *turn]).off > 0
