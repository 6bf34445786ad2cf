"""Which settings a function reads: followed from its handler through the wiring to the modules that the wiring puts together."""

import ast
import inspect
import re
import sys
from functools import cache

from slacktide import wiring
from slacktide.executions import Executions
from slacktide.settings import Settings

from .document import ROOT

# Which machine each method of Executions is about: the wiring knows both, a function needs those that it uses.
MACHINE_OF = {
    "start_batch": "batch_state_machine",
    "stop_batch": "batch_state_machine",
    "batch_status": "batch_state_machine",
    "is_job_running": "job_state_machine",
}
BEHIND: dict[str, str] = {"lease": "function_timeout"}  # properties of the settings, and the field that they are made of


@cache
def settings_read(directory: str) -> set[str]:
    """The fields of the settings that the function in `functions/<directory>` reads."""
    handler = (ROOT / "functions" / directory / "app.py").read_text()
    reads: set[str] = set()
    sources: set[str] = set()
    for name in _closure({str(name) for name in re.findall(r"wiring\.(\w+)\(", handler)}):
        node = _wiring_functions()[name]
        if name != "executions":
            reads |= _direct_reads(node)
        sources |= {source for it in _classes(node) if it is not Executions for source in _sources(it.__module__)}
    for source in sources:
        reads |= {BEHIND.get(name, str(name)) for name in re.findall(r"\bsettings\.(\w+)", source)}
        reads |= {MACHINE_OF[name] for name in re.findall(r"self\.executions\.(\w+)\(", source)}
    return reads & {*Settings.__struct_fields__}


@cache
def _sources(module: str) -> frozenset[str]:
    """The source of a module, and of those that it hands the settings on to."""
    source = inspect.getsource(sys.modules[module])
    imported = {str(name) for name in re.findall(r"^from (slacktide\.\w+) import", source, re.MULTILINE)} - {Settings.__module__}
    handed = [it for it in imported if "settings: Settings" in inspect.getsource(sys.modules[it])]
    return frozenset({source, *(text for it in handed for text in _sources(it))})


def methods_of_executions() -> set[str]:
    """What Executions offers."""
    return {name for name, _ in inspect.getmembers(Executions, inspect.isfunction) if not name.startswith("_")}


@cache
def _wiring_functions() -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(wiring))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _called(node: ast.AST) -> set[str]:
    return {it.func.id for it in ast.walk(node) if isinstance(it, ast.Call) and isinstance(it.func, ast.Name)}


def _closure(names: set[str]) -> set[str]:
    known: set[str] = set()
    while new := (names & _wiring_functions().keys()) - known:
        known |= new
        names = {called for name in new for called in _called(_wiring_functions()[name])}
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
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "settings"


def _classes(node: ast.FunctionDef) -> set[type]:
    made = {getattr(wiring, name, None) for name in _called(node)}
    return {it for it in made if isinstance(it, type) and it.__module__.startswith("slacktide.")}
