"""Whatever the file, the blocks, the jobs and the results: each line ends in one place, in order, under its own id, unchanged."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.s3 import FakeS3
from fakes.world import Outcome, World, force_small_steps
from properties.strategies import FATES, Fate, Input, ShakyBackend, fate_of, inputs
from slacktide.backends.protocol import Limits
from slacktide.codes import Code
from slacktide.models import shipped_models

SCRIPTS = st.lists(st.sampled_from(FATES), max_size=12)
LIMITS = st.builds(
    Limits,
    object_lines=st.sampled_from([1, 2, 3, 100]),
    object_bytes=st.sampled_from([1, 300, 1_000_000]),
    job_requests=st.sampled_from([None, 1, 2, 3]),
)
CODES = {"success": None, "rejected": Code.BACKEND_REJECTED, "transient": Code.BACKEND_ERROR}


class ChoppedS3(FakeS3):
    """S3 whose input objects arrive in blocks that end at `places`."""

    places: list[int]

    def get_object(self, *, Key: str, **rest: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        answer = super().get_object(Key=Key, **rest)
        if Key.startswith("input/"):
            answer["Body"].iter_chunks = lambda _: self._chop(answer["Body"].read())
        return answer

    def _chop(self, data: bytes) -> Iterator[bytes]:
        ends = sorted(place % (len(data) + 1) for place in self.places)
        for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
            if end > start:
                yield data[start:end]


def build_world(source: Input, fates: list[Fate], order: list[int], limits: Limits) -> tuple[World, ShakyBackend]:
    world = World()
    world.s3.__class__ = ChoppedS3
    world.s3.places = source.places
    backend = ShakyBackend(world.wire, world.backend.bucket, fates=fates, order=order, limits=limits)
    world.backend = backend
    world.backends["sagemaker"] = backend
    return world, backend


def foretell(source: Input, fates: list[Fate]) -> dict[int, tuple[str | None, int]]:
    """For each line that is to run: None or the error code that it ends with, and the round that decides."""
    told: dict[int, tuple[str | None, int]] = {}
    for line, entry in source.good.items():
        code: str | None = Code.MISSING_RESULT
        for round_number in range(1, entry.rounds + 1):
            outcome = fate_of(fates, line, round_number).outcome
            code = CODES.get(outcome, code)  # what a backend once said tells more than its silence in a later round
            told[line] = (code, round_number)
            if outcome in {"success", "rejected"}:
                break
    return told


def parted(body: bytes) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The model of a body, and the bytes of all other fields, in their order."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    model = msgspec.json.decode(fields.pop("model"), type=str)
    return model, tuple((name, bytes(value)) for name, value in fields.items())


def as_sent(body: bytes) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The same of a body as it goes to the backend: under the backend's own name of the model."""
    name, fields = parted(body)
    model = shipped_models().find(name)
    assert model
    return f"upstream/{model.id}", fields


def hold(source: Input, outcome: Outcome, backend: ShakyBackend, told: dict[int, tuple[str | None, int]]) -> None:
    """Everything that is promised about one batch."""
    total = len(source.entries)
    output, errors = [line["line"] for line in outcome.output], [line["line"] for line in outcome.errors]
    assert output == sorted(output)
    assert errors == sorted(errors)
    assert sorted(output + errors) == list(range(1, total + 1)), "each line once, in one of both files"
    counts = outcome.manifest["counts"]
    assert (counts["total"], counts["completed"], counts["failed"]) == (total, len(output), len(errors))
    assert output == [line for line, (code, _) in told.items() if code is None]
    for line in (*outcome.output, *outcome.errors):
        assert line["custom_id"] == source.entries[line["line"] - 1].custom_id
    for line in outcome.output:
        first = backend.answers[line["line"], told[line["line"]][1]]
        assert line["response"]["body"] == first, "the first success in the round that decided, of this very request"
    codes = outcome.codes
    assert {line: code for line, code in codes.items() if line in told} == {
        line: code for line, (code, _) in told.items() if code
    }
    hold_faults(source, outcome)
    sent = Counter((line, *parted(body)) for line, _, body in backend.bodies)
    wanted = Counter({(line, *as_sent(source.good[line].body or b"")): number for line, (_, number) in told.items()})
    assert sent == wanted, "the user's own bytes, once in each round until it is decided; and nothing else"


def hold_faults(source: Input, outcome: Outcome) -> None:
    """A line that is not to run has a code of its own; one that repeats an id says so, if nothing else is wrong with it."""
    codes = {line["line"]: line["error"]["code"] for line in outcome.errors if line["line"] not in source.good}
    assert set(codes) == set(range(1, len(source.entries) + 1)) - set(source.good)
    repeated = {line for line in source.repeated if source.entries[line - 1].body is not None}
    assert {line for line, code in codes.items() if code == "duplicate_custom_id"} == repeated
    assert "batch_failed" not in codes.values()


@given(inputs(), SCRIPTS, st.lists(st.integers(0, 9), max_size=9), LIMITS, st.booleans())
@settings(max_examples=max(100, settings.default.max_examples // 2))
def test_every_line_is_accounted_for(source: Input, fates: list[Fate], order: list[int], limits: Limits, hurry: bool) -> None:
    world, backend = build_world(source, fates, order, limits)
    world.hurry = hurry
    with pytest.MonkeyPatch.context() as patch:
        if hurry:
            force_small_steps(patch)  # a handful of lines then takes many invocations of each step
        outcome = world.process(source.content)
    if source.good:
        hold(source, outcome, backend, foretell(source, fates))
        return
    assert outcome.batch.status == "failed"
    assert outcome.output == backend.bodies == []
    assert [line["line"] for line in outcome.errors] == list(range(1, len(source.entries) + 1))
    assert [line["custom_id"] for line in outcome.errors] == [entry.custom_id for entry in source.entries]


@given(inputs(), LIMITS)
@settings(max_examples=max(30, settings.default.max_examples // 5))
def test_nothing_of_a_rejected_file_is_sent(source: Input, limits: Limits) -> None:
    world, backend = build_world(source, [], [], limits)
    outcome = world.process(source.content, on_invalid="reject")
    bad = set(range(1, len(source.entries) + 1)) - set(source.good)
    if not bad:
        assert [line["line"] for line in outcome.output] == list(range(1, len(source.entries) + 1))
        return
    assert outcome.output == backend.bodies == []
    codes = outcome.codes
    assert {line for line, code in codes.items() if code == "batch_failed"} == set(source.good)
    assert set(codes) == bad | set(source.good)


@given(inputs(), SCRIPTS, LIMITS, st.lists(st.integers(0, 4_000), max_size=5))
@settings(max_examples=max(30, settings.default.max_examples // 5))
def test_blocks_jobs_and_steps_leave_no_trace_in_the_results(
    source: Input, fates: list[Fate], limits: Limits, places: list[int]
) -> None:
    """The same file under the same batch id, cut and split otherwise: the same bytes."""

    def run(source: Input, limits: Limits, hurry: bool) -> tuple[bytes, bytes]:
        world, _ = build_world(source, fates, [], limits)
        world.hurry = hurry
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("slacktide.intake.new_batch_id", lambda: "batch_" + "a" * 26)
            if hurry:
                force_small_steps(patch)
            return world.process(source.content).raw

    whole = run(Input(source.entries, source.content, []), Limits(object_lines=100, object_bytes=1_000_000), False)
    assert run(Input(source.entries, source.content, places), limits, True) == whole
    assert all(json.loads(line) for text in whole for line in text.splitlines())
