"""The fakes behave like what they stand for: moto's AWS, and the machines' own definitions."""

import json
import socket
from typing import Any

import pytest

from fakes.machines import FakeStates, load_definition
from fakes.points import choose_points, find_points, try_points
from fakes.table import FakeTable
from fakes.wire import Killed, Wire
from fakes.world import World, force_ids, force_small_steps, jsonl, request
from slacktide.ids import job_execution_name
from slacktide.records import Records

FILE = jsonl(request("a", "ü 💥"), request("b"), b"nonsense", request("a"), request("c", model="x"))
LONGER = FILE + jsonl(request("d"), request("e"))  # two objects of results, so one of them can be too late


def run(aws: Any, monkeypatch: pytest.MonkeyPatch, *, hurry: bool) -> dict[str, bytes]:
    """Everything that a batch leaves in the bucket."""
    with monkeypatch.context() as patch:
        force_ids(patch)
        if hurry:
            force_small_steps(patch)
            patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
        world = World(hurry=hurry, aws=aws)
        assert world.deliver(world.drop(FILE))
        batch_id = next(iter(world.records.open_batches()))
        world.run()
        assert world.records.get_batch(batch_id).status == "completed"
        found = {key: world.bucket.read(key) for key, _ in world.bucket.list("")}
        return {key: text for key, text in found.items() if not key.endswith((".json", ".tail"))}


@pytest.mark.parametrize("hurry", [False, True])
def test_a_batch_over_moto_leaves_what_one_over_the_fakes_leaves(
    hurry: bool, s3: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_fakes = run(None, monkeypatch, hurry=hurry)
    over_moto = run(lambda _: (s3, table), monkeypatch, hurry=hurry)
    assert over_moto == over_fakes
    assert any(key.endswith("output.jsonl") for key in over_moto)


def test_no_socket_connects() -> None:
    with pytest.raises(AssertionError, match="connects to"), socket.socket() as connection:
        connection.connect(("127.0.0.1", 9))


def test_a_query_of_the_fake_has_pages(world: World) -> None:
    world.table.page = 1
    for path in "abc":
        assert world.deliver(world.drop(FILE, f"{path}.jsonl"))
    assert len(list(Records(world.table).open_batches())) == 3


def test_the_fake_table_refuses_what_boto3_refuses() -> None:
    with pytest.raises(AssertionError, match="float"):
        FakeTable(Wire()).put_item(Item={"pk": "a", "sk": "b", "x": 0.5})


class TestMachines:
    @pytest.mark.parametrize("machine", ["batch", "job"])
    def test_every_state_is_walked_in_some_run(self, machine: str, walked: set[str]) -> None:
        states = load_definition(machine)["States"]
        inner = states.get("Start jobs", {}).get("ItemProcessor", {}).get("States", {})
        assert {*states, *inner} - walked == set()

    def test_a_task_is_tried_as_often_as_its_retry_says(self, world: World) -> None:
        calls = 0

        def break_down(_: dict[str, Any]) -> dict[str, Any]:
            nonlocal calls
            calls += 1
            raise Killed

        world.states.functions["plan"] = break_down
        assert world.deliver(world.drop(FILE))
        world.run()
        assert calls == 36, "once, and 35 retries; then Give up"
        assert world.outcome().batch.status == "failed"

    def test_an_expression_that_is_not_known_is_an_error(self, world: World) -> None:
        states = FakeStates(world.wire, world.clock, {})
        states.definitions["job"]["States"]["Begin"]["Assign"] = {"cursor": "{% $uppercase('x') %}"}
        states.start_execution(stateMachineArn="a:job", name="n", input="{}")
        with pytest.raises(AssertionError, match="does not know"):
            states.step()


@pytest.fixture(scope="module")
def walked() -> set[str]:
    """The states that are passed in a few different runs."""
    hosted = World(has_hosted=True)
    hosted.hosted.creates.append("lost")
    assert hosted.deliver(hosted.drop(jsonl(request("a", model="meta-llama/Llama-3.3-70B-Instruct-Turbo")), not_before="1h"))
    plain, displaced, stuck, broken, refused, attached, _ = worlds = [*(World() for _ in range(6)), hosted]
    displaced.backend.script.extend(["full", "displaced", "rejected"])
    stuck.states.functions["plan"] = stuck.states.functions["assemble"] = _break
    broken.states.functions["poll"] = _break
    plain.hurry = True
    for world in worlds[:-1]:
        assert world.deliver(world.drop(b"x" if world is refused else FILE if world is not plain else LONGER))
    (starting,) = attached.states.running("batch")
    while starting.history[-1:] != ["Start jobs"]:
        attached.states.step()
    (job,) = attached.records.jobs(starting.input["batch_id"])  # is started by somebody else in between
    start = {"v": 1, "batch_id": job.batch_id, "job_id": job.job_id, "attempt": 1}
    name = job_execution_name(job.batch_id, job.job_id, 1)
    attached.states.start_execution(stateMachineArn="a:job", name=name, input=json.dumps(start))
    with pytest.MonkeyPatch.context() as patch:
        force_small_steps(patch)
        for world in worlds:
            for _ in range(300):
                world.states.step()
    return {name for world in worlds for execution in world.states.executions.values() for name in execution.history}


def _break(_: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("broken")


def test_a_point_that_is_not_survived_is_named() -> None:
    calls = ["submit:A.get", "submit:A.put", "poll:A.get"]
    points = find_points(calls, lambda call: call.startswith("submit"))
    assert points == [(0, "before"), (0, "after"), (1, "before"), (1, "after")]
    always = [(1, "after")]
    assert set(always) < set(choose_points(points, 3, always))
    try_points(calls, points, lambda _: Wire(killed="it"))
    with pytest.raises(
        AssertionError, match=r"1 of 4 points:\nkilled after submit:A\.put \(1\): AssertionError nothing was killed"
    ):
        try_points(calls, points, lambda point: Wire(killed=None if point == (1, "after") else "it"))
    with pytest.raises(AssertionError, match="4 of 4 points"):
        try_points(calls, points, lambda _: 1 / 0)  # pyright: ignore[reportArgumentType] - it never answers
