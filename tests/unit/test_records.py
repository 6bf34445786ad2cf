"""The table of records against DynamoDB as moto plays it: every change of state is a conditional write."""

from typing import Any

import msgspec
import pytest
from boto3.dynamodb.conditions import Attr

from slacktide.batch import Batch, Failure, Job, ObjectRef, Options, StatusChange
from slacktide.codes import Code
from slacktide.errors import ConflictError, LeaseHeldError, NotFoundError, TransitionError
from slacktide.ids import FileKind
from slacktide.records import Guard, Records
from slacktide.statuses import EDGES, FINAL, BatchStatus, JobState, sources

NOW = 1_000_000
SOURCE = ObjectRef("bucket", "input/a.jsonl", "v1", 10)
ONE, TWO = ("batch_" + letter * 26 for letter in "ab")


def batch(batch_id: str = ONE, **more: Any) -> Batch:
    fields: dict[str, Any] = {
        "owner": "drop",
        "status": BatchStatus.VALIDATING,
        "input": SOURCE,
        "created_at": NOW,
        "deadline": NOW + 3_600,
        "history": [StatusChange(BatchStatus.VALIDATING, NOW)],
    }
    return Batch(batch_id=batch_id, **fields | more)


def job(job_id: str = "r1-j1", **more: Any) -> Job:
    fields: dict[str, Any] = {
        "round": 1,
        "backend": "sagemaker",
        "model": "m",
        "upstream_model": "u",
        "endpoint": "/v1/completions",
    }
    fields |= {"group": "g1", "first": 1, "last": 9, "total": 9, "created_at": NOW}
    return Job(batch_id=ONE, job_id=job_id, **fields | more)


def claim(records: Records, batch_id: str, invocation: str, now: int = NOW) -> Guard:
    return records.claim_input(SOURCE, batch_id, invocation=invocation, now=now, lease=900)


class TestGuards:
    def test_the_first_delivery_claims(self, records: Records) -> None:
        assert claim(records, ONE, "i1") == Guard(ONE, "claimed", NOW + 900, "i1") == records.find_guard(SOURCE)

    def test_another_version_is_another_input(self, records: Records) -> None:
        claim(records, ONE, "i1")
        other = msgspec.structs.replace(SOURCE, version_id="v2")
        assert records.claim_input(other, TWO, invocation="i2", now=NOW, lease=900).batch_id == TWO

    def test_a_live_lease_is_respected(self, records: Records) -> None:
        claim(records, ONE, "i1")
        with pytest.raises(LeaseHeldError) as raised:
            claim(records, TWO, "i2", NOW + 899)
        assert raised.value.until == NOW + 900

    def test_a_takeover_keeps_the_batch_id(self, records: Records) -> None:
        claim(records, ONE, "i1")
        assert claim(records, TWO, "i2", NOW + 900) == Guard(ONE, "claimed", NOW + 1_800, "i2")
        with pytest.raises(LeaseHeldError):
            claim(records, TWO, "i3", NOW + 901)

    def test_a_release_ends_only_the_own_lease(self, records: Records) -> None:
        claim(records, ONE, "i1")
        records.release_input(SOURCE, invocation="i2")
        with pytest.raises(LeaseHeldError):
            claim(records, TWO, "i2")
        records.release_input(SOURCE, invocation="i1")
        assert claim(records, TWO, "i2").batch_id == ONE

    def test_a_started_input_is_done_for_ever(self, records: Records) -> None:
        claim(records, ONE, "i1")
        records.start_input(SOURCE)
        for now in (NOW, NOW + 10**6):
            guard = claim(records, TWO, "i2", now)
            assert (guard.batch_id, guard.state) == (ONE, "started")


class TestBatches:
    def test_a_batch_is_read_back_whole(self, records: Records) -> None:
        options = Options(max_invalid_ratio=0.3, tag="ü")
        made = batch(options=options, failure=Failure(Code.EMPTY_FILE, "x"), give_up=Code.BATCH_EXPIRED)
        records.create_batch(made)
        assert records.get_batch(ONE) == made

    def test_the_first_record_stays(self, records: Records) -> None:
        records.create_batch(batch())
        assert records.create_batch(batch(created_at=NOW + 5)).created_at == NOW

    def test_what_is_not_there_is_not_found(self, records: Records) -> None:
        with pytest.raises(NotFoundError):
            records.get_batch(ONE)
        with pytest.raises(NotFoundError):
            records.get_job(ONE, "r1-j1")
        with pytest.raises(ConflictError):
            records.update_batch(ONE, total=1)

    @pytest.mark.parametrize("source", BatchStatus)
    def test_only_edges_are_taken(self, records: Records, source: BatchStatus) -> None:
        for target in filter(sources, BatchStatus):
            history = [StatusChange(source, NOW)]
            batch_id = f"{source}-{target}"
            records.create_batch(batch(batch_id, status=source, history=history))
            if target in EDGES[source]:
                changed = records.change_status(batch_id, target, NOW + 1)
                assert changed.history == [*history, StatusChange(target, NOW + 1)]
                assert changed.status is target
            elif source is target or source in FINAL:
                assert records.change_status(batch_id, target, NOW + 1).history == history
            else:
                with pytest.raises(TransitionError, match=f"{target} may not follow"):
                    records.change_status(batch_id, target, NOW + 1)
                assert records.get_batch(batch_id).history == history

    def test_a_repeated_change_is_written_once(self, records: Records) -> None:
        records.create_batch(batch())
        for _ in range(3):
            found = records.change_status(ONE, BatchStatus.QUEUED, NOW, total=5)
        assert [change.status for change in found.history] == ["validating", "queued"]
        assert found.total == 5

    def test_a_condition(self, records: Records) -> None:
        records.create_batch(batch())
        assert records.update_batch(ONE, when=Attr("round").eq(0), round=1).round == 1
        with pytest.raises(ConflictError):
            records.update_batch(ONE, when=Attr("round").eq(0), round=1)

    def test_an_announced_end_closes_the_batch(self, records: Records) -> None:
        records.create_batch(batch())
        ended = records.create_batch(batch(TWO, status=BatchStatus.COMPLETED, deadline=NOW))
        assert list(records.open_batches()) == [TWO, ONE], "the next deadline first"
        records.mark_announced(ended, 1)
        records.mark_announced(records.get_batch(ONE), 1)
        assert list(records.open_batches()) == [ONE]
        records.mark_announced(ended, 0)
        assert records.get_batch(TWO).announced == 1, "it never goes back"

    def test_a_batch_whose_results_expire_is_found_from_then_on(self, records: Records) -> None:
        """Once it has ended and all its events are sent; without the option never."""
        history = [StatusChange(BatchStatus.VALIDATING, NOW), StatusChange(BatchStatus.COMPLETED, NOW + 5)]
        ended: dict[str, Any] = {"status": BatchStatus.COMPLETED, "history": history}
        expiring = records.create_batch(batch(ONE, options=Options(output_expires_after=3_600), **ended))
        forever = records.create_batch(batch(TWO, **ended))
        records.mark_announced(expiring, 1)
        assert list(records.expired_batches(NOW + 9_999)) == [], "an event is still to be sent"
        for one in (expiring, forever):
            records.mark_announced(one, 2)
        assert list(records.open_batches()) == []
        assert list(records.expired_batches(NOW + 3_604)) == []
        assert list(records.expired_batches(NOW + 3_605)) == [ONE]
        records.note_expired(ONE)
        assert list(records.expired_batches(NOW + 9_999)) == []
        assert records.get_batch(ONE).deleted == [FileKind.OUTPUT, FileKind.ERRORS]

    def test_a_batch_of_an_input_that_has_not_ended(self, records: Records) -> None:
        assert records.open_batch_of_input(SOURCE.key) is None
        records.create_batch(batch(ONE))
        records.create_batch(batch(TWO, created_at=NOW + 1, status=BatchStatus.COMPLETED))
        assert records.open_batch_of_input(SOURCE.key) == ONE
        records.update_batch(ONE, status=BatchStatus.FAILED)
        assert records.open_batch_of_input(SOURCE.key) is None

    def test_batches_of_an_input_newest_first(self, records: Records) -> None:
        records.create_batch(batch(ONE))
        records.create_batch(batch(TWO, created_at=NOW + 1))
        other = msgspec.structs.replace(SOURCE, key="input/b.jsonl")
        records.create_batch(batch("batch_other", input=other))
        assert list(records.batches_of_input(SOURCE.key)) == [TWO, ONE]

    def test_batches_of_one_second_sort_by_their_ids(self, records: Records) -> None:
        made = [f"batch_{letter * 26}" for letter in "bca"]
        for batch_id in made:
            records.create_batch(batch(batch_id))
        assert list(records.batches_of_input(SOURCE.key)) == sorted(made, reverse=True)


class TestJobs:
    def test_jobs_sort_by_round_and_number(self, records: Records) -> None:
        for round_number, number in ((2, 1), (1, 10), (1, 2)):
            records.put_job(job(f"r{round_number}-j{number}", round=round_number))
        assert [found.job_id for found in records.jobs(ONE)] == ["r1-j2", "r1-j10", "r2-j1"]

    @pytest.mark.parametrize("state", [JobState.SETTLED, JobState.ABANDONED])
    def test_a_closed_job_never_changes(self, records: Records, state: JobState) -> None:
        closed = job(state=state)
        records.put_job(closed)
        with pytest.raises(ConflictError):
            records.update_job(closed, state=JobState.RUNNING)
        assert records.abandon_job(closed, NOW, NOW, "late") == closed

    def test_an_abandoned_job_is_looked_after_until_it_ended(self, records: Records) -> None:
        made = job(submission=1)
        records.put_job(made)
        abandoned = records.abandon_job(made, NOW, NOW + 9, "late")
        assert (abandoned.state, abandoned.reason) == (JobState.ABANDONED, "late")
        assert [found.job_id for found in records.abandoned_jobs()] == ["r1-j1"]
        records.leave_alone(abandoned, is_confirmed=True)
        assert list(records.abandoned_jobs()) == []
        assert records.get_job(ONE, "r1-j1").cancel_confirmed

    def test_a_job_that_was_never_submitted_needs_no_care(self, records: Records) -> None:
        records.put_job(job())
        records.abandon_job(job(), NOW, NOW, "late")
        assert list(records.abandoned_jobs()) == []

    def test_a_job_submitted_in_between_is_looked_after(self, records: Records) -> None:
        stale = job()
        records.put_job(stale)
        records.update_job(stale, state=JobState.SUBMITTING, submission=1)
        assert records.abandon_job(stale, NOW, NOW, "late").state is JobState.ABANDONED
        assert [found.job_id for found in records.abandoned_jobs()] == ["r1-j1"]


def test_queries_go_over_pages(records: Records, table: Any) -> None:
    for number in range(25):
        records.put_job(job(f"r1-j{number}"))

    class Small:
        """DynamoDB with pages of ten."""

        def query(self, **arguments: Any) -> Any:
            return table.query(Limit=10, **arguments)

    assert len(Records(Small()).jobs(ONE)) == 25
