"""Jobs that may need more than their pool holds are cut while their input is written."""

import pytest

from fakes.priced import BOUND, LINE, MODEL, drop, hosted, jobs, lines
from fakes.watch import Watch
from fakes.world import jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.quotas import Pool


class TestSizes:
    def test_a_job_is_cut_where_its_tokens_are_more_than_the_pool(self) -> None:
        world = hosted(Pool(tokens=4 * LINE))
        Watch(world, {"tokens": 4 * LINE})
        outcome = world.process(lines(23))
        assert outcome.batch.status == "completed"
        assert len(outcome.output) == 23
        assert set(world.hosted.billed.values()) == {1}
        made = jobs(world)
        assert sum(job.total for job in made) == 23
        assert max(job.prompt_bound or 0 for job in made) <= 4 * LINE
        assert {job.total for job in made} <= {3, 4}, "even"
        assert {job.round for job in made} == {1}, "no step of the route is used up"

    @pytest.mark.parametrize("late", [False, True])
    def test_a_cut_goes_on_where_writing_stopped(self, late: bool) -> None:
        world = hosted(Pool(tokens=4 * LINE))
        world.hurry = late
        world.hosted.limits = Limits(object_lines=2, object_bytes=10**6)
        outcome = world.process(lines(11))
        assert [job.total for job in jobs(world)] == [4, 3, 4]
        assert [job.prompt_bound for job in jobs(world)] == [4 * BOUND, 3 * BOUND, 4 * BOUND]
        assert len(outcome.output) == 11

    def test_nothing_is_cut_where_an_earlier_try_has_written_on(self) -> None:
        world = hosted(Pool(tokens=3 * LINE))
        drop(world, lines(6), "a.jsonl")
        world.planner.plan(world.batches()[0].batch_id)
        (job,) = jobs(world)
        world.bucket.write(job.keys.input_object(1, 6), b"{}\n")
        world.run()
        assert [(job.job_id, job.total, job.backend) for job in jobs(world)] == [
            ("r1-j1", 6, "together"),
            ("r2-j1", 3, "together"),
            ("r2-j2", 3, "together"),
        ]
        assert set(world.hosted.billed.values()) == {1}

    def test_a_line_that_is_bigger_than_the_pool_goes_to_the_next_backend(self) -> None:
        world = hosted(Pool(tokens=LINE))
        outcome = world.process(jsonl(request("big", "x" * 2_000, model=MODEL), request("small", model=MODEL)))
        assert outcome.batch.status == "completed"
        assert [(job.job_id, job.backend, job.completed) for job in jobs(world)] == [
            ("r1-j1", "together", 0),
            ("r1-j2", "together", 1),
            ("r2-j1", "together", 0),
            ("r3-j1", "sagemaker", 1),
        ]
        assert "more than the 370 that its model may have at together" in (jobs(world)[0].reason or "")

    def test_a_cursor_of_a_former_version_begins_anew(self) -> None:
        for cursor in ("3", "written"):
            world = hosted(Pool(tokens=20 * LINE))
            world.hosted.limits = Limits(object_lines=2, object_bytes=10**6)
            drop(world, lines(6), "a.jsonl")
            batch_id = world.batches()[0].batch_id
            world.planner.plan(batch_id)
            answer = world.jobs.submit(batch_id, "r1-j1", clock=world.invocation_clock, cursor=cursor, wait_seconds=0)
            assert answer.cursor == "written"
            assert jobs(world)[0].prompt_bound == 6 * BOUND
