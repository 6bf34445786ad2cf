"""`template.yaml` as plain data: the short tags of CloudFormation become their long forms, and a repeated key is an error."""

from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

ROOT = Path(__file__).parents[2]
FUNCTION = "AWS::Serverless::Function"
MACHINE = "AWS::Serverless::StateMachine"
REST_API = "AWS::Serverless::Api"


class _Loader(yaml.SafeLoader):
    """Knows `!Ref`, `!GetAtt`, `!Sub`, … (AWS CloudFormation User Guide, Intrinsic function reference)."""

    def construct_tag(self, name: str, node: yaml.Node) -> Document:
        if isinstance(node, yaml.ScalarNode):
            content: Any = self.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            content = self.construct_sequence(node, deep=True)
        else:
            content = self.construct_mapping(node, deep=True)
        if name == "GetAtt" and isinstance(content, str):
            content = content.split(".", 1)
        return {name if name in {"Ref", "Condition"} else f"Fn::{name}": content}

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        assert isinstance(node, yaml.MappingNode)
        keys = [key.value for key, _ in node.value]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            raise yaml.constructor.ConstructorError(None, None, f"repeated: {', '.join(repeated)}", node.start_mark)
        return super().construct_mapping(node, deep=deep)


_Loader.add_multi_constructor("!", _Loader.construct_tag)


def parse(text: str) -> Document:
    """The document in a template's text. Raises yaml.YAMLError, also for a key that stands twice in one mapping."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@cache
def read_template() -> Document:
    """The template of this repository. Nobody changes it: a test that damages it takes a deep copy."""
    return parse((ROOT / "template.yaml").read_text())


def resources(template: Document, kind: str) -> dict[str, Document]:
    """The properties of every resource of a type, by logical id."""
    return {name: it.get("Properties", {}) for name, it in template["Resources"].items() if it["Type"] == kind}


def as_list(node: Any) -> list[Any]:
    """A value that may stand alone or in a list, as a list."""
    if node is None:
        return []
    return node if isinstance(node, list) else [node]


def target(node: Any) -> str | None:
    """The logical id that a `Ref` or a `GetAtt` names; None for anything else."""
    if not isinstance(node, dict):
        return None
    return node["Fn::GetAtt"][0] if "Fn::GetAtt" in node else node.get("Ref")


def default(template: Document, node: Any) -> Any:
    """A value as it is when no parameter is given."""
    return template["Parameters"].get(node["Ref"], {}).get("Default") if isinstance(node, dict) and "Ref" in node else node


def timeout(template: Document, function: Document) -> int:
    """The time-out of a function in seconds, its own or that of `Globals`, when no parameter is given."""
    return int(default(template, function.get("Timeout", template["Globals"]["Function"].get("Timeout", 3))))


def statements(template: Document, role: str) -> Iterator[Document]:
    """Every statement of a role's policies; of one that stands under a condition, the branch that grants something."""
    for policy in template["Resources"][role]["Properties"].get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            yield (
                next(it for it in statement["Fn::If"][1:] if it != {"Ref": "AWS::NoValue"})
                if "Fn::If" in statement
                else statement
            )


def text_of(node: Any) -> str:
    """A resource of a statement as text, with `${…}` for what is only known when it is deployed."""
    if isinstance(node, str):
        return node
    if "Ref" in node:
        return f"${{{node['Ref']}}}"
    if "Fn::GetAtt" in node:
        return f"${{{'.'.join(node['Fn::GetAtt'])}}}"
    if "Fn::Sub" in node:
        return node["Fn::Sub"]
    if "Fn::Join" in node:
        separator, parts = node["Fn::Join"]
        return separator.join(text_of(part) for part in parts)
    return "${…}"
