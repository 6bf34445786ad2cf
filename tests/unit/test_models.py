"""The model table: well-formed, laid over the shipped one, and found wrong where it is not."""

import pytest

from fakes.world import World
from slacktide.errors import ModelTableError
from slacktide.models import MOST_TABLE_BYTES, parse_models, read_override, shipped_models
from slacktide.routes import Routes

ROW = """[[models]]
id = "a"
aliases = ["b"]
family = "f"
endpoints = ["/v1/completions"]
backends.sagemaker = { id = "up" }
route = ["sagemaker"]
"""
LOCAL = "HuggingFaceTB/SmolLM2-135M-Instruct"
# The launch models of Together's Batch API, with their sizes.
LAUNCH = {
    "deepseek-ai/DeepSeek-R1": "685B",
    "deepseek-ai/DeepSeek-V3": "671B",
    "meta-llama/Llama-3-70b-chat-hf": "70B",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo": "70B",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8": "17B active",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": "17B active",
    "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo": "405B",
    "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo": "70B",
    "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo": "8B",
    "mistralai/Mistral-7B-Instruct-v0.1": "7B",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "8x7B",
    "Qwen/Qwen2.5-72B-Instruct-Turbo": "72B",
    "Qwen/Qwen2.5-7B-Instruct-Turbo": "7B",
    "Qwen/Qwen3-235B-A22B-fp8-tput": "235B",
    "Qwen/QwQ-32B": "32B",
}


def test_the_shipped_table() -> None:
    table = shipped_models()
    assert table.find("smollm2") is table.find(LOCAL) is not None
    assert table.find("nobody") is None
    assert {model.id: model.parameters for model in table.rows} == {LOCAL: "135M"} | LAUNCH
    assert all(model.enabled for model in table.rows)


@pytest.mark.parametrize("name", LAUNCH)
def test_a_launch_model_goes_to_the_hosted_api_twice_and_then_to_own_gpus(name: str) -> None:
    model = shipped_models().models[name]
    assert model.route == ["together", "together", "sagemaker"]
    hosted = model.upstream("together")
    assert hosted is not None
    assert (hosted.id, hosted.batchable) == (name, True)


def test_ids_without_aliases() -> None:
    table = parse_models(ROW)
    assert table.ids == ["a"]
    assert [model.id for model in table.rows] == ["a"]


@pytest.mark.parametrize(
    ("backends", "route"),
    [
        ('{ together = { id = "t" }, sagemaker = { id = "s" } }', ["sagemaker"]),
        ('{ together = { id = "t" }, sagemaker = { id = "s", batchable = false } }', []),
    ],
)
def test_a_backend_that_is_not_there_or_runs_no_batches_is_passed_over(world: World, backends: str, route: list[str]) -> None:
    text = f'[[models]]\nid = "a"\nroute = ["together", "sagemaker"]\nbackends = {backends}\n'
    table = parse_models(text, parse_models(ROW))
    assert Routes(table, world.backends).route(table.models["a"]) == route


class TestOverride:
    def test_a_row_of_a_known_id_changes_the_fields_that_it_names(self) -> None:
        table = parse_models('[[models]]\nid = "a"\ncontext = 7\n', parse_models(ROW))
        assert (table.models["a"].context, table.models["a"].family, table.find("b")) == (7, "f", table.models["a"])

    def test_a_new_row_stands_behind_the_others(self) -> None:
        table = parse_models(ROW.replace('"a"', '"c"').replace('"b"', '"d"'), parse_models(ROW))
        assert table.ids == ["a", "c"]
        assert table.find("d") is table.models["c"]

    def test_an_empty_file_changes_nothing(self) -> None:
        assert read_override(b"# nothing\n", shipped_models()) == shipped_models()

    def test_an_alias_that_another_row_has(self) -> None:
        with pytest.raises(ModelTableError, match="model c: the name b stands in the table twice"):
            parse_models(ROW.replace('"a"', '"c"'), parse_models(ROW))

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b"\xff", "not UTF-8 at byte 1"),
            (b"#" * (MOST_TABLE_BYTES + 1), f"more than {MOST_TABLE_BYTES} bytes"),
            (b"[[models]]\nid = 'new'\n", r"row 1 \(new\): Object missing required field `family`"),
        ],
    )
    def test_what_is_wrong_with_a_file_is_said(self, data: bytes, told: str) -> None:
        with pytest.raises(ModelTableError, match=told):
            read_override(data, shipped_models())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "not well-formed"),
        ("model = 1", "unknown field `model`"),
        ("models = 1", "not well-formed"),
        ("[[models]]\nfamily = 'f'\n", "row 1: id is missing"),
        ("[[models]]\nid = 3\n", "row 1: id is missing, or not a text"),
        (ROW.replace("family", "famly"), r"row 1 \(a\): .*famly"),
        (ROW + "context = 'big'\n", r"row 1 \(a\): Expected `int \| null`, got `str` - at `context`"),
        (ROW + "context = 0\n", "at `context`"),
        (ROW.replace("/v1/completions", "/v1/x"), "endpoints: /v1/x is not one of /v1/chat/completions"),
        (ROW.replace('["/v1/completions"]', "[]"), "at `endpoints`"),
        (ROW.replace('route = ["sagemaker"]', 'route = ["sagmaker"]'), "route: sagmaker is not one of together, openai"),
        (ROW.replace('route = ["sagemaker"]', 'route = ["together"]'), r"route: together is not among its backends"),
        (ROW.replace("backends.sagemaker", "backends.sagmaker"), "sagmaker` - at `backends`"),
        (ROW.replace('{ id = "up" }', '{ name = "up" }'), "at `backends.sagemaker`"),
        (ROW + ROW, r"row 2 \(a\): stands in the table twice"),
        (ROW + ROW.replace('"a"', '"b"').replace('["b"]', "[]"), "the name b stands in the table twice"),
    ],
)
def test_what_is_wrong_is_said(text: str, told: str) -> None:
    with pytest.raises(ModelTableError, match=told):
        parse_models(text)


def test_every_wrong_row_is_named_up_to_a_number() -> None:
    text = "".join(f"[[models]]\nid = 'm{number}'\n" for number in range(1, 9))
    with pytest.raises(ModelTableError, match=r"row 1 \(m1\).*row 5 \(m5\).*; and 3 more$"):
        parse_models(text)
