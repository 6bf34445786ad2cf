"""Which models fit which instance types: arithmetic, held against the models that are known to fit or not."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from botocore.session import get_session

from slacktide.instances import GB, LEAST_CACHE, Instance, find_fits, fit, is_too_big, shipped_instances
from slacktide.models import Model, Upstreams, Weights, shipped_models

TABLE = shipped_instances()
ONE = Instance("ml.x.xlarge", "X", 1, 24, Decimal("8.0"))
FOUR = Instance("ml.x.12xlarge", "X", 4, 24, Decimal("8.0"))


def known(name: str) -> Instance:
    found = TABLE.find(name)
    assert found is not None
    return found


def smallest(name: str) -> dict[str, str]:
    """By family, the first instance type that a model fits."""
    fits = find_fits(shipped_models().models[name], TABLE)
    assert fits is not None
    first: dict[str, str] = {}
    for found in fits:
        first.setdefault(found.instance.family, found.instance.name)
    return first


def test_the_table_has_all_types_with_gpus_that_transform_jobs_take() -> None:
    shape: Any = get_session().get_service_model("sagemaker").shape_for("TransformInstanceType")
    types: list[str] = shape.enum
    assert {instance.name for instance in TABLE.instances} == {name for name in types if name.split(".")[1][0] in "gp"}


def test_what_is_left_for_the_cache_is_what_the_weights_leave() -> None:
    weights = Weights(parameters=8 * GB, cache_bytes=100_000)
    found = fit(weights, ONE)
    assert found is not None
    assert found.cache_tokens == (21_600_000_000 - GB - 16 * GB) // 100_000  # 0.9 of 24 GB, a workspace, 2 bytes a parameter
    assert found.gpus == 1


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (1, False)])
def test_it_fits_with_a_least_of_cache_and_no_less(spare: int, fits: bool) -> None:
    room = 21_600_000_000 - GB - LEAST_CACHE * 100_000
    weights = Weights(parameters=room + spare, cache_bytes=100_000, bytes_per_parameter=Decimal(1))
    assert (fit(weights, ONE) is not None) is fits


@pytest.mark.parametrize(("heads", "gpus"), [(64, 4), (9, 3), (14, 2), (7, 1), (None, 4)])
def test_gpus_share_a_model_where_they_divide_its_heads(heads: int | None, gpus: int) -> None:
    found = fit(Weights(parameters=GB, cache_bytes=100_000, heads=heads), FOUR)
    assert found is not None
    assert found.gpus == gpus


def test_a_gpu_that_the_engine_does_not_run_on_fits_nothing() -> None:
    assert fit(Weights(parameters=1, cache_bytes=1), known("ml.p2.16xlarge")) is None
    assert fit(Weights(parameters=1, cache_bytes=1), known("ml.p3.2xlarge")) is not None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", {"g4dn": "ml.g4dn.xlarge", "g6": "ml.g6.xlarge", "p3": "ml.p3.2xlarge"}),
        (
            "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo",
            {"g4dn": "ml.g4dn.12xlarge", "g5": "ml.g5.xlarge", "g6e": "ml.g6e.xlarge"},
        ),
        ("Qwen/QwQ-32B", {"g5": "ml.g5.12xlarge", "g6e": "ml.g6e.12xlarge", "p3": "ml.p3.16xlarge"}),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", {"g5": "ml.g5.48xlarge", "g6e": "ml.g6e.12xlarge"}),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", {"g6e": "ml.g6e.48xlarge"}),
    ],
)
def test_the_smallest_type_of_a_family(model: str, expected: dict[str, str]) -> None:
    found = smallest(model)
    assert {family: found.get(family) for family in expected} == expected
    assert set(found) <= {"g4dn", "g5", "g6", "g6e", "p3"}


def test_the_largest_models_fit_nowhere() -> None:
    nowhere = {model.id for model in shipped_models().rows if find_fits(model, TABLE) == []}
    assert nowhere == {
        "deepseek-ai/DeepSeek-R1",
        "deepseek-ai/DeepSeek-V3",
        "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
        "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo",
    }


def test_what_is_not_known_is_given_a_try() -> None:
    model = Model("m", "f", ["/v1/completions"], ["sagemaker"], Upstreams())
    big = msgspec.structs.replace(model, weights=Weights(parameters=1_000 * GB, cache_bytes=1))
    assert find_fits(model, TABLE) is None
    assert not is_too_big(model, "ml.g6.xlarge")
    assert not is_too_big(big, "ml.m5.large")
    assert is_too_big(big, "ml.g6e.48xlarge")


def test_prices_are_known_or_left_out() -> None:
    prices = {instance.name: instance.usd_per_hour for instance in TABLE.instances}
    assert prices["ml.g6.xlarge"] == Decimal("1.127")
    assert {name.split(".")[1] for name, price in prices.items() if price is None} == {"p2", "p3"}
    assert all(price is None or price > 0 for price in prices.values())
