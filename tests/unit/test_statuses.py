"""The statuses of a batch and their edges (docs/architecture.md)."""

import itertools

import pytest

from slacktide.statuses import EDGES, FINAL, BatchStatus, JobState, sources

WAY = ["validating", "queued", "in_progress", "finalizing", "completed"]


def test_every_status_has_its_edges() -> None:
    assert set(EDGES) == set(BatchStatus)


def test_the_way_of_a_batch_is_allowed() -> None:
    for here, there in itertools.pairwise(WAY):
        assert BatchStatus(there) in EDGES[BatchStatus(here)]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_final_status_leads_nowhere(status: BatchStatus) -> None:
    assert status.is_final
    assert not EDGES[status]
    assert sources(status) == {BatchStatus.FINALIZING}


@pytest.mark.parametrize("status", [status for status in BatchStatus if not status.is_final])
def test_every_status_leads_to_an_end(status: BatchStatus) -> None:
    reached, seen = {status}, set[BatchStatus]()
    while reached - seen:
        here = (reached - seen).pop()
        seen.add(here)
        reached |= EDGES[here]
    assert reached >= FINAL


def test_any_status_that_is_not_final_can_be_cancelled() -> None:
    assert sources(BatchStatus.CANCELLING) == set(BatchStatus) - FINAL - {BatchStatus.CANCELLING}


def test_only_settled_and_abandoned_jobs_are_closed() -> None:
    assert {state for state in JobState if state.is_closed} == {JobState.SETTLED, JobState.ABANDONED}
