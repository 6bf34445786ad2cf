"""Which settings a function reads: followed from its handler through the wiring to the modules that the wiring puts together."""

import ast
import inspect
import re
import sys
from functools import cache
from typing import NamedTuple

from slacktide import wiring
from slacktide.api import wiring as api_wiring
from slacktide.executions import Executions
from slacktide.settings import Settings

from .document import ROOT

# Which machine each method of Executions is about: the wiring knows both, a function needs those that it uses.
MACHINE_OF = {
    "start_batch": "batch_state_machine",
    "stop_batch": "batch_state_machine",
    "batch_status": "batch_state_machine",
    "find_dead": "job_state_machine",
}
BEHIND: dict[str, str] = {"lease": "function_timeout"}  # properties of the settings, and the field that they are made of


@cache
def settings_read(directory: str) -> set[str]:
    """The fields of the settings that the function in `functions/<directory>` reads."""
    handler = (ROOT / "functions" / directory / "app.py").read_text()
    module = sys.modules[f"{'.'.join(re.findall(r'^from ([a-z.]+) import wiring', handler, re.MULTILINE))}.wiring"]
    reads: set[str] = set()
    sources: set[str] = set()
    for it in _closure({Maker(module.__name__, str(name)) for name in re.findall(r"wiring\.(\w+)\(", handler)}):
        if it.name != "executions":
            reads |= _direct_reads(_makers()[it])
        made = _classes(it)
        sources |= {source for one in made if one is not Executions for source in _sources(one.__module__)}
    for source in sources:
        reads |= {BEHIND.get(name, str(name)) for name in re.findall(r"\bsettings\.(\w+)", source)}
        reads |= {MACHINE_OF[name] for name in re.findall(r"self\.executions\.(\w+)\(", source)}
    return reads & {*Settings.__struct_fields__}


@cache
def _sources(module: str) -> frozenset[str]:
    """The source of a module, and of those that it hands the settings on to."""
    source = inspect.getsource(sys.modules[module])
    found = re.findall(r"^from (slacktide(?:\.\w+)+) import", source, re.MULTILINE)
    imported = {str(name) for name in found} - {Settings.__module__}
    handed = [it for it in imported if "settings: Settings" in inspect.getsource(sys.modules[it])]
    return frozenset({source, *(text for it in handed for text in _sources(it))})


def methods_of_executions() -> set[str]:
    """What Executions offers."""
    return {name for name, _ in inspect.getmembers(Executions, inspect.isfunction) if not name.startswith("_")}


class Maker(NamedTuple):
    """A function of a module that wires things together."""

    module: str
    name: str


@cache
def _makers() -> dict[Maker, ast.FunctionDef]:
    trees = {module.__name__: ast.parse(inspect.getsource(module)) for module in (wiring, api_wiring)}
    functions = [(name, node) for name, tree in trees.items() for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {Maker(name, node.name): node for name, node in functions}


def _called(it: Maker) -> set[Maker]:
    """What a maker calls: of its own module by its name, of the other one as `wiring.<name>`."""
    calls = [call.func for call in ast.walk(_makers()[it]) if isinstance(call, ast.Call)]
    own = {Maker(it.module, call.id) for call in calls if isinstance(call, ast.Name)}
    others = {Maker(wiring.__name__, call.attr) for call in calls if isinstance(call, ast.Attribute) and _is_wiring(call.value)}
    return own | others


def _is_wiring(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "wiring"


def _closure(makers: set[Maker]) -> set[Maker]:
    known: set[Maker] = set()
    while new := (makers & _makers().keys()) - known:
        known |= new
        makers = {called for it in new for called in _called(it)}
    return known


def _direct_reads(node: ast.FunctionDef) -> set[str]:
    """Fields read of `settings()`, or of the name that it was given."""
    given = {
        goal.id
        for it in ast.walk(node)
        if isinstance(it, ast.Assign) and _is_settings(it.value)
        for goal in it.targets
        if isinstance(goal, ast.Name)
    }
    attributes = [it for it in ast.walk(node) if isinstance(it, ast.Attribute)]
    return {it.attr for it in attributes if _is_settings(it.value) or (isinstance(it.value, ast.Name) and it.value.id in given)}


def _is_settings(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    of_other = isinstance(node.func, ast.Attribute) and _is_wiring(node.func.value) and node.func.attr == "settings"
    return of_other or (isinstance(node.func, ast.Name) and node.func.id == "settings")


def _classes(it: Maker) -> set[type]:
    made = {getattr(sys.modules[it.module], called.name, None) for called in _called(it) if called.module == it.module}
    return {one for one in made if isinstance(one, type) and one.__module__.startswith("slacktide.")}
