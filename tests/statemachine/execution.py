"""A walk through a state machine: each step gets its real payload, the test answers in the place of the functions.

It knows the part of the Amazon States Language that our machines use, and counts events as Step Functions does.
It retries nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from slacktide.steps import Step, read_step
from template.document import Document

from .machine import INVOKE, called, parse_expression

# Events of a state that go right (AWS Step Functions Developer Guide, GetExecutionHistory): entered and exited; of a Task also
# scheduled, started, and succeeded or failed; of a Map started and succeeded, and two for each item.
EVENTS = {"Task": 5, "Map": 4, "Pass": 2, "Wait": 2, "Choice": 2, "Succeed": 2, "Fail": 1}
EVENTS_OF_ITEM, EVENTS_OF_EXECUTION = 2, 2
MOST_STATES = 60_000  # of one walk, against a machine that never ends
MOST_EVENTS = 25_000  # of one execution (AWS Step Functions Developer Guide, Service quotas)


class StepFailedError(Exception):
    """A step that failed for good, after its retries."""


Answer = Callable[[str, Step], Any]  # function and step → a Struct; raises StepFailedError


@dataclass
class Execution:
    """One execution of a machine. `answer` stands for the functions, `start` for starting another machine."""

    contract: Document
    answer: Answer
    given: Document
    start: Callable[[Document], None] = lambda _: None
    variables: Document = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)
    events: int = EVENTS_OF_EXECUTION
    seconds: int = 0

    def run(self) -> str:
        """Walk to an end and answer its name. Raises LookupError for data that is not there."""
        return self._walk(self.contract["definition"], {})

    def _walk(self, scope: Document, item: Document) -> str:
        name = scope["StartAt"]
        while True:
            state = scope["States"][name]
            self.visited.append(name)
            assert len(self.visited) < MOST_STATES, "the machine does not end"
            self.events += EVENTS[state["Type"]]
            following = self._step(state, item)
            if following is None:
                return name
            name = following

    def _step(self, state: Document, item: Document) -> str | None:
        """Do what a state does; the next one, or None at an end."""
        try:
            result = self._result(state, item)
        except StepFailedError:
            return state["Catch"][-1]["Next"]
        if state["Type"] == "Choice":
            taken = (it["Next"] for it in state["Choices"] if self._is_true(it["Condition"]))
            return next(taken, state["Default"])
        assigned = self._value(state.get("Assign", {}), item, result)
        self.variables |= assigned
        return state.get("Next")

    def _result(self, state: Document, item: Document) -> Any:
        if state["Type"] == "Wait":
            self.seconds += self._value(state["Seconds"], item, None)
        if state["Type"] == "Map":
            for each in self._value(state["Items"], item, None):
                self.events += EVENTS_OF_ITEM
                self._walk(state["ItemProcessor"], each)
        if state["Type"] != "Task":
            return None
        arguments = self._value(state["Arguments"], item, None)
        if state["Resource"] != INVOKE:
            self.start(arguments)
            return None
        function = called(self.contract, state)
        return {"Payload": msgspec.to_builtins(self.answer(function, read_step(arguments["Payload"])))}

    def _is_true(self, condition: str) -> bool:
        value = self._value(condition, {}, None)
        assert isinstance(value, bool), f"{condition} is no decision: {value}"
        return value

    def _value(self, node: Any, item: Document, result: Any) -> Any:
        """A value with its expressions worked out."""
        if isinstance(node, dict):
            return {key: self._value(value, item, result) for key, value in node.items()}
        if not isinstance(node, str) or "{%" not in node:
            return node
        path, word = parse_expression(node)
        found: Any = self.variables | {
            "states": {"context": {"Execution": {"Input": self.given}}, "input": item, "result": result}
        }
        for key in path:
            found = found[key]
        return found if word is None else found == word
