"""Rules of the functions: folders, handlers, environment variables, and what else starts them (docs/architecture.md)."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from slacktide.errors import SettingsError
from slacktide.settings import PREFIX, Settings, read_settings

from .document import FUNCTION, ROOT, Document, resources, target, timeout
from .wiring_reads import settings_read

FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
OWN_TIMEOUT = f"{PREFIX}FUNCTION_TIMEOUT"
LONGEST_TIMEOUT = 900  # seconds that Lambda allows
REQUIRED = {"SLACKTIDE_BUCKET": "b", "SLACKTIDE_TABLE": "t", "SLACKTIDE_EVENT_BUS": "e"}


def directory_of(function: Document) -> str:
    """The folder of a function below `functions/`."""
    return str(function.get("CodeUri", "")).removeprefix("functions/")


def functions_have_folders(template: Document) -> Iterator[str]:
    """One folder for each function, one function for each folder, and the same word for both."""
    named = {name: directory_of(function) for name, function in resources(template, FUNCTION).items()}
    there = {path.name for path in (ROOT / "functions").iterdir() if (path / "app.py").is_file()}
    for name, directory in named.items():
        if name != f"{directory.title().replace('_', '')}Function":
            yield f"{name} lies in functions/{directory}"
    if sorted(named.values()) != sorted(there):
        yield f"the functions are {sorted(named.values())}, the folders are {sorted(there)}"


def functions_share_what_is_global(template: Document) -> Iterator[str]:
    """Every function is `app.handler` on the core layer, and no time-out is longer than Lambda's longest."""
    shared = template["Globals"]["Function"]
    if shared.get("Handler") != "app.handler" or shared.get("Layers") != [{"Ref": "CoreLayer"}]:
        yield "Globals: the functions are not app.handler on the core layer"
    for name, function in resources(template, FUNCTION).items():
        for key in {"Handler", "Layers", "Runtime", "Architectures"} & function.keys():
            yield f"{name} has its own {key}"
        if not 1 <= timeout(template, function) <= LONGEST_TIMEOUT:
            yield f"{name}: no time-out that Lambda allows"
    layer = template["Resources"]["CoreLayer"]["Properties"]
    for key, parameter in (("CompatibleRuntimes", "PythonRuntime"), ("CompatibleArchitectures", "Architecture")):
        if layer.get(key) != template["Parameters"][parameter]["AllowedValues"]:
            yield f"CoreLayer: {key} differ from what {parameter} allows"


def variables(template: Document, function: Document) -> Document:
    """The environment variables of a function for the settings: those of `Globals` and its own."""
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    own = function.get("Environment", {}).get("Variables", {})
    return {name: value for name, value in {**shared, **own}.items() if name.startswith(PREFIX)}


def settings_are_set(template: Document) -> Iterator[str]:
    """Each variable is a setting; each required setting is set, and each one without a default that the function's code reads."""
    for name, function in resources(template, FUNCTION).items():
        given = {variable.removeprefix(PREFIX).lower() for variable in variables(template, function)}
        reads = settings_read(directory_of(function))
        needed = {field for field in reads if FIELDS[field].default == "" and not field.startswith("transform_")}
        needed |= {field for field, it in FIELDS.items() if it.required}
        own = {it.removeprefix(PREFIX).lower() for it in function.get("Environment", {}).get("Variables", {})}
        for field in sorted(given - FIELDS.keys()):
            yield f"{name}: {field} is no setting"
        for field in sorted(needed - given):
            yield f"{name}: {field} is not set"
        for field in sorted((own & FIELDS.keys()) - reads):
            yield f"{name}: {field} is set and not read"


def settings_name_their_source(template: Document) -> Iterator[str]:
    """The words of a variable stand in the name of what it is set to: a check against mixed-up values."""
    for name, function in resources(template, FUNCTION).items():
        for variable, value in variables(template, function).items():
            if variable == OWN_TIMEOUT:
                if value != function.get("Timeout"):
                    yield f"{name}: {variable} is not its time-out"
                continue
            words = set(variable.removeprefix(PREFIX).removesuffix("_URL").lower().split("_"))
            if not words <= _words(value):
                yield f"{name}: {variable} is set to {value}"


def _words(value: Any) -> set[str]:
    """The words of the names in a value, with `URI` and `AWS` as words."""
    names = " ".join(_names(value))
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", names)}


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _names(part)
    elif isinstance(value, list):
        for part in value:
            yield from _names(part)
    else:
        yield str(value)


def parameters_fit_settings(template: Document) -> Iterator[str]:
    """A parameter that sets a setting has its default, and bounds that the functions accept."""
    seen = {
        (variable, value["Ref"])
        for function in resources(template, FUNCTION).values()
        for variable, value in variables(template, function).items()
        if isinstance(value, dict) and value.get("Ref") in template["Parameters"]
    }
    for variable, name in sorted(seen):
        parameter = template["Parameters"][name]
        default = FIELDS[variable.removeprefix(PREFIX).lower()].default
        if str(parameter["Default"]) != (str(default).lower() if isinstance(default, bool) else str(default)):
            yield f"{name}: its default is not that of the settings"
        for bound in ("MinValue", "MaxValue"):
            try:
                read_settings(REQUIRED | {variable: str(parameter.get(bound, parameter["Default"]))})
            except SettingsError as error:
                yield f"{name}: {bound} is refused by the functions: {error}"


def sweep_is_called(template: Document) -> Iterator[str]:
    """On a schedule, and when an execution of either machine ended without its own doing."""
    events = template["Resources"]["SweepFunction"]["Properties"].get("Events", {}).values()
    if not any(it["Type"] == "Schedule" and it["Properties"]["Schedule"] == {"Ref": "SweepSchedule"} for it in events):
        yield "sweep is on no schedule"
    for it in events:
        if it["Type"] == "EventBridgeRule":
            pattern = it["Properties"]["Pattern"]
            machines = {target(machine) for machine in pattern["detail"]["stateMachineArn"]}
            if pattern["source"] != ["aws.states"] or pattern["detail-type"] != ["Step Functions Execution Status Change"]:
                yield "sweep does not hear of executions"
            if sorted(pattern["detail"]["status"]) != ["ABORTED", "FAILED", "TIMED_OUT"]:
                yield "sweep does not hear of every dead execution, and only of those"
            if machines != {"BatchStateMachine", "JobStateMachine"}:
                yield "sweep does not hear of both machines"
    if not any(it["Type"] == "EventBridgeRule" for it in events):
        yield "sweep does not hear of dead executions"


RULES = [
    functions_have_folders,
    functions_share_what_is_global,
    settings_are_set,
    settings_name_their_source,
    parameters_fit_settings,
    sweep_is_called,
]
