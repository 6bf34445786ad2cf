"""Rules of what a person sees when deploying: parameters, outputs, the saved answers of `sam deploy`."""

import re
from collections.abc import Iterator
from typing import Any

from .document import Document, text_of

FREE_TEXT = {
    "TransformImageUri": "the URI of an image: registries, tags and digests differ; SageMaker checks it when a model is made",
    "TransformModels": "ids out of the model table, with commas between them; an unknown one is named at validation",
}
LARGE = 10_000_000  # from here on Java writes a float with an exponent (the reference of Double.toString)


def parameters_are_described(template: Document) -> Iterator[str]:
    """Each one says what it is, as a sentence, and has a default: the system can be deployed with no answer at all."""
    for name, parameter in template["Parameters"].items():
        if not str(parameter.get("Description", "")).endswith("."):
            yield f"{name}: no sentence describes it"
        if "Default" not in parameter:
            yield f"{name}: no default"


def parameters_are_bounded(template: Document) -> Iterator[str]:
    """A number has bounds, a text has a pattern or a list of values, and the default lies within."""
    for name, it in template["Parameters"].items():
        fits = _fits(it)
        if fits is None and name not in FREE_TEXT:
            yield f"{name}: neither bounds nor a reason for free text"
        if fits is False:
            yield f"{name}: its default is out of bounds"
        if fits is not None and name in FREE_TEXT:
            yield f"{name}: a reason for free text, and bounds"
    for name in FREE_TEXT.keys() - template["Parameters"].keys():
        yield f"{name}: a reason for free text that is not there"


def _fits(parameter: Document) -> bool | None:
    """Whether the default lies within the bounds; None without bounds."""
    value = parameter.get("Default")
    if "AllowedValues" in parameter:
        return value in parameter["AllowedValues"]
    if parameter["Type"] == "Number" and {"MinValue", "MaxValue"} <= parameter.keys():
        return parameter["MinValue"] <= int(value) <= parameter["MaxValue"]
    if parameter["Type"] == "String" and "AllowedPattern" in parameter:
        return re.search(parameter["AllowedPattern"], str(value)) is not None
    return None


def large_numbers_are_texts(template: Document) -> Iterator[str]:
    """No default is a number that a tool could write with an exponent, which no setting is read from."""
    for name, parameter in template["Parameters"].items():
        default = parameter.get("Default")
        if isinstance(default, int) and default >= LARGE:
            yield f"{name}: its default of {default} stands without quotes"


def parameters_are_shown_and_used(template: Document) -> Iterator[str]:
    """Each one stands in one group of the console's form, and something refers to it."""
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    if sorted(shown) != sorted(template["Parameters"]):
        yield f"not shown once: {', '.join(sorted(set(shown) ^ template['Parameters'].keys())) or 'one stands twice'}"
    rest = {key: value for key, value in template.items() if key not in {"Metadata", "Parameters"}}
    for name in template["Parameters"].keys() - set(_references(rest, "Ref")):
        yield f"{name}: nothing refers to it"


def conditions_are_used(template: Document) -> Iterator[str]:
    """Each condition decides something, and no other is asked for."""
    asked = {*_references(template, "Condition"), *(it[0] for it in _values(template, "Fn::If"))}
    if asked != template["Conditions"].keys():
        yield f"conditions that are asked for or there, not both: {', '.join(sorted(asked ^ template['Conditions'].keys()))}"


def references_are_there(template: Document) -> Iterator[str]:
    """Each `Ref`, `GetAtt` and `Sub` names a parameter, a resource or a pseudo parameter."""
    there = {*template["Parameters"], *template["Resources"]}
    names = {*_references(template, "Ref"), *(it[0] for it in _values(template, "Fn::GetAtt"))}
    for text in _values(template, "Fn::Sub"):
        names |= {name.partition(".")[0] for name in re.findall(r"\$\{([\w:.]+)\}", text_of(text))}
    for name in sorted(it for it in names - there if not it.startswith("AWS::")):
        yield f"{name} is neither a parameter nor a resource"


def _references(node: Any, key: str) -> Iterator[str]:
    return (value for value in _values(node, key) if isinstance(value, str))


def _values(node: Any, key: str) -> Iterator[Any]:
    """The values of a key, wherever it stands."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)


def outputs_are_described(template: Document) -> Iterator[str]:
    """Each one says what it is, and is something of this stack."""
    for name, output in template["Outputs"].items():
        if not str(output.get("Description", "")).endswith("."):
            yield f"{name}: no sentence describes it"
        named = re.findall(r"\$\{(\w+)\}", str(output["Value"].get("Fn::Sub", ""))) or [output["Value"].get("Ref")]
        if not set(named) & template["Resources"].keys():
            yield f"{name}: names nothing of this stack"


def saved_answers_fit(template: Document, saved: Document) -> Iterator[str]:
    """What `samconfig.toml` saves: parameters that the template has, and the leave to make roles."""
    for environment, commands in saved.items():
        if environment == "version":
            continue
        for command, tables in commands.items():
            options = tables.get("parameters", {})
            overrides = options.get("parameter_overrides", [])
            words = overrides.split() if isinstance(overrides, str) else overrides
            for word in words:
                if word.partition("=")[0] not in template["Parameters"]:
                    yield f"{environment}.{command}: {word} sets no parameter"
            if command == "deploy" and "CAPABILITY_IAM" not in options.get("capabilities", ""):
                yield f"{environment}.{command}: the template makes roles, which needs CAPABILITY_IAM"


RULES = [
    parameters_are_described,
    parameters_are_bounded,
    large_numbers_are_texts,
    parameters_are_shown_and_used,
    conditions_are_used,
    references_are_there,
    outputs_are_described,
]
