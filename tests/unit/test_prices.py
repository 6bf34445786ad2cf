"""Prices: exact, dated, and unknown where they are not known."""

from datetime import date
from decimal import Decimal

import pytest

from slacktide.errors import ModelTableError
from slacktide.models import Model, parse_models, shipped_models
from slacktide.prices import Price, Terms, micro_dollars

ROW = """[[models]]
id = "a"
family = "f"
endpoints = ["/v1/completions"]
route = ["together"]
"""
LAUNCH_DAY = date(2025, 6, 11)


def one_model(terms: str) -> Model:
    return parse_models(f'{ROW}backends.together = {{ id = "a", terms = [{terms}] }}').models["a"]


def test_a_cost_is_exact() -> None:
    assert Price(Decimal("0.27"), Decimal("0.85")).cost(1, 1) == Decimal("0.00000112")
    assert Price(Decimal("0.1"), Decimal(0)).cost(3, 7) == Decimal("0.0000003")
    assert Price(Decimal("3.50"), Decimal("3.50")).cost(10**12, 10**12) == 7_000_000


@pytest.mark.parametrize(
    ("amount", "expected"), [("0", 0), ("0.000001", 1), ("0.0000000001", 1), ("0.0000010001", 2), ("12.5", 12_500_000)]
)
def test_micro_dollars_are_rounded_up(amount: str, expected: int) -> None:
    assert micro_dollars(Decimal(amount)) == expected


class TestTerms:
    def test_the_newest_count_wherever_they_stand(self) -> None:
        model = one_model(
            '{ as_of = 2026-02-01, source = "new", real_time = { input = 2.0, output = 4.0 }, batch_discount = 0.25 },'
            '{ as_of = 2025-02-01, source = "old", real_time = { input = 1.0, output = 1.0 }, batch_discount = 0.5 }'
        )
        assert model.batch_price("together") == Price(Decimal("1.5"), Decimal(3))

    def test_a_price_in_batches_of_its_own(self) -> None:
        batch = Price(Decimal("0.3"), Decimal("0.4"))
        assert Terms(LAUNCH_DAY, "s", batch=batch).batch_price == batch

    @pytest.mark.parametrize("terms", ["batch_discount = 0.5", "real_time = { input = 1, output = 1 }", "batchable = true"])
    def test_what_is_not_known_is_not_zero(self, terms: str) -> None:
        assert one_model(f'{{ as_of = 2026-02-01, source = "s", {terms} }}').batch_price("together") is None

    def test_own_gpus_have_no_price_for_tokens(self) -> None:
        assert {model.batch_price("sagemaker") for model in shipped_models().rows} == {None}
        assert {model.batch_price("openai") for model in shipped_models().rows} == {None}

    @pytest.mark.parametrize(
        ("terms", "told"),
        [
            ("as_of = 2026-02-01", "missing required field `source`"),
            ('source = "s"', "missing required field `as_of`"),
            ('as_of = 2026-02-01, source = "s", currency = "EUR"', "Invalid enum value 'EUR'"),
            ('as_of = 2026-02-01, source = "s", batch_discount = 1.1', "batch_discount is a share from 0 to 1"),
            ('as_of = 2026-02-01, source = "s", batch_discount = nan', "batch_discount is a share from 0 to 1"),
            ('as_of = 2026-02-01, source = "s", real_time = { input = -1, output = 1 }', "a price is a number of at least 0"),
            ('as_of = 2026-02-01, source = "s", real_time = { input = 1, output = inf }', "a price is a number of at least 0"),
            ('as_of = 2026-02-01, source = "s", real_time = { input = 1 }', "missing required field `output`"),
        ],
    )
    def test_wrong_terms_are_told_by_row_and_field(self, terms: str, told: str) -> None:
        with pytest.raises(ModelTableError, match=told) as caught:
            one_model(f"{{ {terms} }}")
        assert "row 1 (a)" in str(caught.value)

    def test_they_survive_an_override_that_names_other_fields(self) -> None:
        name = "Qwen/QwQ-32B"
        table = parse_models(f'[[models]]\nid = "{name}"\ncontext = 7\n', shipped_models())
        assert table.models[name].backends == shipped_models().models[name].backends


class TestShipped:
    """The launch models, whose terms at launch and now stand side by side."""

    @pytest.fixture(params=[model.id for model in shipped_models().rows if model.upstream("together")])
    def terms(self, request: pytest.FixtureRequest) -> list[Terms]:
        upstream = shipped_models().models[request.param].upstream("together")
        assert upstream is not None
        return upstream.terms

    def test_at_launch_a_batch_cost_half(self, terms: list[Terms]) -> None:
        launch = min(terms, key=lambda entry: entry.as_of)
        assert (launch.as_of, launch.batch_discount, launch.batchable) == (LAUNCH_DAY, Decimal("0.5"), True)
        assert "together.ai/blog/batch-api" in launch.source
        if launch.real_time is not None:
            assert launch.batch_price == Price(launch.real_time.input / 2, launch.real_time.output / 2)

    def test_todays_terms_have_a_price_a_day_and_a_source(self, terms: list[Terms]) -> None:
        newest = max(terms, key=lambda entry: entry.as_of)
        assert newest.as_of > LAUNCH_DAY
        assert newest.real_time is not None
        assert newest.batch_price is not None
        assert len(newest.source) > len("docs.together.ai")

    def test_only_one_model_has_a_discount_today(self) -> None:
        newest = {model.id: model.terms("together") for model in shipped_models().rows}
        assert {name for name, terms in newest.items() if terms is not None and terms.batch_discount} == {
            "meta-llama/Llama-3.3-70B-Instruct-Turbo"
        }
        assert {name for name, terms in newest.items() if terms is not None and terms.batchable is False} == {
            "deepseek-ai/DeepSeek-R1"
        }
