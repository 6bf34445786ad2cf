"""A verb as the manual shows it, read off the command that typer makes of it: usage, help, arguments and options."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

import typer

from slacktide_cli.app import app


def find_commands() -> dict[str, Any]:
    """Every verb by its words (`keys create`), in the order of the help."""
    found: dict[str, Any] = {}
    for name, command in _commands(typer.main.get_command(app)).items():
        inner = _commands(command)
        found |= {f"{name} {word}": one for word, one in inner.items()} if inner else {name: command}
    return found


def render_command(name: str, command: Any) -> Iterator[str]:
    """The part of the manual about a verb, one line after the other."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    words = [_metavar(parameter) for parameter in arguments]
    yield from ["```", " ".join(["slacktide", name, "[OPTIONS]", *words]), "```", ""]
    yield inspect.cleandoc(command.help)
    yield from ["", "| | default | meaning |", "|---|---|---|"]
    for parameter in [*arguments, *options]:
        yield f"| {_names(parameter)} | {_default(parameter)} | {_meaning(parameter)} |"


def find_variables() -> dict[str, list[str]]:
    """The environment variables that stand for options, with the verbs that read them."""
    found: dict[str, list[str]] = {}
    for name, command in find_commands().items():
        for variable in (parameter.envvar for parameter in command.params if parameter.envvar):
            found.setdefault(variable, []).append(name)
    return found


def _commands(group: Any) -> dict[str, Any]:
    return getattr(group, "commands", {})


def _metavar(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper()


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.envvar:
        return f"`${parameter.envvar}`"
    if isinstance(parameter.show_default, str):
        shown = parameter.show_default
        return f"`{shown}`" if set(shown) & set("<{") else shown
    if parameter.default is None or parameter.default is False:
        return "none" if parameter.default is None else "off"
    return f"`{parameter.default}`"


def _meaning(parameter: Any) -> str:
    return " ".join(filter(None, [parameter.help, _choices(parameter), _bounds(parameter)])).replace("|", "\\|")


def _choices(parameter: Any) -> str:
    """The words that there are for an option, where it has a set of them."""
    annotation = parameter.type_descriptor.annotation
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, Enum)]
    names = [f"`{member.value}`" for kind in kinds for member in kind]
    return f"One of {', '.join(names)}." if names else ""


def _bounds(parameter: Any) -> str:
    told = parameter.type_descriptor.parameter_info
    low, high = getattr(told, "min", None), getattr(told, "max", None)
    if low is None:
        return ""
    return f"At least {low:g}." if high is None else f"From {low} to {high}."
