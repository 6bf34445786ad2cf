"""The table of records: batches, jobs and input guards in DynamoDB. Every change of state is a conditional write.

Keys: `pk, sk`. A batch is (batch id, "batch"), a job (batch id, "job#" + job id), an input guard ("input#" + hash, "guard").
Indexes: `gsi1` (owner, created), `gsi2` (open work, and what expires: by time), `gsi3` (batches of one input key, created).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from slacktide.batch import Batch, Job, ObjectRef, StatusChange
from slacktide.errors import ConflictError, LeaseHeldError, NotFoundError, TransitionError
from slacktide.ids import FileKind
from slacktide.items import from_item, only_failed_condition, query, to_item, update
from slacktide.statuses import EDGES, BatchStatus, JobState, sources
from slacktide.transactions import change, commit, put

OPEN = "open"  # gsi2: batches that have not ended or whose events have not all been sent
EXPIRING = "expiring"  # gsi2: ended batches whose result files expire, by that time
ABANDONED = "abandoned"  # gsi2: jobs that may still run upstream though nothing waits for them
_CREATED = "%012d"  # so that times sort as text
_IS_OPEN = ~Attr("state").is_in([str(state) for state in JobState if state.is_closed])
# What a batch is made of: the version of a dropped object, or the batch's id where it was created by a call.
Source = ObjectRef | str


class Guard(msgspec.Struct, frozen=True):
    """The claim on one version of one input object, so that it makes one batch however often its event arrives."""

    batch_id: str
    state: str  # claimed | started
    lease_until: int
    lease_owner: str


@dataclass(frozen=True, slots=True)
class Records:
    """The table; `table` is boto3's resource."""

    table: Any

    # Input guards

    def claim_input(self, source: Source, batch_id: str, *, invocation: str, now: int, lease: int) -> Guard:
        """Claim an input version for `batch_id`, or take over a claim whose lease is over (its batch id stays).

        Answers the guard; its state is `started` when the batch of this input is under way already. Raises LeaseHeldError
        while another invocation works on it.
        """
        key = _guard_key(source)
        claim = Guard(batch_id=batch_id, state="claimed", lease_until=now + lease, lease_owner=invocation)
        try:
            self.table.put_item(Item=key | to_item(claim), ConditionExpression=Attr("pk").not_exists())
        except ClientError as error:
            only_failed_condition(error)
            return self._take_over(key, invocation=invocation, now=now, lease=lease)
        return claim

    def start_input(self, source: Source) -> None:
        """Mark the batch of an input version as under way: further deliveries of its event have nothing to do."""
        self.table.update_item(
            Key=_guard_key(source),
            UpdateExpression="SET #state = :started",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":started": "started"},
        )

    def release_input(self, source: Source, *, invocation: str) -> None:
        """Give up the lease after a handled failure, so that the next delivery need not wait for its end."""
        try:
            self.table.update_item(
                Key=_guard_key(source),
                UpdateExpression="SET lease_until = :zero",
                ConditionExpression=Attr("lease_owner").eq(invocation),
                ExpressionAttributeValues={":zero": 0},
            )
        except ClientError as error:
            only_failed_condition(error)

    def find_guard(self, source: Source) -> Guard | None:
        """The guard of an input version; None when nobody has claimed it."""
        item = self.table.get_item(Key=_guard_key(source), ConsistentRead=True).get("Item")
        return from_item(item, Guard) if item else None

    def _take_over(self, key: dict[str, str], *, invocation: str, now: int, lease: int) -> Guard:
        try:
            answer = self.table.update_item(
                Key=key,
                UpdateExpression="SET lease_until = :until, lease_owner = :owner",
                ConditionExpression=Attr("state").eq("claimed") & Attr("lease_until").lte(now),
                ExpressionAttributeValues={":until": now + lease, ":owner": invocation},
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            only_failed_condition(error)
            guard = from_item(self.table.get_item(Key=key, ConsistentRead=True)["Item"], Guard)
            if guard.state == "started":
                return guard
            raise LeaseHeldError(f"the input of {guard.batch_id}", guard.lease_until) from error
        return from_item(answer["Attributes"], Guard)

    # Batches

    def create_batch(self, batch: Batch) -> Batch:
        """Write a new batch; where a former delivery wrote it already, that one is answered."""
        try:
            self.table.put_item(Item=batch_item(batch), ConditionExpression=Attr("pk").not_exists())
        except ClientError as error:
            only_failed_condition(error)
            return self.get_batch(batch.batch_id)
        return batch

    def get_batch(self, batch_id: str) -> Batch:
        """A batch as it is now. Raises NotFoundError."""
        item = self.table.get_item(Key=_batch_key(batch_id), ConsistentRead=True).get("Item")
        if item is None:
            raise NotFoundError(f"there is no batch {batch_id}")
        return from_item(item, Batch)

    def update_batch(self, batch_id: str, *, when: ConditionBase | None = None, **fields: object) -> Batch:
        """Set fields of a batch that are not its status. Raises ConflictError where the condition does not hold."""
        condition = Attr("pk").exists() if when is None else Attr("pk").exists() & when
        return update(self.table, _batch_key(batch_id), Batch, condition, fields)

    def begin_plan(self, batch: Batch) -> None:
        """Take the next number for a plan of the next round. Raises ConflictError where another planner has."""
        number = Attr("plan").eq(batch.plan)
        if not batch.plan:  # a batch of a former version has none
            number |= Attr("plan").not_exists()
        self.update_batch(batch.batch_id, when=Attr("round").eq(batch.round) & number, plan=batch.plan + 1)

    def count_plan(self, batch: Batch, plan: int) -> None:
        """Let the jobs of a plan count. Raises ConflictError where a newer one was begun, or the batch is being assembled."""
        is_newest = Attr("round").eq(batch.round) & Attr("plan").eq(plan)
        is_open = Attr("status").is_in([str(status) for status in sources(BatchStatus.CANCELLING) - {BatchStatus.FINALIZING}])
        plans = batch.plans + [0] * (batch.round - len(batch.plans))
        self.update_batch(batch.batch_id, when=is_newest & is_open, round=batch.round + 1, plans=[*plans, plan])

    def change_status(self, batch_id: str, target: BatchStatus, now: int, **fields: object) -> Batch:
        """Take a batch along an edge to `target`, with further fields in the same write.

        A batch that has passed `target` already is answered as it is, so a repeated step does no harm. Raises
        TransitionError where the edge does not exist.
        """
        fields["status"] = target
        change = [StatusChange(target, now)]
        allowed = Attr("status").is_in([str(status) for status in sources(target)])
        try:
            return update(self.table, _batch_key(batch_id), Batch, allowed, fields, append={"history": change})
        except ConflictError:
            batch = self.get_batch(batch_id)
            if batch.reached(target) is None and not batch.status.is_final:
                edges = ", ".join(EDGES[batch.status]) or "nothing"
                raise TransitionError(f"{batch_id} is {batch.status}: {target} may not follow, only {edges}") from None
            return batch

    def mark_announced(self, batch: Batch, count: int) -> None:
        """Note that the first `count` events of a batch were sent; one that ended with all sent needs no more care, or later."""
        is_done = batch.status.is_final and count >= batch.sequence
        condition = Attr("announced").lt(count)
        fields: dict[str, object] = {"announced": count}
        remove: tuple[str, ...] = ()
        if is_done and batch.results_until is not None:
            fields |= {"gsi2pk": EXPIRING, "gsi2sk": _CREATED % batch.results_until}
        elif is_done:
            remove = ("gsi2pk", "gsi2sk")
        try:
            update(self.table, _batch_key(batch.batch_id), Batch, condition, fields, remove=remove)
        except ConflictError:
            return  # another invocation has announced as much

    def open_batches(self) -> Iterator[str]:
        """The ids of the batches that have not ended or have events to send, the next deadline first."""
        for item in query(self.table, "gsi2", Key("gsi2pk").eq(OPEN)):
            yield item["pk"]

    def expired_batches(self, now: int) -> Iterator[str]:
        """The ids of ended batches whose result files have expired and are not known to be deleted, the oldest first."""
        for item in query(self.table, "gsi2", Key("gsi2pk").eq(EXPIRING) & Key("gsi2sk").lt(_CREATED % (now + 1))):
            yield item["pk"]

    def note_expired(self, batch_id: str) -> None:
        """Note that the result files of a batch were deleted since they had expired."""
        fields = {"deleted": [FileKind.OUTPUT, FileKind.ERRORS]}
        update(self.table, _batch_key(batch_id), Batch, Attr("pk").exists(), fields, remove=("gsi2pk", "gsi2sk"))

    def batches_of_owner(self, owner: str, until: int | None = None, page: int | None = None) -> Iterator[Batch]:
        """The batches of an owner, newest first; those of second `until` and before, if given. `page` is read at once."""
        condition = Key("gsi1pk").eq(f"batch#{owner}")
        if until is not None:
            condition &= Key("gsi1sk").lt(_CREATED % (until + 1))
        for item in query(self.table, "gsi1", condition, forward=False, page=page):
            yield from_item(item, Batch)

    def batches_of_input(self, key: str) -> Iterator[str]:
        """The ids of the batches that were made of any version of an input key, newest first."""
        for item in query(self.table, "gsi3", Key("gsi3pk").eq(_input_pool(key)), forward=False):
            yield item["pk"]

    def open_batch_of_input(self, key: str) -> str | None:
        """The id of a batch of an input key that has not ended; None where all have."""
        batch_ids = self.batches_of_input(key)
        return next((batch_id for batch_id in batch_ids if not self.get_batch(batch_id).status.is_final), None)

    # Jobs

    def put_job(self, job: Job) -> None:
        """Write a planned job, over the draft of an earlier plan. Raises ConflictError where there is more than such a draft."""
        is_draft = Attr("state").eq(str(JobState.PLANNED)) & Attr("attempt").eq(1) & Attr("asks").eq(0)
        is_older = Attr("plan").not_exists() | Attr("plan").lte(job.plan)  # the same: boto3 has sent it again
        try:
            self.table.put_item(
                Item=_job_key(job.batch_id, job.job_id) | to_item(job),
                ConditionExpression=Attr("pk").not_exists() | is_draft & is_older,
            )
        except ClientError as error:
            only_failed_condition(error)
            raise ConflictError(f"{job.job_id} of {job.batch_id} is under way already, or of a newer plan") from error

    def get_job(self, batch_id: str, job_id: str) -> Job:
        """A job as it is now. Raises NotFoundError."""
        item = self.table.get_item(Key=_job_key(batch_id, job_id), ConsistentRead=True).get("Item")
        if item is None:
            raise NotFoundError(f"there is no job {job_id} of {batch_id}")
        return from_item(item, Job)

    def jobs(self, batch_id: str) -> list[Job]:
        """All jobs of a batch, by round and number; drafts too."""
        condition = Key("pk").eq(batch_id) & Key("sk").begins_with("job#")
        jobs = [from_item(item, Job) for item in query(self.table, None, condition)]
        return sorted(jobs, key=lambda job: (job.round, int(job.job_id.partition("-j")[2])))

    def counted_jobs(self, batch: Batch) -> list[Job]:
        """The jobs of a batch that count, by round and number."""
        return [job for job in self.jobs(batch.batch_id) if batch.has(job)]

    def update_job(self, job: Job, *, when: ConditionBase | None = None, **fields: object) -> Job:
        """Set fields of a job that is not closed. Raises ConflictError where it is, or where `when` does not hold."""
        condition = _IS_OPEN if when is None else _IS_OPEN & when
        return update(self.table, _job_key(job.batch_id, job.job_id), Job, condition, fields)

    def cut_job(self, job: Job, fields: Mapping[str, object], others: Sequence[Job], *, when: ConditionBase) -> None:
        """Set fields of an open job and write further jobs, all at once. Raises ConflictError where `when` does not hold."""
        writes = [change(_job_key(job.batch_id, job.job_id), fields, _IS_OPEN & when)]
        writes += [put(_job_key(it.batch_id, it.job_id) | to_item(it), Attr("pk").not_exists()) for it in others]
        if commit(self.table, writes):
            raise ConflictError(f"{job.job_id} of {job.batch_id} has been changed by somebody else")

    def abandon_job(self, job: Job, now: int, deadline: int, reason: str) -> Job:
        """Give a job up that is not settled; sweep goes on ending it upstream. A settled job is answered as it is."""
        while not job.state.is_closed:
            fields: dict[str, Any] = {"state": JobState.ABANDONED, "settled_at": now, "reason": reason}
            if job.submission:
                fields |= left_to_sweep(deadline)
            try:
                return self.update_job(job, when=Attr("submission").eq(job.submission), **fields)
            except ConflictError:  # it was submitted, or settled, since it was read
                job = self.get_job(job.batch_id, job.job_id)
        return job

    def abandoned_jobs(self) -> Iterator[Job]:
        """Jobs of which something may still run upstream, though nothing waits for it."""
        for item in query(self.table, "gsi2", Key("gsi2pk").eq(ABANDONED)):
            yield self.get_job(item["pk"], item["job_id"])

    def mark_job_announced(self, job: Job, count: int) -> None:
        """Note that the first `count` notices of a job were sent."""
        key = _job_key(job.batch_id, job.job_id)
        try:
            update(self.table, key, Job, Attr("announced").lt(count), {"announced": count})
        except ConflictError:
            return  # another invocation has announced as much

    def leave_alone(self, job: Job, *, is_confirmed: bool) -> None:
        """Take a job from sweep: all of it has ended upstream, which is confirmed or not."""
        key = _job_key(job.batch_id, job.job_id)
        update(self.table, key, Job, Attr("pk").exists(), {"cancel_confirmed": is_confirmed}, remove=("gsi2pk", "gsi2sk"))


def left_to_sweep(deadline: int) -> dict[str, str]:
    """The fields by which sweep finds a job of which something may still run upstream."""
    return {"gsi2pk": ABANDONED, "gsi2sk": _CREATED % deadline}


def batch_item(batch: Batch) -> dict[str, Any]:
    """A new batch as an item."""
    return _batch_key(batch.batch_id) | to_item(batch) | _batch_indexes(batch)


def _batch_key(batch_id: str) -> dict[str, str]:
    return {"pk": batch_id, "sk": "batch"}


def _job_key(batch_id: str, job_id: str) -> dict[str, str]:
    return {"pk": batch_id, "sk": f"job#{job_id}"}


def _guard_key(source: Source) -> dict[str, str]:
    name = source if isinstance(source, str) else f"{source.bucket}\0{source.key}\0{source.version_id}"
    return {"pk": "input#" + hashlib.sha256(name.encode()).hexdigest(), "sk": "guard"}


def _input_pool(key: str) -> str:
    return "input#" + hashlib.sha256(key.encode()).hexdigest()


def _batch_indexes(batch: Batch) -> dict[str, str]:
    created = _CREATED % batch.created_at
    return {
        "gsi1pk": f"batch#{batch.owner}",
        "gsi1sk": f"{created}#{batch.batch_id}",
        "gsi2pk": OPEN,
        "gsi2sk": _CREATED % batch.deadline,
        "gsi3pk": _input_pool(batch.input.key),
        "gsi3sk": f"{created}#{batch.batch_id}",
    }
