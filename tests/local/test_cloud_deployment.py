"""What is asked of CloudFormation: AWS refuses a parameter that a template lacks, the emulator does not."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slacktide_local.deployment import ARTIFACTS, deploy_template, upload_packages
from slacktide_local.errors import DeployFailedError

TEMPLATE = """
Parameters: {Architecture: {Type: String}, Colour: {Type: String}}
Resources: {}
"""


class FakeAws:
    """A session and all its clients at once: it notes each call, and every waiter is content."""

    meta = SimpleNamespace(endpoint_url="http://emulator")

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}

    def client(self, _service: str) -> "FakeAws":
        return self

    def get_waiter(self, _name: str) -> "FakeAws":
        return self

    def wait(self, **_: object) -> None:
        """What is waited for is there."""

    def describe_stacks(self, **_: object) -> dict[str, Any]:
        return {"Stacks": [{"Outputs": [{"OutputKey": "BucketName", "OutputValue": "b"}]}]}

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self.calls.update({name: arguments})

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the change set."""
        given = self.calls["create_change_set"]["Parameters"]
        return {entry["ParameterKey"]: entry["ParameterValue"] for entry in given}


def deploy(folder: Path, parameters: Mapping[str, str], defaults: Mapping[str, str]) -> tuple[FakeAws, dict[str, str]]:
    (folder / "template.yaml").write_text(TEMPLATE)
    aws = FakeAws()
    outputs = deploy_template(folder / "template.yaml", stack="s", parameters=parameters, defaults=defaults, session=aws)
    return aws, outputs


def test_a_template_gets_those_defaults_that_it_has_and_what_was_given_wins(tmp_path: Path) -> None:
    defaults = {"Architecture": "arm64", "Colour": "red", "Unknown": "x"}
    aws, outputs = deploy(tmp_path, {"Colour": "blue"}, defaults)
    assert aws.parameters == {"Architecture": "arm64", "Colour": "blue"}
    assert outputs == {"BucketName": "b"}
    assert aws.calls["create_change_set"]["TemplateURL"] == f"http://emulator/{ARTIFACTS}/template.json"
    assert json.loads(aws.calls["put_object"]["Body"])["Parameters"].keys() == {"Architecture", "Colour"}


def test_what_was_given_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(DeployFailedError, match="no parameter Unknown"):
        deploy(tmp_path, {"Unknown": "x"}, {})


def test_local_files_and_folders_are_uploaded_and_other_places_are_left(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("")
    (tmp_path / "machine.json").write_text("{}")
    template: dict[str, Any] = {
        "Resources": {
            "Local": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "code"}},
            "Remote": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "s3://other/code.zip"}},
            "Machine": {"Type": "AWS::Serverless::StateMachine", "Properties": {"DefinitionUri": "machine.json"}},
            "Table": {"Type": "AWS::DynamoDB::Table"},
        }
    }
    aws = FakeAws()
    upload_packages(template, directory=tmp_path, s3=aws)
    properties = {name: resource.get("Properties", {}) for name, resource in template["Resources"].items()}
    places = {name: next(iter(values.values()), None) for name, values in properties.items()}
    assert places == {
        "Local": "s3://slacktide-local-artifacts/Local",
        "Remote": "s3://other/code.zip",
        "Machine": {"Bucket": "slacktide-local-artifacts", "Key": "Machine"},
        "Table": None,
    }
    assert aws.calls["put_object"] == {"Bucket": "slacktide-local-artifacts", "Key": "Machine", "Body": b"{}"}
