"""What a batch tells the outside while it runs: events on the bus, and `latest.json` beside its results."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from slacktide import keys
from slacktide.batch import Batch, Job, StatusChange, Waiting
from slacktide.bucket import Bucket
from slacktide.errors import ConflictError, NotFoundError, SlacktideError
from slacktide.log import count, logger
from slacktide.records import Records
from slacktide.statuses import BatchStatus, JobNotice, JobState
from slacktide.waits import Wait, find_wait

SOURCE = "slacktide"
DETAIL_TYPES = {status: "Batch " + status.replace("_", " ").title() for status in BatchStatus}
JOB_DETAIL_TYPES = {notice: f"Job {notice.title()}" for notice in JobNotice}


class NotAnnouncedError(SlacktideError):
    """The event bus did not take an event; it is sent again by the next try, or by sweep."""


def rfc3339(seconds: int) -> str:
    """A time as the results show it, for example 2026-01-31T08:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counts_of(batch: Batch) -> dict[str, int]:
    """Counts of lines; `failed` includes the invalid ones."""
    return {"total": batch.total, "completed": batch.completed, "failed": batch.failed}


def input_of(batch: Batch) -> dict[str, object]:
    return {"bucket": batch.input.bucket, "key": batch.input.key, "version_id": batch.input.version_id}


def error_of(batch: Batch) -> dict[str, str] | None:
    return {"code": str(batch.failure.code), "message": batch.failure.message} if batch.failure else None


def build_event(batch: Batch, sequence: int) -> dict[str, Any]:
    """The detail of the event for the `sequence`-th change of a batch's status (docs/architecture.md, Events)."""
    change: StatusChange = batch.history[sequence - 1]
    results = batch.results
    data: dict[str, Any] = {
        "batch_id": batch.batch_id,
        "sequence": sequence,
        "status": change.status,
        "input": input_of(batch),
        "counts": counts_of(batch),
        "output": None,
    }
    if change.status.is_final:
        data["output"] = {"key": results.output, "errors_key": results.errors, "manifest_key": results.manifest}
        data["receipt"] = {"key": results.receipt}
        if batch.failure:
            data["error"] = error_of(batch)
    if batch.options.tag is not None:
        data["tag"] = batch.options.tag
    metadata = {"event_id": f"{batch.batch_id}.{sequence}", "time": rfc3339(change.time)}
    return {"version": "1", "metadata": metadata, "data": data}


def build_job_event(batch: Batch, job: Job, number: int) -> dict[str, Any]:
    """The detail of the event for the `number`-th notice of a job (docs/architecture.md, Events)."""
    notice = job.notices[number - 1]
    data: dict[str, Any] = {
        "batch_id": batch.batch_id,
        "job_id": job.job_id,
        "notice": notice.kind,
        "backend": job.backend,
        "model": job.model,
        "input": input_of(batch),
        "counts": {"total": job.total, "completed": job.progress},
    }
    if batch.options.tag is not None:
        data["tag"] = batch.options.tag
    metadata = {"event_id": f"{batch.batch_id}.{job.job_id}.{number}", "time": rfc3339(notice.time)}
    return {"version": "1", "metadata": metadata, "data": data}


class _Known(msgspec.Struct):
    """What of a `latest.json` decides whether it may be overwritten."""

    batch_id: str
    created_at: str
    updated_at: str
    status: BatchStatus


@dataclass(frozen=True, slots=True)
class Announcer:
    """Tells of a batch; `events` is boto3's EventBridge client, `bus` the name of the event bus."""

    events: Any
    bus: str
    bucket: Bucket
    records: Records
    now: Callable[[], int]

    def announce(self, batch: Batch) -> None:
        """Send the events of a batch that have not been sent, in order. Raises NotAnnouncedError; sweep sends them again."""
        for sequence in range(batch.announced + 1, batch.sequence + 1):
            if not self._send(DETAIL_TYPES[batch.history[sequence - 1].status], build_event(batch, sequence)):
                raise NotAnnouncedError(f"event {sequence} of {batch.batch_id} was not taken by the bus")
            self.records.mark_announced(batch, sequence)

    def announce_job(self, batch: Batch, job: Job) -> None:
        """Send the notices of a job that have not been sent, in order; what the bus does not take is sent by a later call."""
        for number in range(job.announced + 1, len(job.notices) + 1):
            kind = job.notices[number - 1].kind
            if not self._send(JOB_DETAIL_TYPES[kind], build_job_event(batch, job, number)):
                return
            logger.warning("job notice", batch_id=batch.batch_id, job_id=job.job_id, notice=kind)
            count(f"Job{kind.title()}", self.bus)
            self.records.mark_job_announced(job, number)

    def _send(self, detail_type: str, detail: dict[str, Any]) -> bool:
        entry = {
            "Source": SOURCE,
            "DetailType": detail_type,
            "Detail": msgspec.json.encode(detail).decode(),
            "EventBusName": self.bus,
        }
        return not self.events.put_events(Entries=[entry])["FailedEntryCount"]

    def conclude(self, batch_id: str) -> Batch:
        """Give a batch the final status that its manifest states, and tell of it. Raises NotFoundError before the manifest."""
        batch = self.records.get_batch(batch_id)
        if batch.outcome is None:
            raise NotFoundError(f"{batch_id} has no manifest yet")
        # First what the user follows: once the status is final, nobody but sweep looks here again, and it only announces.
        self.publish(msgspec.structs.replace(batch, status=batch.outcome), self.records.counted_jobs(batch))
        batch = self.records.change_status(batch_id, batch.outcome, self.now())
        self.announce(batch)
        return batch

    def publish(self, batch: Batch, jobs: list[Job]) -> None:
        """Write `latest.json` of the batch's input, unless it tells of a newer batch already.

        Raises ConflictError where somebody else wrote it in between.
        """
        key = keys.latest(batch.results.path)
        document = latest_document(batch, jobs, self.now())
        head = self.bucket.head(key)
        if head is None:
            self.bucket.create(key, document)
            return
        known = self.bucket.read_json(key, _Known)
        if known.batch_id == batch.batch_id:
            if known.status.is_final and not batch.status.is_final:
                return
        elif (known.created_at, known.batch_id) > (rfc3339(batch.created_at), batch.batch_id):
            return
        self.bucket.replace(key, document, head["ETag"])

    def publish_if_due(self, batch: Batch, jobs: list[Job], interval: int) -> None:
        """Write `latest.json` unless it was written less than `interval` seconds ago; the next turn makes up for a conflict."""
        head = self.bucket.head(keys.latest(batch.results.path))
        if head is not None and self.now() - int(head["LastModified"].timestamp()) < interval:
            return
        try:
            self.publish(batch, jobs)
        except ConflictError:
            return


def _waiting_document(waiting: Waiting | Wait | None) -> dict[str, Any] | None:
    """With the time as the results show it."""
    return None if waiting is None else msgspec.structs.asdict(waiting) | {"since": rfc3339(waiting.since)}


def latest_document(batch: Batch, jobs: list[Job], now: int) -> dict[str, Any]:
    """The content of `latest.json` (docs/architecture.md, Data)."""
    return {
        "v": 1,
        "batch_id": batch.batch_id,
        "status": batch.status,
        "input": input_of(batch),
        "counts": counts_of(batch),
        "progress": {
            "round": batch.round,
            "jobs": [
                {
                    "job_id": job.job_id,
                    "backend": job.backend,
                    "model": job.model,
                    "state": job.state,
                    "total": job.total,
                    "completed": job.completed if job.state.is_closed else job.progress,
                    "reason": job.reason,
                    "waiting": _waiting_document(job.waiting if job.state is JobState.WAITING else None),
                }
                for job in jobs
            ],
        },
        "waiting": _waiting_document(find_wait(batch, jobs)),
        "created_at": rfc3339(batch.created_at),
        "updated_at": rfc3339(now),
        "deadline": rfc3339(batch.deadline),
        "output": {"prefix": batch.results.prefix},
        "error": error_of(batch),
    }
