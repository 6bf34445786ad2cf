"""Which backend answered a line, when models of one round run at different ones."""

from fakes.backend import fail
from fakes.world import World, jsonl, request
from slacktide.origins import Origin, Origins

HOSTED = "meta-llama/Llama-3.3-70B-Instruct-Turbo"


def test_each_line_has_the_backend_of_its_model_and_round() -> None:
    world = World(has_hosted=True)
    world.hosted.answer = fail(503)
    outcome = world.process(jsonl(request("a", model=HOSTED), request("b"), request("c", model=HOSTED)))
    jobs = world.records.jobs(outcome.batch.batch_id)
    origins = Origins(world.bucket, outcome.batch, jobs)
    found = {line["line"]: origins.find(line["line"], int(line["id"].split(".")[1])) for line in outcome.output}
    assert found == {1: Origin("sagemaker", 3), 2: Origin("sagemaker", 1), 3: Origin("sagemaker", 3)}
    assert [origins.find(line, 1) for line in (1, 2, 3)] == [Origin("together", 1), Origin("sagemaker", 1), Origin("together", 1)]
    assert origins.find(9, 1) is None
    assert origins.find(1, 7) is None
    calls = len(world.wire.calls)
    assert origins.find(1, 2) == Origin("together", 2)
    assert len(world.wire.calls) == calls, "one backend in that round: nothing to read"
