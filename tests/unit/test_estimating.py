"""Estimates: what a file would cost by each backend of its models' routes, and what the table's rows say about that."""

from decimal import Decimal
from typing import Any

import pytest

from fakes.world import World, jsonl, request
from slacktide.batch import Options
from slacktide.estimating import BOUND, COUNTED, NO_SPEED, SAMPLED, START_SECONDS, TOO_BIG, Estimate, Estimator, Range
from slacktide.instances import find_fits, shipped_instances
from slacktide.models import Model, ModelTable, parse_models, shipped_models
from slacktide.prompts import Vocabulary
from slacktide.sampling import SAMPLE_BYTES
from slacktide_cli.preflight import examine, possible_route
from slacktide_cli.vocabularies import find_vocabulary

LOCAL = "HuggingFaceTB/SmolLM2-135M-Instruct"
HALF = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
FULL = "Qwen/QwQ-32B"
TABLE = shipped_models()
ALL = [model.id for model in TABLE.rows]
NAMED = Options()


def estimate(
    content: bytes, *, table: ModelTable = TABLE, compare: bool = False, options: Options = NAMED, **more: Any
) -> Estimate:
    estimator = Estimator(table, possible_route, **{"find_vocabulary": find_vocabulary, **more})
    return estimator.estimate([content], name="a.jsonl", size=len(content), options=options, compare=compare)


def ask(number: int, model: str = HALF, **more: Any) -> bytes:
    return request(f"r{number}", model=model, messages=[{"role": "user", "content": "How many words are these?"}], **more)  # type: ignore[return-value]


class TestTable:
    """Each of the launch models and the local one validates, estimates and routes as its row says."""

    @pytest.fixture(params=ALL)
    def model(self, request: pytest.FixtureRequest) -> Model:
        return TABLE.models[request.param]

    def test_it_validates(self, model: Model) -> None:
        content = jsonl(
            ask(1, model.id), ask(2, model.id, max_tokens=model.context), ask(3, model.id, max_tokens=(model.context or 0) + 1)
        )
        report = examine([content], name="a.jsonl", models=TABLE, options=NAMED, most=9)
        assert (report.total, [finding.line for finding in report.findings]) == (3, [3])
        assert report.groups[0].model == model.id
        assert report.without_fallback == ([model.id] if find_fits(model, shipped_instances()) == [] else [])

    def test_it_routes(self, model: Model) -> None:
        world = World(has_hosted=True)
        world.hosted.creates.extend(["rejected"] * 2)
        outcome = world.process(jsonl(ask(1, model.id)))
        tried = [job.backend for job in world.records.jobs(outcome.batch.batch_id)]
        assert tried == (model.route[:1] if model.id == LOCAL else model.route)
        assert outcome.codes == {}

    def test_it_estimates(self, model: Model) -> None:
        (group,) = estimate(jsonl(ask(1, model.id, max_tokens=100), ask(2, model.id, max_tokens=50))).groups
        assert (group.model, group.lines, group.tokens.output_most) == (model.id, 2, 150)
        assert group.tokens.method == (BOUND if model.tokenizer is None else COUNTED)
        assert [at.backend for at in group.backends] == list(dict.fromkeys(model.route))
        for at in group.backends:
            price = model.batch_price(at.backend)
            expected = None if price is None else price.cost(group.tokens.prompt_most, 150)
            assert (at.cost.most and Decimal(at.cost.most)) == expected
            terms = model.terms(at.backend)
            assert (at.batchable, at.ends) == (
                (terms.batchable, terms.ends and terms.ends.isoformat()) if terms else (None, None)
            )
            assert at.as_of

    def test_it_is_counted_by_the_vocabulary_of_its_row(self, model: Model) -> None:
        vocabulary = find_vocabulary(model)
        assert (vocabulary is None) == (model.tokenizer is None)
        if vocabulary is not None:
            assert vocabulary.count(["How many words are these?"]) in {6, 7}


class TestCost:
    def test_a_discount_is_half_of_real_time(self) -> None:
        found = estimate(jsonl(*(ask(number, max_tokens=10) for number in range(5))))
        (group,) = found.groups
        # 25 around a request, 5 around its message, 5 around the system message that the template puts in, and 6 of the text
        assert (group.tokens.prompt, group.tokens.error) == (5 * (25 + 5 + 5 + 6), 0)
        assert Decimal(group.backends[0].cost.most or 0) == Decimal("0.52") * (205 + 50) / 1_000_000
        assert Decimal(group.real_time.most or 0) == 2 * Decimal(group.backends[0].cost.most or 0)
        assert group.backends[0].batch_discount == "0.5"
        assert (found.cost, found.real_time) == (group.backends[0].cost, group.real_time)
        assert found.seconds is None

    def test_groups_are_summed_up_and_one_without_price_makes_the_sum_unknown(self) -> None:
        both = estimate(jsonl(ask(1, HALF, max_tokens=1), ask(2, FULL, max_tokens=1)))
        assert Decimal(both.cost.most or 0) == sum(Decimal(group.backends[0].cost.most or 0) for group in both.groups)
        assert estimate(jsonl(ask(1, HALF), ask(2, LOCAL))).cost == Range(None, None)

    def test_own_gpus_cost_their_start_and_their_time(self) -> None:
        row = f'[[models]]\nid = "{LOCAL}"\nbackends.sagemaker = {{ id = "m", speeds = {{ "ml.g6.xlarge" = 1000 }} }}\n'
        (group,) = estimate(jsonl(ask(1, LOCAL, max_tokens=5_000)), table=parse_models(row, TABLE), instance_count=2).groups
        seconds = START_SECONDS + -(-(group.tokens.prompt_most + 5_000) // 2_000)
        (at,) = group.backends
        assert 0 <= Decimal(at.cost.most or 0) - Decimal("1.127") * 2 * seconds / 3_600 < Decimal("0.000001")

    @pytest.mark.parametrize(("instance_type", "note"), [("ml.g6.xlarge", TOO_BIG), ("ml.g6e.12xlarge", NO_SPEED)])
    def test_why_own_gpus_cannot_be_told(self, instance_type: str, note: str) -> None:
        gpus = estimate(jsonl(ask(1)), instance_type=instance_type).groups[0].backends[1]
        assert (gpus.cost, gpus.note) == (Range(None, None), note)

    def test_without_a_vocabulary_prompts_are_bounded(self) -> None:
        def none(_: Model) -> Vocabulary | None:
            return None

        tokens = estimate(jsonl(ask(1)), find_vocabulary=none).groups[0].tokens
        assert tokens.method == BOUND
        assert tokens.prompt == tokens.prompt_most > estimate(jsonl(ask(1))).groups[0].tokens.prompt

    def test_a_big_file_is_sampled_and_close(self) -> None:
        lines = [ask(number, FULL, max_tokens=1, user="x" * (number % 700)) for number in range(9_000)]
        content = jsonl(*lines)
        assert len(content) > SAMPLE_BYTES
        tokens = estimate(content).groups[0].tokens
        assert tokens.method == SAMPLED
        truth = 9_000 * (5 + 5 + 6)
        assert abs(tokens.prompt - truth) <= tokens.error < 0.05 * truth
        assert tokens.prompt_most == tokens.prompt + tokens.error
        assert tokens.output_most == 9_000

    def test_pictures_count_as_bounds(self) -> None:
        picture = [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]
        (group,) = estimate(jsonl(request("a", model=HALF, messages=[{"role": "user", "content": picture}]))).groups
        assert group.tokens.prompt == TABLE.models[HALF].context


class TestFile:
    def test_what_would_be_rejected_is_told(self) -> None:
        found = estimate(jsonl(ask(1), b"nonsense", ask(1), ask(2, "nobody")))
        assert (found.total, found.invalid) == (4, 3)
        assert found.codes == {"invalid_json_line": 1, "model_not_found": 1, "duplicate_custom_id": 1}
        assert found.groups[0].lines == 1

    def test_a_file_that_would_be_refused(self) -> None:
        assert (estimate(b"").failure or NAMED) != NAMED
        found = estimate(jsonl(ask(1), b"x"), options=Options(on_invalid="reject"))
        assert found.failure
        assert found.failure.code == "invalid_lines"

    def test_other_models_are_compared_the_cheapest_first(self) -> None:
        found = estimate(jsonl(ask(1, HALF, max_tokens=100), ask(2, FULL, max_tokens=100)), compare=True)
        amounts = [Decimal(alternative.cost.most or 0) for alternative in found.alternatives]
        assert amounts == sorted(amounts)
        assert min(amounts) > 0
        names = [alternative.model for alternative in found.alternatives]
        assert set(names) == set(ALL) - {LOCAL}
        alone = estimate(jsonl(ask(1, HALF)), compare=True)
        assert HALF not in [alternative.model for alternative in alone.alternatives]
        assert estimate(jsonl(ask(1, HALF))).alternatives == []

    def test_other_models_need_the_endpoints_of_the_file(self) -> None:
        row = '[[models]]\nid = "Qwen/Qwen2.5-7B-Instruct-Turbo"\nendpoints = ["/v1/completions"]\n'
        found = estimate(jsonl(ask(1, HALF)), table=parse_models(row, TABLE), compare=True)
        assert "Qwen/Qwen2.5-7B-Instruct-Turbo" not in [alternative.model for alternative in found.alternatives]
