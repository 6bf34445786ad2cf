"""Step Functions in process: walks the real definitions in `statemachine/`; nothing waits, the clock jumps.

It knows exactly what those definitions use: Task (a function, or startExecution), Map, Choice, Pass, Wait, Succeed and Fail;
Retry, Catch, Assign; and of JSONata a variable, a path behind `$states`, and `= 'text'`. Anything else is an error here.
"""
# ruff: noqa: N803 - the names of arguments are boto3's

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.clock import SettableClock
from fakes.wire import Killed, Wire, external, refuse

ROOT = Path(__file__).parents[2]
MACHINES = ("batch", "job")
_EXPRESSION = re.compile(r"\{% \$(\w+)((?:\.\w+)*)(?: = '(\w+)')? %\}")
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
PAYLOAD_LIMIT = 256 * 1024
TURNS = 10_000  # a run that takes more is an endless loop

Function = Callable[[dict[str, Any]], dict[str, Any]]


def load_definition(machine: str) -> dict[str, Any]:
    return json.loads((ROOT / "statemachine" / f"{machine}.asl.json").read_text())


class TaskFailedError(Exception):
    """A task that failed, with the error name that the machine sees."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass
class Execution:
    """One execution: its name, input, status, and when it goes on."""

    machine: str
    name: str
    input: dict[str, Any]
    wakes_at: int
    status: str = "RUNNING"
    steps: Iterator[int] = field(default_factory=lambda: iter(()))
    variables: dict[str, Any] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)

    @property
    def arn(self) -> str:
        return f"arn:aws:states:us-east-1:1:execution:{self.machine}:{self.name}"


@dataclass
class FakeStates:
    """Boto3's Step Functions client, and the service behind it."""

    wire: Wire
    clock: SettableClock
    functions: dict[str, Function]
    executions: dict[str, Execution] = field(default_factory=dict)
    payloads: list[dict[str, Any]] = field(default_factory=list)
    turns: int = 0
    definitions: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: load_definition(name) for name in MACHINES})

    @external
    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:  # noqa: A002
        return {"executionArn": self._start(stateMachineArn.rpartition(":")[2], name, json.loads(input)).arn}

    @external
    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        execution = self.executions.get(executionArn)
        return {"status": execution.status} if execution else refuse("ExecutionDoesNotExist")

    @external
    def stop_execution(self, *, executionArn: str) -> dict[str, Any]:
        self.executions[executionArn].status = "ABORTED"
        return {}

    def stop(self, name: str) -> None:
        """End an execution from outside, as StopExecution does."""
        execution = next(execution for execution in self.executions.values() if execution.name == name)
        execution.status = "ABORTED"

    def running(self, machine: str | None = None) -> list[Execution]:
        found = [execution for execution in self.executions.values() if execution.status == "RUNNING"]
        return [execution for execution in found if machine in {None, execution.machine}]

    def step(self) -> bool:
        """Carry out the next task of the execution that is due first; False when none runs."""
        self.turns += 1
        assert self.turns <= TURNS, "an endless loop"
        running = self.running()
        if not running:
            return False
        execution = min(running, key=lambda execution: execution.wakes_at)
        self.clock.advance_to(execution.wakes_at)
        wakes_at = next(execution.steps, None)
        if wakes_at is not None:
            execution.wakes_at = wakes_at
        return True

    def _start(self, machine: str, name: str, content: dict[str, Any]) -> Execution:
        execution = Execution(machine, name, content, self.clock())
        if execution.arn in self.executions:
            refuse("ExecutionAlreadyExists")
        assert len(name) <= 80, name
        execution.steps = self._run(execution)
        self.executions[execution.arn] = execution
        return execution

    def _run(self, execution: Execution) -> Iterator[int]:
        try:
            yield from self._walk(execution, self.definitions[execution.machine], execution.input)
        except TaskFailedError:
            execution.status = "FAILED"
            return
        if execution.status == "RUNNING":
            execution.status = "SUCCEEDED"

    def _walk(self, execution: Execution, machine: dict[str, Any], content: Any) -> Iterator[int]:
        """Go from state to state; yields the time at which the next one is due."""
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            execution.history.append(name)
            scope = {"input": content, "context": {"Execution": {"Input": execution.input}}}
            following = state.get("Next")
            match state["Type"]:
                case "Task" | "Map":
                    caught = yield from self._attempt(execution, state, scope)
                    following = caught or following
                case "Wait":
                    yield self.clock() + _evaluate(state["Seconds"], execution.variables, scope)
                case "Choice":
                    following = _choose(state, execution.variables, scope)
                case "Fail":
                    raise TaskFailedError(state["Error"])
                case "Succeed":
                    return
            if state["Type"] == "Pass":
                self._assign(execution, state, scope)
            if following is None:
                assert state.get("End"), f"{name} leads nowhere"
                return
            name = following

    def _attempt(self, execution: Execution, state: dict[str, Any], scope: dict[str, Any]) -> Iterator[int]:
        """Carry out a state with its retries; answers the target of its Catch, None when it went well."""
        tries: dict[int, int] = {}
        while True:
            yield self.clock()
            try:
                if state["Type"] == "Map":
                    for item in _evaluate(state["Items"], execution.variables, scope):
                        yield from self._walk(execution, state["ItemProcessor"], item)
                    return None
                scope["result"] = self._call(execution, state, scope)
                self._assign(execution, state, scope)
            except TaskFailedError as failure:
                number, rule = _match(state.get("Retry", []), failure.name)
                tries[number] = tries.get(number, 0) + 1
                if rule is not None and tries[number] <= rule["MaxAttempts"]:
                    yield self.clock() + min(rule["MaxDelaySeconds"], 2 ** tries[number])
                    continue
                _, catch = _match(state.get("Catch", []), failure.name)
                if catch is None:
                    raise
                return catch["Next"]
            else:
                return None

    def _call(self, execution: Execution, state: dict[str, Any], scope: dict[str, Any]) -> dict[str, Any]:
        arguments = _evaluate(state["Arguments"], execution.variables, scope)
        if state["Resource"] == "arn:aws:states:::states:startExecution":
            return self._start_child(arguments)
        assert state["Resource"] == "arn:aws:states:::lambda:invoke", state["Resource"]
        function = arguments["FunctionName"].removesuffix("Function")
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", function).lower()
        return {"Payload": self.invoke(name, arguments["Payload"])}

    def _start_child(self, arguments: dict[str, Any]) -> dict[str, Any]:
        machine = arguments["StateMachineArn"].removesuffix("StateMachine").lower()
        self.payloads.append(arguments["Input"])
        try:
            self._start(machine, arguments["Name"], arguments["Input"])
        except Exception as error:
            raise TaskFailedError("StepFunctions.ExecutionAlreadyExistsException") from error
        return {}

    def invoke(self, function: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Call a function as Lambda does: JSON in, JSON out; whatever it raises is a failed task."""
        try:
            with self.wire.invocation(function):
                answer = self.functions[function](json.loads(json.dumps(payload)))
        except (Exception, Killed) as error:
            raise TaskFailedError(type(error).__name__) from error
        text = json.dumps(answer)
        assert len(text) < PAYLOAD_LIMIT, f"{function} answers {len(text)} bytes"
        self.payloads += [payload, answer]
        return json.loads(text)

    def _assign(self, execution: Execution, state: dict[str, Any], scope: dict[str, Any]) -> None:
        values = {name: _evaluate(value, execution.variables, scope) for name, value in state.get("Assign", {}).items()}
        execution.variables |= values


def _match(rules: list[dict[str, Any]], error: str) -> tuple[int, dict[str, Any] | None]:
    for number, rule in enumerate(rules):
        if error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]:
            return number, rule
    return -1, None


def _choose(state: dict[str, Any], variables: dict[str, Any], scope: dict[str, Any]) -> str:
    for choice in state["Choices"]:
        truth = _evaluate(choice["Condition"], variables, scope)
        assert isinstance(truth, bool), f"{choice['Condition']} is {truth!r}"
        if truth:
            return choice["Next"]
    return state["Default"]


def _evaluate(value: Any, variables: dict[str, Any], scope: dict[str, Any]) -> Any:
    """A value of a definition: literals as they are, JSONata evaluated, placeholders as their names."""
    if isinstance(value, dict):
        return {name: _evaluate(entry, variables, scope) for name, entry in value.items()}
    if not isinstance(value, str):
        return value
    if placeholder := _PLACEHOLDER.fullmatch(value):
        return placeholder[1]
    if not value.startswith("{%"):
        return value
    match = _EXPRESSION.fullmatch(value)
    assert match, f"the interpreter does not know {value}"
    found = scope if match[1] == "states" else variables[match[1]]
    for name in match[2].split(".")[1:]:
        found = found[name]
    return found if match[3] is None else found == match[3]
