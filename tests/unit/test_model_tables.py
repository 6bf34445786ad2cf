"""A batch sees one model table from its start to its end, and a table that is wrong is told of, not followed."""

import pytest

from fakes.wire import Killed
from fakes.world import BUCKET, World, jsonl, request
from slacktide.keys import MODELS_KEY
from slacktide.models import MOST_TABLE_BYTES
from slacktide.statuses import BatchStatus

OWN = """[[models]]
id = "own"
family = "f"
endpoints = ["/v1/chat/completions"]
route = ["sagemaker"]
backends.sagemaker = { id = "up" }
"""
OFF = '[[models]]\nid = "HuggingFaceTB/SmolLM2-135M-Instruct"\nenabled = false\n'
FILE = jsonl(request("a"), request("b", model="own"))


def put_models(world: World, text: str) -> str:
    """Write config/models.toml; answers its version id."""
    return world.s3.put_object(Bucket=BUCKET, Key=MODELS_KEY, Body=text.encode())["VersionId"]


def test_without_a_file_of_ones_own_the_shipped_table_counts(world: World) -> None:
    outcome = world.process(FILE)
    assert outcome.batch.models_version is None
    assert outcome.codes == {2: "model_not_found"}


def test_a_row_of_ones_own_is_run(world: World) -> None:
    version = put_models(world, OWN)
    outcome = world.process(FILE)
    assert outcome.batch.models_version == version
    assert [line["line"] for line in outcome.output] == [1, 2]
    assert {job.model for job in world.records.jobs(outcome.batch.batch_id)} == {"own", "HuggingFaceTB/SmolLM2-135M-Instruct"}


def test_a_model_that_is_switched_off_is_refused_in_words(world: World) -> None:
    put_models(world, OWN + OFF)
    outcome = world.process(FILE)
    assert outcome.codes == {1: "model_not_found"}
    assert "switched off" in outcome.errors[0]["error"]["message"]


@pytest.mark.parametrize("later", [OWN.replace("own", "other"), "nonsense", None], ids=["other rows", "broken", "deleted"])
def test_a_batch_keeps_the_table_that_it_began_with(world: World, later: str | None) -> None:
    version = put_models(world, OWN)
    assert world.deliver(world.drop(FILE))
    if later is None:
        world.s3.delete_object(Bucket=BUCKET, Key=MODELS_KEY)
    else:
        put_models(world, later)
    world.run()
    outcome = world.outcome()
    assert outcome.batch.models_version == version
    assert [line["line"] for line in outcome.output] == [1, 2]


def test_a_batch_without_a_version_keeps_the_shipped_table(world: World) -> None:
    assert world.deliver(world.drop(jsonl(request("a"))))
    put_models(world, "nonsense")
    world.run()
    assert world.outcome().batch.status is BatchStatus.COMPLETED


def test_a_delivery_that_comes_again_keeps_the_version(world: World) -> None:
    version = put_models(world, OWN)
    event = world.drop(FILE)
    rehearsal = World()
    put_models(rehearsal, OWN)
    rehearsal.deliver(rehearsal.drop(FILE))
    world.wire.kill = rehearsal.wire.calls.index("validate:FakeEvents.put_events"), "before"
    with pytest.raises(Killed), world.wire.invocation("validate"):
        world.deliveries.handle(world.record(event), invocation="dead")
    world.wire.kill = None
    put_models(world, OFF)
    assert world.deliver(event)
    world.run()
    assert world.outcome().batch.models_version == version
    assert len(world.outcome().output) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OWN.replace("family", "famly"), "row 1 (own): "),
        ("nonsense", "not well-formed"),
        ("#" * (MOST_TABLE_BYTES + 1), "bytes"),
    ],
)
def test_a_wrong_table_fails_the_batch_in_words_and_runs_nothing(world: World, text: str, told: str) -> None:
    version = put_models(world, text)
    outcome = world.process(FILE)
    assert outcome.batch.status is BatchStatus.FAILED
    assert outcome.manifest["error"]["code"] == "invalid_model_table"
    message = outcome.manifest["error"]["message"]
    assert f"config/models.toml (version {version})" in message
    assert told in message
    assert world.backend.seen == []


def test_a_table_that_is_mended_counts_for_the_next_batch(world: World) -> None:
    put_models(world, "nonsense")
    world.process(FILE)
    put_models(world, OWN)
    assert world.deliver(world.drop(FILE, "b.jsonl"))
    world.run()
    statuses = {batch.input.key: batch.status for batch in world.batches()}
    assert statuses == {"input/a.jsonl": BatchStatus.FAILED, "input/b.jsonl": BatchStatus.COMPLETED}
