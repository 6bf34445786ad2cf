"""What owners may use: batches at once, tokens of a day, dollars of a month; by parameters, and by the table."""

import dataclasses
from decimal import Decimal
from typing import Any

from fakes.priced import COST, DAY, MODEL, PRICED, codes, drop, expensive, hosted, jobs, latest, lines, run_until
from fakes.watch import Watch
from fakes.world import World
from slacktide.batch import Batch, ObjectRef, Options, StatusChange
from slacktide.ids import new_batch_id
from slacktide.limits import LimitRecords, OwnerLimits
from slacktide.models import parse_models, shipped_models
from slacktide.quotas import Granted
from slacktide.records import batch_item
from slacktide.statuses import BatchStatus


class TestOwners:
    def test_further_batches_wait_in_their_order(self) -> None:
        world = hosted(limits=OwnerLimits(concurrent_batches=2))
        watch = Watch(world, {"batches": 2})
        world.hosted.turns = 10
        for name in "abcd":
            drop(world, lines(1), f"{name}.jsonl", priority="high" if name == "d" else "normal")
        run_until(world, lambda: latest(world, "c.jsonl")["waiting"] is not None)
        told = latest(world, "c.jsonl")
        assert told["status"] == "queued"
        assert told["waiting"] == {
            "reason": "It waits for the end of other batches of its owner.",
            "jobs": 0,
            "since": told["waiting"]["since"],
            "place": told["waiting"]["place"],
        }
        world.run()
        begun = sorted((batch.reached(BatchStatus.IN_PROGRESS) or 0, batch.input.key) for batch in world.batches())
        assert [key for _, key in begun] == ["input/a.jsonl", "input/b.jsonl", "input/d.jsonl", "input/c.jsonl"]
        assert {batch.status for batch in world.batches()} == {"completed"}
        assert watch.most == {"owner#drop batches": 2}
        world.sweep()
        assert watch.nothing_is_reserved

    def test_a_batch_that_waits_ends_in_time(self) -> None:
        world = hosted(limits=OwnerLimits(concurrent_batches=1))
        world.hosted.turns, world.hosted.cancels_needed = 10**6, 1
        drop(world, lines(1), "a.jsonl", completion_window="2d")
        drop(world, lines(1), "b.jsonl", completion_window="1h")
        world.run()
        other = next(batch for batch in world.batches() if batch.input.key == "input/b.jsonl")
        assert other.status == "expired"
        assert (other.reached(BatchStatus.EXPIRED) or 0) <= other.deadline

    def test_a_batch_that_waits_can_be_cancelled(self) -> None:
        world = hosted(limits=OwnerLimits(concurrent_batches=1))
        world.hosted.turns = 100
        drop(world, lines(1), "a.jsonl")
        drop(world, lines(1), "b.jsonl")
        run_until(world, lambda: latest(world, "b.jsonl")["waiting"] is not None)
        other = next(batch for batch in world.batches() if batch.input.key == "input/b.jsonl")
        world.canceller.cancel(other.batch_id)
        run_until(world, lambda: world.records.get_batch(other.batch_id).status.is_final)
        assert world.records.get_batch(other.batch_id).status == "cancelled"
        world.run()

    def test_tokens_of_a_day_wait_for_the_next(self) -> None:
        world = hosted(limits=OwnerLimits(tokens_per_day=500))
        watch = Watch(world, {"day": 500})
        world.hosted.answer = expensive
        drop(world, lines(1, max_tokens=100), "a.jsonl", completion_window="2d")
        drop(world, lines(1, max_tokens=100), "b.jsonl", completion_window="2d")
        world.run()
        assert codes(world) == []
        assert [*watch.most.values()] == [479, 479], "of two days"
        submitted = sorted(job.submitted_at or 0 for job in jobs(world))
        assert submitted[1] // DAY == submitted[0] // DAY + 1


class TestOwnersOfKeys:
    """Batches of an API key's owner, by the limits in the table."""

    def test_a_budget_that_is_used_up_ends_further_lines_of_its_owner_alone(self) -> None:
        world = keyed(usd_per_month=Decimal("0.0691"))  # 5 * 0.0137 and the rest of one bound
        watch = Watch(world, {"month": 69_100})
        world.hosted.answer = expensive
        create(world, lines(8, max_tokens=100), "research", route=["together"])
        create(world, lines(8, max_tokens=100), "other", route=["together"])
        world.run()
        spared, other = sorted(world.batches(), key=lambda batch: batch.owner, reverse=True)
        assert (spared.status, other.status) == ("completed", "completed")
        assert codes(world) == ["budget_exceeded"] * 3
        assert len(world.bucket.read(other.results.output).splitlines()) == 8
        assert {key: int(account["used"]) for key, account in watch.accounts().items()} == {
            f"owner#research month#{world.clock.utc():%Y-%m}": 5 * COST
        }
        assert watch.nothing_is_reserved

    def test_what_is_certain_to_cost_too_much_is_refused_at_once(self) -> None:
        world = keyed(usd_per_month=Decimal("0.0001"))
        create(world, lines(2, max_tokens=100), "research", route=["together"])
        world.run()
        (batch,) = world.batches()
        assert (batch.status, batch.failure and batch.failure.code) == ("failed", "budget_exceeded")
        assert codes(world) == ["batch_failed"] * 2
        assert not world.hosted.calls

    def test_further_batches_wait(self) -> None:
        world = keyed(concurrent_batches=1)
        watch = Watch(world, {"batches": 1})
        world.hosted.turns = 10
        first, second, other = (create(world, lines(1), owner) for owner in ("research", "research", "other"))
        run_until(world, lambda: world.hosted.creations == 2)
        assert [world.records.get_batch(batch_id).status for batch_id in (first, second, other)] == [
            "in_progress", "queued", "in_progress",
        ]  # fmt: skip
        world.run()
        assert {batch.status for batch in world.batches()} == {"completed"}
        assert watch.most == {"owner#research batches": 1}
        world.sweep()
        assert watch.nothing_is_reserved

    def test_tokens_of_a_day_wait_for_the_next(self) -> None:
        world = keyed(tokens_per_day=500)
        world.hosted.answer = expensive
        for _ in range(2):
            create(world, lines(1, max_tokens=100), "research", window=2 * DAY)
        world.run()
        first, second = sorted(job.submitted_at or 0 for job in jobs(world))
        assert second // DAY == first // DAY + 1
        assert codes(world) == []

    def test_a_limit_that_is_removed_lets_go_who_waits(self) -> None:
        world = keyed(concurrent_batches=1)
        watch = Watch(world, {"batches": 1})
        world.hosted.turns = 200
        create(world, lines(1), "research")
        second = create(world, lines(1), "research")
        run_until(world, lambda: world.hosted.creations == 1)
        world.run_until(world.clock() + 3_600)
        assert world.records.get_batch(second).status == "queued"
        LimitRecords(world.table).put("research", {"concurrent_batches": None})
        run_until(world, lambda: world.hosted.creations == 2)
        world.run()
        world.sweep()
        assert watch.nothing_is_reserved

    def test_a_budget_that_is_set_while_it_is_asked_for_counts_from_the_next_time_on(self) -> None:
        """A job without a price is never charged nothing: budget and charges are of one look."""
        unpriced = parse_models(PRICED.replace("batch = { input = 10, output = 100 }, ", ""), shipped_models())
        world = World(has_hosted=True, models=unpriced, limits=None)
        create(world, lines(1), "research")
        world.planner.plan(world.batches()[0].batch_id)
        (batch,), (job,) = world.batches(), jobs(world)
        looks = [OwnerLimits(), OwnerLimits(usd_per_month=Decimal(5))]
        quotas = dataclasses.replace(world.quotas, limits_of=lambda _: looks.pop(0) if len(looks) > 1 else looks[0])
        assert isinstance(quotas.ask(batch, job, world.clock()), Granted)
        assert Watch(world, {}).accounts().keys() == {f"pool#together tokens#{MODEL}"}


def keyed(**limits: Any) -> World:
    """A world whose owner `research` has limits in the table."""
    world = hosted()
    world.limits = None
    LimitRecords(world.table).put("research", limits)
    return world


def create(world: World, content: bytes, owner: str, *, window: int = DAY, **options: Any) -> str:
    """A batch of an uploaded file, as the HTTP API records one, validated; answers its id."""
    batch_id, now = new_batch_id(), world.clock()
    key = f"uploads/{batch_id}/000001"
    put = world.s3.put_object(Bucket=world.bucket.name, Key=key, Body=content)
    batch = Batch(
        batch_id=batch_id,
        owner=owner,
        status=BatchStatus.VALIDATING,
        input=ObjectRef(world.bucket.name, key, put["VersionId"], len(content)),
        created_at=now,
        deadline=now + window,
        history=[StatusChange(BatchStatus.VALIDATING, now)],
        options=Options(**options),
    )
    world.table.put_item(Item=batch_item(batch))
    world.intake.accept_created(batch_id, invocation=batch_id)
    return batch_id
