"""Rules of the shape: every way leads somewhere, every failure is caught, every state says what it is for."""

import re
from collections.abc import Iterator

from template.document import Document

from .machine import expressions, own_part, parse_expression, properties, scopes, states, ways

ENDS = {
    "batch": {"Batch ended": "Succeed", "Batch failed": "Fail", "Batch stuck": "Fail"},
    "job": {"Job settled": "Succeed", "Job failed": "Fail"},
}
INNER_ENDS: dict[str, dict[str, str]] = {"batch": {"Start job": "Task", "Job not started": "Pass"}, "job": {}}
LONGEST_NAME = 80  # characters of a state's name (AWS Step Functions Developer Guide, States)
_COMMON = {"Type", "Comment", "Output", "Assign", "Next", "End"}
KEYS = {
    "Task": _COMMON | {"Resource", "Arguments", "TimeoutSeconds", "Retry", "Catch"},
    "Map": _COMMON | {"Items", "ItemProcessor", "Retry", "Catch"},
    "Pass": _COMMON,
    "Wait": _COMMON | {"Seconds"},
    "Choice": {"Type", "Comment", "Output", "Assign", "Choices", "Default"},
    "Succeed": {"Type", "Comment"},
    "Fail": {"Type", "Comment", "Error", "Cause"},
}


def machine_speaks_jsonata(contract: Document) -> Iterator[str]:
    """JSONata throughout, with no field of JSONPath, and only fields and expressions that every interpreter reads alike."""
    if contract["definition"].get("QueryLanguage") != "JSONata":
        yield "the machine is not in JSONata"
    for name, state in states(contract):
        for key in sorted(state.keys() - KEYS.get(state["Type"], set())):
            yield f"{name}: {key} is no field of a {state['Type']} in JSONata"
        for text in expressions(own_part(state)):
            try:
                parse_expression(text)
            except ValueError as error:
                yield f"{name}: {error}"
        if not isinstance(state.get("TimeoutSeconds", 1), int):
            yield f"{name}: TimeoutSeconds is not a number"
        for choice in state.get("Choices", []):
            if choice.keys() - {"Condition", "Next", "Comment", "Assign", "Output"}:
                yield f"{name}: a choice with fields of JSONPath"


def machine_is_standard(contract: Document) -> Iterator[str]:
    """Only a STANDARD workflow lasts longer than five minutes and runs each step exactly once."""
    if properties(contract).get("Type") != "STANDARD":
        yield "the machine is not STANDARD"


def targets_are_there(contract: Document) -> Iterator[str]:
    """Every way leads to a state of the same machine."""
    for scope in scopes(contract["definition"]):
        for name, goal in [("StartAt", scope["StartAt"]), *_all_ways(scope)]:
            if goal not in scope["States"]:
                yield f"{name} leads to {goal}, which is not there"


def _all_ways(scope: Document) -> Iterator[tuple[str, str]]:
    for name, state in scope["States"].items():
        yield from ((f"{name}, {kind},", goal) for kind, goal in ways(state))


def states_are_reached(contract: Document) -> Iterator[str]:
    """From the start every state can be reached, and from every state an end without a failure in between."""
    for scope in scopes(contract["definition"]):
        forth = {name: {goal for _, goal in ways(state)} for name, state in scope["States"].items()}
        back: dict[str, set[str]] = {}
        for name, state in scope["States"].items():
            for goal in {goal for kind, goal in ways(state) if kind != "Catch"}:
                back.setdefault(goal, set()).add(name)
        ends = {name for name, state in scope["States"].items() if _is_end(state)}
        for name in sorted(scope["States"].keys() - _reach({scope["StartAt"]}, forth)):
            yield f"{name} is never reached"
        for name in sorted(scope["States"].keys() - _reach(ends, back)):
            yield f"{name} never comes to an end"


def _reach(start: set[str], graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    while new := start - reached:
        reached |= new
        start = {goal for name in new for goal in graph.get(name, set())}
    return reached


def _is_end(state: Document) -> bool:
    return state["Type"] in {"Succeed", "Fail"} or state.get("End") is True


def ends_are_meant(contract: Document) -> Iterator[str]:
    """Exactly the ends that are drawn, green or red; and every other state has exactly one way on."""
    outer, *inner = scopes(contract["definition"])
    ends = {name: state["Type"] for name, state in outer["States"].items() if _is_end(state)}
    if ends != ENDS[contract["name"]]:
        yield f"the machine ends in {ends}"
    inner_ends = {name: state["Type"] for scope in inner for name, state in scope["States"].items() if _is_end(state)}
    if inner_ends != INNER_ENDS[contract["name"]]:
        yield f"an item ends in {inner_ends}"
    for name, state in states(contract):
        on = [key for key in ("Next", "End", "Default") if key in state]
        if len(on) != (0 if state["Type"] in {"Succeed", "Fail"} else 1):
            yield f"{name}: goes on by {on or 'nothing'}"


def failures_say_why(contract: Document) -> Iterator[str]:
    """A red end has a constant name and a constant cause: a cause made of data could quote a prompt."""
    for name, state in states(contract):
        if state["Type"] == "Fail":
            for key in ("Error", "Cause"):
                if not state.get(key) or list(expressions(state[key])):
                    yield f"{name}: {key} is no constant"


def states_are_commented(contract: Document) -> Iterator[str]:
    """A sentence on the machine and on every state."""
    for name, node in [("the machine", contract["definition"]), *states(contract)]:
        if not str(node.get("Comment", "")).endswith("."):
            yield f"{name}: no sentence explains it"


def states_are_named(contract: Document) -> Iterator[str]:
    """One name for one state; a Choice is a question, and nothing else is."""
    names = [name for name, _ in states(contract)]
    for name, state in states(contract):
        if names.count(name) != 1 or not re.fullmatch(rf"[A-Z][A-Za-z ?-]{{1,{LONGEST_NAME - 1}}}", name):
            yield f"{name}: not a plain name of its own"
        if name.endswith("?") != (state["Type"] == "Choice"):
            yield f"{name}: a question and a {state['Type']}"


def choices_have_a_default(contract: Document) -> Iterator[str]:
    """Without one, an unforeseen value ends the execution with States.NoChoiceMatched."""
    for name, state in states(contract):
        if state["Type"] == "Choice" and ("Default" not in state or not state.get("Choices")):
            yield f"{name}: no Default, or nothing to choose from"


def steps_are_guarded(contract: Document) -> Iterator[str]:
    """Each Task has a time-out; each Task and Map retries all errors and then catches them."""
    for name, state in states(contract):
        if state["Type"] == "Task" and not isinstance(state.get("TimeoutSeconds"), int):
            yield f"{name}: no TimeoutSeconds"
        if state["Type"] in {"Task", "Map"}:
            for key in ("Retry", "Catch"):
                if not state.get(key) or state[key][-1]["ErrorEquals"] != ["States.ALL"]:
                    yield f"{name}: {key} does not end with States.ALL"
            for retrier in state.get("Retry", []):
                if retrier.get("MaxAttempts") != 0 or retrier["ErrorEquals"] == ["States.ALL"]:
                    yield from (f"{name}: a retry {fault}" for fault in _retry_faults(retrier))


def _retry_faults(retrier: Document) -> Iterator[str]:
    """What is wrong with a retry; one of zero attempts only names errors that are not to be retried."""
    if retrier.get("JitterStrategy") != "FULL":
        yield "without full jitter"
    if not retrier.get("BackoffRate", 0) > 1:
        yield "that does not back off"
    if not 1 <= retrier.get("MaxAttempts", 0) <= 40:
        yield "without a sensible number of attempts"
    if not 1 <= retrier.get("IntervalSeconds", 0) <= retrier.get("MaxDelaySeconds", 0) <= 300:
        yield "without bounds to its waits"


RULES = [
    machine_speaks_jsonata,
    machine_is_standard,
    targets_are_there,
    states_are_reached,
    ends_are_meant,
    failures_say_why,
    states_are_commented,
    states_are_named,
    choices_have_a_default,
    steps_are_guarded,
]
