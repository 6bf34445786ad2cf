"""Every rule of the template holds."""

import importlib.util
import tomllib
from collections.abc import Callable

import pytest
import yaml

from slacktide import jobs, records

from . import functions, intake, parameters, permissions, storage
from .damage import Rule
from .document import ROOT, as_list, parse, read_template, resources
from .wiring_reads import MACHINE_OF, methods_of_executions, settings_read

RULES: list[Rule] = [*intake.RULES, *storage.RULES, *functions.RULES, *permissions.RULES, *parameters.RULES]
DIRECTORIES = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_template_follows(rule: Rule) -> None:
    assert list(rule(read_template())) == []


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_each_folder_has_a_handler(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be imported without any environment, as Lambda does before the first call."""
    for variable in functions.REQUIRED:
        monkeypatch.delenv(variable, raising=False)
    spec = importlib.util.spec_from_file_location(f"{directory}_app", ROOT / "functions" / directory / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[..., object] = module.handler
    assert callable(handler)


def test_the_saved_answers_fit() -> None:
    file = ROOT / "samconfig.toml"
    saved = tomllib.loads(file.read_text()) if file.exists() else {}
    assert list(parameters.saved_answers_fit(read_template(), saved)) == []


def test_saved_answers_that_do_not_fit_are_seen() -> None:
    good = {"parameter_overrides": "LogLevel=DEBUG", "capabilities": "CAPABILITY_IAM"}
    bad = {"parameter_overrides": ["LogLvl=DEBUG"]}
    assert not list(parameters.saved_answers_fit(read_template(), {"version": 0.1, "default": {"deploy": {"parameters": good}}}))
    complaints = list(parameters.saved_answers_fit(read_template(), {"default": {"deploy": {"parameters": bad}}}))
    assert len(complaints) == 2


@pytest.mark.parametrize(
    ("directory", "reads"),
    [
        ("validate", {"input_queue_url", "batch_state_machine", "function_timeout", "receive_limit", "bucket", "table"}),
        ("plan", {"job_state_machine", "transform_models", "wait_first", "assembly_reserve"}),
        ("dead_letter", {"dead_letter_queue_url"}),
        ("sweep", {"batch_state_machine", "event_bus"}),
        ("submit", {"transform_image_uri", "wait_longest"}),
        ("api", {"api_requests_per_second", "file_endpoint_url", "input_queue_url", "window_shortest", "bucket", "table"}),
    ],
)
def test_the_settings_that_a_function_reads_are_found(directory: str, reads: set[str]) -> None:
    assert reads <= settings_read(directory)


def test_a_function_reads_only_its_own_settings() -> None:
    assert "dead_letter_queue_url" not in settings_read("validate")
    assert "job_state_machine" not in settings_read("sweep")
    assert "batch_state_machine" not in settings_read("plan")
    assert not {"batch_state_machine", "receive_limit", "dead_letter_queue_url"} & settings_read("api")
    assert "api_requests_per_second" not in settings_read("validate")


def test_each_method_of_executions_has_its_machine() -> None:
    assert methods_of_executions() == MACHINE_OF.keys()


def test_a_repeated_key_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="repeated: A"):
        parse("Resources: {A: {Type: x}, B: {Type: y}, A: {Type: z}}")


def test_short_tags_become_their_long_forms() -> None:
    text = "[!Ref A, !GetAtt A.B.C, !If [Some, !Sub '${A}', !Ref B], !Condition C]"
    wanted = [
        {"Ref": "A"},
        {"Fn::GetAtt": ["A", "B.C"]},
        {"Fn::If": ["Some", {"Fn::Sub": "${A}"}, {"Ref": "B"}]},
        {"Condition": "C"},
    ]
    assert parse(text) == wanted


def test_the_table_has_the_indexes_that_the_records_use() -> None:
    """The names of keys and indexes in the library are those of the template."""
    source = (ROOT / "layers/core/slacktide/records.py").read_text()
    table = resources(read_template(), storage.TABLE)["Table"]
    names = {attribute["AttributeName"] for attribute in table["AttributeDefinitions"]}
    assert {name for name in names if f'"{name}"' in source} == names
    assert records.__doc__ is not None
    assert all(f"`{index['IndexName']}`" in records.__doc__ for index in as_list(table["GlobalSecondaryIndexes"]))


def test_the_lease_outlives_the_invocation() -> None:
    for seconds in (1, 300, functions.LONGEST_TIMEOUT):
        assert intake.settings(function_timeout=seconds).lease > seconds
    assert jobs.Clock(lambda: 10, 10.0).is_late
