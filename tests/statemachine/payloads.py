"""Rules of what travels: ids, cursors, flags and waits between machine and functions, and nothing else."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from slacktide import submitting
from slacktide.executions import Executions
from slacktide.statuses import FINAL
from slacktide.steps import StartJob, Step
from template.document import FUNCTION, MACHINE, ROOT, Document, resources
from template.functions import directory_of

from .machine import (
    INVOKE,
    START,
    answer_type,
    called,
    expressions,
    own_part,
    parse_expression,
    placeholder,
    properties,
    scopes,
    states,
    tasks,
    ways,
)

# What may be sent to a function, and what may be kept: a decision, an id, a place to go on from, a number of seconds.
SENT = {"v", "batch_id", "job_id", "attempt", "cursor", "wait_seconds", "gave_up"}
KEPT = {"has_jobs", "jobs", "wait_seconds", "cursor", "gave_up", "settled", "done", "outcome", "resubmit", "status", "is_held"}
UNREAD = {"v", "progress"}  # fields of answers that no machine needs: one is for versions to come, one for people
WORDS = {
    "outcome": set(re.findall(r'outcome="(\w+)"', inspect.getsource(submitting))),
    "status": {str(status) for status in FINAL},
}


def fields(struct: type[Any]) -> dict[str, Any]:
    """The fields of a Struct with their types."""
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def payloads_are_ids(contract: Document) -> Iterator[str]:
    """Only what is on the list is sent or kept: a payload is at most 256 KiB, and prompts stay in the bucket."""
    for name, state in states(contract):
        arguments = state.get("Arguments", {})
        for key in sorted({*arguments.get("Payload", {}), *arguments.get("Input", {})} - SENT):
            yield f"{name}: sends {key}"
        for key in sorted({*state.get("Assign", {})} - KEPT):
            yield f"{name}: keeps {key}"
        if state.get("Output", {}) != {}:
            yield f"{name}: hands its output on"


def placeholders_are_substituted(contract: Document) -> Iterator[str]:
    """`${…}` in the definition and DefinitionSubstitutions are the same, and each is the resource of that name."""
    texts = re.findall(r"\$\{([^}]*)\}", str(contract["definition"]))
    substitutions = properties(contract).get("DefinitionSubstitutions", {})
    for name in sorted(set(texts) ^ substitutions.keys()):
        yield f"{name}: either a placeholder or a substitution, not both"
    for name, value in substitutions.items():
        there = contract["template"]["Resources"].get(name, {}).get("Type")
        wanted = {FUNCTION: {"Fn::GetAtt": [name, "Arn"]}, MACHINE: {"Ref": name}}.get(there)
        if value != wanted:
            yield f"{name}: is substituted by {value}"


def functions_get_their_step(contract: Document) -> Iterator[str]:
    """The payload of each function has exactly the fields of Step that its handler reads, and the ids."""
    for name, state in tasks(contract):
        function = called(contract, state)
        if state["Arguments"].keys() != {"FunctionName", "Payload"} or not function:
            yield f"{name}: invokes no function of the template"
            continue
        directory = directory_of(resources(contract["template"], FUNCTION)[function])
        reads = set(re.findall(r"step\.(\w+)", (ROOT / "functions" / directory / "app.py").read_text()))
        wanted = (reads - {"job_id", "job"}) | {"v", "batch_id"} | ({"job_id"} if "job" in reads else set())
        given = state["Arguments"]["Payload"].keys()
        for field in sorted(given ^ wanted):
            yield f"{name}: {field} is either sent or read, not both"
        for field in sorted(given - fields(Step).keys()):
            yield f"{name}: {field} is no field of a step"


def answers_have_what_is_read(contract: Document) -> Iterator[str]:
    """Of an answer exactly the fields are read that its Struct has; a missing one would end the execution."""
    for name, state in tasks(contract):
        function = called(contract, state)
        has = fields(answer_type(function)).keys() if function else set[str]()
        reads: set[str] = set()
        for text in expressions(own_part(state)):
            path, _ = parse_expression(text)
            if path[:2] == ("states", "result"):
                reads.add(path[3] if len(path) == 4 and path[2] == "Payload" else ".".join(path))
        for field in sorted(reads - has):
            yield f"{name}: {field} is not in what {function} answers"
        for field in sorted(has - reads - UNREAD):
            yield f"{name}: {field} is answered by {function} and not read"


def started_jobs_get_their_input(contract: Document) -> Iterator[str]:
    """An item of the plan is a StartJob, all of whose fields are used; the machine that starts gets what its steps read."""
    for name, state in tasks(contract, START):
        arguments = state["Arguments"]
        reads = {path[2] for path in map(_path, expressions(arguments)) if path[:2] == ("states", "input")}
        if reads != fields(StartJob).keys():
            yield f"{name}: reads {sorted(reads)} of a StartJob"
        if arguments.keys() != {"StateMachineArn", "Name", "Input"} or arguments["StateMachineArn"] != "${JobStateMachine}":
            yield f"{name}: starts no execution of the machine job"
        if arguments["Input"].keys() != {"v", "batch_id", "job_id", "attempt"}:
            yield f"{name}: the input of a job is not v, batch_id, job_id and attempt"


def _path(text: str) -> tuple[str, ...]:
    return parse_expression(text)[0]


def input_of(name: str) -> set[str]:
    """The fields of an execution's input: what sweep and validate send for a batch, what Start job sends for a job."""
    if name == "job":
        return {"v", "batch_id", "job_id", "attempt"}
    sent: list[bytes] = []

    class Recorder:
        def start_execution(self, **call: Any) -> None:
            sent.append(call["input"])

    Executions(Recorder(), "arn:batch", "arn:job").start_batch("batch_" + "a" * 26, 1)
    return {*msgspec.json.decode(sent[0])}


def inputs_have_what_is_read(contract: Document) -> Iterator[str]:
    """Of the execution's input only what its starter sends is read; nothing else of the context is."""
    for name, state in states(contract):
        for path in map(_path, expressions(own_part(state))):
            if path[:2] == ("states", "context") and (
                path[2:4] != ("Execution", "Input") or len(path) != 5 or path[4] not in input_of(contract["name"])
            ):
                yield f"{name}: {'.'.join(path)} is not there"


def variables_are_assigned_first(contract: Document) -> Iterator[str]:
    """On every way to a state, each variable that it reads was assigned; a failed Task assigns nothing."""
    start, everywhere = contract["definition"], _all_assigned(contract)
    known = {name: set(everywhere) for name in start["States"]}
    known[start["StartAt"]] = set()
    changed = True
    while changed:
        changed = False
        for name, state in start["States"].items():
            for kind, goal in ways(state):
                after = known[name] | (set[str]() if kind == "Catch" else {*state.get("Assign", {})})
                if not known.get(goal, set()) <= after:
                    known[goal] &= after
                    changed = True
    for name, state in start["States"].items():
        inner = [it for scope in scopes(state.get("ItemProcessor", {"States": {}})) for it in scope["States"].values()]
        for variable in sorted({path[0] for path in map(_path, expressions([own_part(state), inner])) if path[0] != "states"}):
            if variable not in known[name]:
                yield f"{name}: {variable} may not be assigned yet"


def _all_assigned(contract: Document) -> set[str]:
    return {variable for _, state in states(contract) for variable in state.get("Assign", {})}


def conditions_are_decisions(contract: Document) -> Iterator[str]:
    """A condition is a flag of an answer, or compares a word that the answer may have."""
    types: dict[str, set[Any]] = {}
    for _, state in tasks(contract):
        function = called(contract, state)
        for variable, text in state.get("Assign", {}).items():
            if function and isinstance(text, str) and (kind := fields(answer_type(function)).get(_path(text)[-1])):
                types.setdefault(variable, set()).add(kind)
    for name, state in states(contract):
        for choice in state.get("Choices", []):
            path, word = parse_expression(choice["Condition"])
            if word is None and types.get(path[0]) != {bool}:
                yield f"{name}: {path[0]} is no flag"
            if word is not None and word not in WORDS.get(path[0], set()):
                yield f"{name}: {path[0]} is never {word}"


def integrations_are_known(contract: Document) -> Iterator[str]:
    """Lambda by its optimised integration, and executions that are not waited for; arguments name a placeholder."""
    for name, state in states(contract):
        if state["Type"] == "Task" and state["Resource"] not in {INVOKE, START}:
            yield f"{name}: {state['Resource']} is none of ours"
        for key in ("FunctionName", "StateMachineArn"):
            if key in state.get("Arguments", {}) and not placeholder(state["Arguments"][key]):
                yield f"{name}: {key} is no placeholder"


RULES = [
    payloads_are_ids,
    placeholders_are_substituted,
    functions_get_their_step,
    answers_have_what_is_read,
    started_jobs_get_their_input,
    inputs_have_what_is_read,
    variables_are_assigned_first,
    conditions_are_decisions,
    integrations_are_known,
]
