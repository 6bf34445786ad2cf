"""The example files are what their README says: good requests, and in the demo a few that are wrong on purpose."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from slacktide.codes import Code
from slacktide.duplicates import CustomIds
from slacktide.faults import Fault
from slacktide.lines import read_lines
from slacktide.models import read_override, shipped_models
from slacktide.validation import Checker
from slacktide_cli.models import rewrite_models

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODELS = shipped_models()
LOCAL_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"  # the only one that the local cloud can run
CHECKER = Checker(MODELS.find, lambda model: model.route if model.id == LOCAL_MODEL else [])

USES = {"evaluation", "classification", "marketing", "summaries", "synthetic"}
LOCAL = {"evaluation", "classification", "summaries"}  # written for smollm2; the others need `--model smollm2` here

SHORT_FORM, LONG_FORM = {"custom_id", "body"}, {"custom_id", "method", "url", "body"}


def read(name: str) -> list[bytes]:
    return (EXAMPLES / f"{name}.jsonl").read_bytes().splitlines(keepends=True)


def find_faults(lines: Iterable[bytes]) -> dict[int, Code]:
    """Line number and code of each fault, those included that only the whole file shows."""
    outcomes = [CHECKER.check(line) for line in read_lines(lines)]
    ids = CustomIds()
    ids.extend(outcome.custom_id for outcome in outcomes if outcome.custom_id is not None)
    repeated = dict(ids.repeated(lambda: [(outcome.line, outcome.custom_id) for outcome in outcomes]))
    faults = {outcome.line: outcome.code for outcome in outcomes if isinstance(outcome, Fault)}
    return dict(sorted({**dict.fromkeys(repeated, Code.DUPLICATE_CUSTOM_ID), **faults}.items()))


def requests_of(name: str) -> list[dict[str, dict[str, object]]]:
    faulty = find_faults(read(name)) if name == "demo" else {}
    return [msgspec.json.decode(line) for number, line in enumerate(read(name), 1) if number not in faulty]


def test_there_is_a_file_for_each_use_and_one_for_the_demo() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.jsonl")} == {*USES, "demo"}


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_an_example_for_the_local_model_has_no_fault_as_it_is(name: str) -> None:
    assert find_faults(read(name)) == {}


@pytest.mark.parametrize("name", sorted(USES - LOCAL))
def test_an_example_for_a_hosted_model_has_no_fault_with_the_option_model(name: str) -> None:
    assert set(find_faults(read(name)).values()) == {Code.NO_BACKEND_FOR_MODEL}
    assert find_faults(rewrite_models(read(name), "smollm2")) == {}


def test_the_demo_has_six_faults_on_purpose() -> None:
    assert find_faults(read("demo")) == {
        9: Code.INVALID_JSON_LINE,
        18: Code.DUPLICATE_CUSTOM_ID,
        23: Code.MODEL_NOT_FOUND,
        29: Code.MISSING_CUSTOM_ID,
        34: Code.INVALID_REQUEST,
        40: Code.UNSUPPORTED_PARAMETER,
    }
    assert len(read("demo")) == 40


@pytest.mark.parametrize("name", [*sorted(USES), "demo"])
def test_an_example_stays_quick_on_a_processor(name: str) -> None:
    most_tokens = 40 if name == "demo" else 64
    bodies = [request["body"] for request in requests_of(name)]
    assert all(body["temperature"] == 0 for body in bodies)
    assert all(isinstance(body["max_tokens"], int) and body["max_tokens"] <= most_tokens for body in bodies)


@pytest.mark.parametrize("name", sorted(USES))
def test_an_example_is_small_and_keeps_to_one_line_form(name: str) -> None:
    forms = [set(request) for request in requests_of(name)]
    assert 8 <= len(forms) <= 20
    assert all(form == forms[0] for form in forms)


@pytest.mark.parametrize("name", ["demo", "over all uses"])
def test_both_line_forms_are_shown(name: str) -> None:
    names = ["demo"] if name == "demo" else sorted(USES)
    forms = [set(request) for each in names for request in requests_of(each)]
    assert SHORT_FORM in forms
    assert LONG_FORM in forms


def test_the_answers_to_check_stand_in_the_ids_of_the_evaluation_set() -> None:
    for request in requests_of("evaluation"):
        number, equals, answer = str(request["custom_id"]).partition("=")
        assert number.startswith("eval-")
        assert equals
        assert answer


def mend(line: bytes) -> bytes:
    return line.replace(b'"smollm-2"', b'"smollm2"')


def break_json(line: bytes) -> bytes:
    return line.replace(b"}}", b"}", 1)


@pytest.mark.parametrize(("change", "number", "code"), [(mend, 23, None), (break_json, 1, Code.INVALID_JSON_LINE)])
def test_the_check_sees_a_change_of_one_line(change: Callable[[bytes], bytes], number: int, code: Code | None) -> None:
    lines = read("demo")
    lines[number - 1] = change(lines[number - 1])
    assert find_faults(lines).get(number) == code


def test_the_example_rows_put_the_local_model_at_a_hosted_backend_first_and_leave_the_others() -> None:
    table = read_override((EXAMPLES / "models.toml").read_bytes(), MODELS)
    model = table.find("smollm2")

    assert model is not None
    assert model.id == LOCAL_MODEL
    assert model.route == ["together", "sagemaker", "sagemaker"]
    assert table.ids == MODELS.ids
