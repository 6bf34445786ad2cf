"""What an uploaded file would cost, by the stack's own table and backends."""

from typing import Any, cast

import pytest

from fakes.world import World, jsonl, request
from slacktide.api import estimates
from slacktide.api.errors import BadRequestError, NoSuchThingError
from slacktide.api.estimates import EstimateService
from slacktide.api.files import FileService
from slacktide.api.models import ModelService
from slacktide.api.together import name_priority
from slacktide.batch import DROP_OWNER, ObjectRef
from slacktide.files import File, FileState
from slacktide.ids import new_file_id
from slacktide.keys import MODELS_KEY

FILE = jsonl(request("a"), request("b"), b"nonsense")


@pytest.fixture
def service(world: World) -> EstimateService:
    return serve(world)


def serve(world: World) -> EstimateService:
    files = FileService(world.bucket, world.records, world.files, world.sources, cast("Any", None), world.clock)
    return EstimateService(world.records, files, ModelService(world.tables), world.sources, world.settings)


def upload(world: World, content: bytes, owner: str = "me") -> str:
    file_id = new_file_id()
    key = f"uploads/{file_id}/000001"
    version = world.s3.put_object(Key=key, Body=content)["VersionId"]
    source = ObjectRef(world.bucket.name, key, version, len(content))
    world.files.put(File(file_id, owner, "f.jsonl", "batch", world.clock(), FileState.READY, len(content), source))
    return file_id


def test_lines_tokens_and_what_would_be_refused(world: World, service: EstimateService) -> None:
    found = service.estimate("me", upload(world, FILE), compare=False)
    assert (found.total, found.invalid, found.codes) == (3, 1, {"invalid_json_line": 1})
    (group,) = found.groups
    assert (group.lines, [backend.backend for backend in group.backends]) == (2, ["sagemaker"])
    assert group.tokens.prompt_most > 0
    assert not found.alternatives


def test_the_other_models_are_those_that_run_here() -> None:
    world = World(has_hosted=True)
    found = serve(world).estimate("me", upload(world, FILE), compare=True)
    assert "meta-llama/Llama-3.3-70B-Instruct-Turbo" in {other.model for other in found.alternatives}


def test_how_long_it_may_take_is_what_batches_like_it_took(world: World) -> None:
    service = serve(world)
    assert service.estimate(DROP_OWNER, upload(world, FILE, DROP_OWNER), compare=False).seconds is None
    for _ in range(3):
        assert world.deliver(world.drop(FILE))
        world.run()
    times = sorted((batch.ended_at or 0) - batch.begins_at for batch in world.batches())
    assert times[1] > 0
    assert service.estimate(DROP_OWNER, upload(world, FILE, DROP_OWNER), compare=False).seconds == times[1]
    assert service.estimate("me", upload(world, FILE), compare=False).seconds is None, "by one's own batches alone"


def test_the_table_of_the_stack_counts(world: World, service: EstimateService) -> None:
    world.s3.put_object(Key=MODELS_KEY, Body=b'[[models]]\nid = "HuggingFaceTB/SmolLM2-135M-Instruct"\nenabled = false\n')
    found = service.estimate("me", upload(world, FILE), compare=False)
    assert found.codes == {"model_not_found": 2, "invalid_json_line": 1}


def test_files_of_others_and_files_that_are_too_large(
    world: World, service: EstimateService, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = upload(world, FILE)
    with pytest.raises(NoSuchThingError):
        service.estimate("you", file_id, compare=False)
    monkeypatch.setattr(estimates, "LARGEST", len(FILE) - 1)
    with pytest.raises(BadRequestError, match="slacktide estimate FILE"):
        service.estimate("me", file_id, compare=False)


@pytest.mark.parametrize(("number", "name"), [(None, None), (-5, "low"), (0, "normal"), (3, "high")])
def test_numbers_of_priority_have_names(number: int | None, name: str | None) -> None:
    assert name_priority(number) == name
