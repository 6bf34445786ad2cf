"""The input of a job: counted and written in one go, and never sent when it is not the job's."""

import hashlib
from typing import Any

import msgspec
import pytest
from boto3.dynamodb.conditions import Attr

from fakes.world import World, jsonl, request
from slacktide import job_input
from slacktide.backends.protocol import Limits
from slacktide.backends.spool import Spool
from slacktide.batch import Job
from slacktide.bodies import CHAT
from slacktide.job_input import Draft, Meter, Request
from slacktide.models import shipped_models
from slacktide.quotas import Cap, Pool
from slacktide.tokens import bound_of

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # the world's own model has no hosted backend
LINES = 6


def make_world(pool: Pool | None) -> World:
    world = World(has_hosted=True)
    world.pools.clear()
    world.pools |= {"together": pool} if pool else {}
    world.hosted.limits = Limits(object_lines=100, object_bytes=10**6)
    return world


def run(world: World) -> tuple[list[Any], int]:
    """What the backend was sent, and how often `submit` read an object."""
    world.process(jsonl(*(request(f"r{number}", model=MODEL) for number in range(LINES))))
    (sent,) = world.hosted.files.values()
    return sent, sum("submit" in call and "get_object" in call for call in world.wire.calls)


def test_lines_that_are_counted_are_read_from_the_bucket_no_more_often_than_others() -> None:
    sent, reads = run(make_world(None))
    counted, counted_reads = run(make_world(Pool(tokens=10**6)))
    assert len(counted) == len(sent) == LINES
    assert [line["body"] for line in counted] == [line["body"] for line in sent]
    assert 0 < counted_reads <= reads


@pytest.mark.parametrize(
    ("change", "holds"),
    [({}, True), ({"last": 2, "total": 2}, False), ({"total": 4}, False), ({"last": 4}, False)],
    ids=["the same", "cut meanwhile", "begun in its middle", "another end"],
)
def test_a_draft_holds_a_job_only_if_it_has_all_its_lines(change: dict[str, int], holds: bool) -> None:
    job = Job("batch_a", "r1-j1", 1, "together", "m", "m", "/v1/chat/completions", "g1", first=1, last=3, total=3, created_at=0)
    texts = [b'{"line": %d}\n' % line for line in (1, 2, 3)]
    with Spool.temporary() as content:
        draft = Draft(content)
        draft.add([Request(1, b"", texts[0]), Request(2, b"", texts[1])])
        draft.add([Request(3, b"", texts[2])])
        assert draft.holds(msgspec.structs.replace(job, **change)) is holds
        assert b"".join(content.rewind()) == b"".join(texts)
        draft.clear()
        assert not draft.holds(job)


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
@pytest.mark.parametrize("room", range(1, 9))
def test_a_cut_lies_where_it_would_if_each_line_were_counted_alone(
    monkeypatch: pytest.MonkeyPatch, at_once: int, room: int
) -> None:
    monkeypatch.setattr(job_input, "METERED_LINES", at_once)
    model = shipped_models().models[MODEL]
    bodies = [msgspec.json.encode(request(f"r{number}", model=MODEL, max_tokens=1)["body"]) for number in range(LINES)]
    bound = bound_of(bodies[0], CHAT, model)
    meter = Meter(CHAT, model, Cap(tokens=room * (bound.prompt + bound.output)))
    fitting = min(room, LINES)
    assert meter.take(bodies) == fitting
    assert (meter.prompt, meter.output) == (fitting * bound.prompt, fitting * bound.output)


def test_a_spool_knows_what_is_in_it_also_after_it_was_begun_anew() -> None:
    with Spool.temporary() as content:
        content.write(b"something else, and longer")
        content.clear()
        content.write(b"a\n")
        content.write(b"b\n")
        assert (content.size, content.sha256) == (4, hashlib.sha256(b"a\nb\n").hexdigest())
        assert [b"".join(content.rewind()) for _ in range(2)] == [b"a\nb\n"] * 2
        content.limit(-1)
        with pytest.raises(TimeoutError):
            content.rewind().read()


def test_what_another_invocation_cuts_meanwhile_is_sent_as_it_was_cut() -> None:
    pool = Pool(tokens=10**6)
    known = make_world(pool)
    run(known)
    recording = next(place for place, call in enumerate(known.wire.calls) if call.startswith("submit") and "update" in call)
    world = make_world(pool)
    world.wire.hang = recording, lambda: cut(world)
    outcome = world.process(jsonl(*(request(f"r{number}", model=MODEL) for number in range(LINES))))
    assert sorted(len(sent) for sent in world.hosted.files.values()) == [3, 3]
    assert set(world.hosted.billed.values()) == {1}
    assert len(outcome.output) == LINES


def cut(world: World) -> None:
    """Cut the one job in the middle, as an invocation does that has another limit."""
    (job,) = world.records.jobs(world.batches()[0].batch_id)
    rest = msgspec.structs.replace(job, job_id="r1-j2", first=4, total=3)
    world.records.cut_job(
        job, {"last": 3, "total": 3, "prompt_bound": 1, "asks": job.asks + 1}, [rest], when=Attr("asks").eq(job.asks)
    )
