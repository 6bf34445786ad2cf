"""A state machine and the template that deploys it, as plain data, and the ways to look through them."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_type_hints

from slacktide.assembly import Assembler
from slacktide.dead_letters import DeadLetters
from slacktide.following import Follower
from slacktide.jobs import Jobs
from slacktide.planning import Planner
from slacktide.steps import Announcement
from template.document import FUNCTION, ROOT, Document, read_template, target

# What each function calls in the library; its answer is what that returns.
CALLED: dict[str, Callable[..., Any]] = {
    "PlanFunction": Planner.plan,
    "FollowFunction": Follower.follow,
    "AssembleFunction": Assembler.assemble,
    "DeadLetterFunction": DeadLetters.send,
    "AnnounceFunction": Announcement,
    "SubmitFunction": Jobs.submit,
    "PollFunction": Jobs.poll,
    "CollectFunction": Jobs.collect,
}
INVOKE = "arn:aws:states:::lambda:invoke"
START = "arn:aws:states:::states:startExecution"
MACHINES = {"batch": "BatchStateMachine", "job": "JobStateMachine"}
_EXPRESSION = re.compile(r"\{% \$(?P<path>[a-z_]+(\.[A-Za-z_]+)*)( = '(?P<word>[a-z_]+)')? %\}")


@cache
def read_contract(name: str) -> Document:
    """A machine by its file's name: its `name`, its `definition` and the `template`. Nobody changes it."""
    definition = json.loads((ROOT / f"statemachine/{name}.asl.json").read_text())
    return {"name": name, "definition": definition, "template": read_template()}


def properties(contract: Document) -> Document:
    """What the template says of the machine."""
    return contract["template"]["Resources"][MACHINES[contract["name"]]]["Properties"]


def scopes(scope: Document) -> Iterator[Document]:
    """A machine, and every machine within it: each has `StartAt` and `States` of its own."""
    yield scope
    for state in scope["States"].values():
        if "ItemProcessor" in state:
            yield from scopes(state["ItemProcessor"])


def states(contract: Document) -> Iterator[tuple[str, Document]]:
    """Every state with its name, also those within others."""
    for scope in scopes(contract["definition"]):
        yield from scope["States"].items()


def ways(state: Document) -> Iterator[tuple[str, str]]:
    """Where a state leads: the kind of way and the name of the next state."""
    for kind in ("Next", "Default"):
        if kind in state:
            yield kind, state[kind]
    for choice in state.get("Choices", []):
        yield "Choices", choice["Next"]
    for catcher in state.get("Catch", []):
        yield "Catch", catcher["Next"]


def tasks(contract: Document, resource: str = INVOKE) -> Iterator[tuple[str, Document]]:
    """The Task states of one integration."""
    for name, state in states(contract):
        if state["Type"] == "Task" and state["Resource"] == resource:
            yield name, state


def placeholder(text: Any) -> str:
    """The name within `${…}`, or nothing."""
    found = re.fullmatch(r"\$\{(\w+)\}", str(text))
    return found[1] if found else ""


def called(contract: Document, state: Document) -> str:
    """The logical id of the function that a Task invokes; nothing when it invokes none of the template."""
    substitutions = properties(contract)["DefinitionSubstitutions"]
    name = target(substitutions.get(placeholder(state["Arguments"]["FunctionName"]))) or ""
    return name if contract["template"]["Resources"].get(name, {}).get("Type") == FUNCTION else ""


def answer_type(function: str) -> type[Any]:
    """The Struct that a function answers."""
    does = CALLED[function]
    return does if isinstance(does, type) else get_type_hints(does)["return"]


@cache
def parse_expression(text: str) -> tuple[tuple[str, ...], str | None]:
    """The path of a JSONata expression, and the word that it is compared with. Raises ValueError for one of another kind.

    Ours are kept this plain on purpose, so that they mean the same on every interpreter: `{% $a.b %}` and `{% $a = 'word' %}`.
    """
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        raise ValueError(f"not one of the two kinds of expression: {text}")
    return tuple(found["path"].split(".")), found["word"]


def expressions(node: Any) -> Iterator[str]:
    """Every JSONata expression in a value."""
    if isinstance(node, dict):
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)
    elif isinstance(node, str) and ("{%" in node or "%}" in node):
        yield node


def own_part(state: Document) -> Document:
    """A state without the machine within it."""
    return {key: value for key, value in state.items() if key != "ItemProcessor"}
