"""Situations of a batch in which one function is called; together they need every permission that functions have."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest

from e2e import permission_calls as calls
from e2e.permission_bench import NOTHING, CallFailedError, Workbench
from e2e.stack import eventually, jsonl, request, requests
from slacktide.batch import DROP_OWNER, Job, LineIndex, Notice, ObjectRef, Part
from slacktide.bucket import Bucket
from slacktide.executions import Executions
from slacktide.keys import MODELS_KEY
from slacktide.limits import LimitRecords
from slacktide.statuses import BatchStatus, JobNotice, JobState
from slacktide.tickets import Queues, batch_ticket
from slacktide.uploads import PART_BYTES, Upload
from template.document import FUNCTION, read_template, resources, target

Call = Callable[[], object]
OWN_MODELS = b'[[models]]\nid = "Qwen/QwQ-32B"\nenabled = false\n'
SLEEPING = json.dumps({"StartAt": "Sleep", "States": {"Sleep": {"Type": "Wait", "Seconds": 3_600, "End": True}}})


@dataclass(frozen=True)
class Case:
    """A situation: `prepare` brings it about and answers the call, which can be made again after it was refused."""

    name: str
    function: str
    prepare: Callable[[Workbench], Call]


# validate


def a_delivery_comes_again(bench: Workbench) -> Call:
    event = bench.drop()
    bench.deliver(event)
    return lambda: bench.deliver(event)


def a_file_is_dropped(bench: Workbench) -> Call:
    event = bench.drop()
    return lambda: bench.deliver(event)


def a_file_repeats_an_id(bench: Workbench) -> Call:
    event = bench.drop([request("same"), request("same")])
    return lambda: bench.deliver(event)


def an_event_tells_of_an_older_version_by_its_etag(bench: Workbench) -> Call:
    event = bench.drop()
    thing = event["detail"]["object"]
    bench.overwrite(thing["key"], jsonl(requests(5)))
    del thing["version-id"]
    return lambda: bench.deliver(event)


def a_file_is_dropped_beside_a_model_table(bench: Workbench) -> Call:
    """The table is gone afterwards, so that no other batch has it; this one keeps its version."""
    bench.overwrite(MODELS_KEY, OWN_MODELS)
    event = bench.drop()

    def call() -> None:
        try:
            bench.deliver(event)
        finally:
            bench.stack.s3.delete_object(Bucket=bench.stack.bucket, Key=MODELS_KEY)

    return call


def a_cancel_marker_is_dropped(bench: Workbench) -> Call:
    key = bench.queued().input.key
    event = bench.overwrite(f"{key}.cancel", b"")
    return lambda: bench.deliver(event)


def another_invocation_is_at_the_file(bench: Workbench) -> Call:
    """The message is put back for as long as the other one may take."""
    event = bench.drop()
    thing, now = event["detail"]["object"], int(time.time())
    source = ObjectRef(bench.stack.bucket, thing["key"], thing["version-id"], 0)
    bench.records.claim_input(source, "batch_of_another", invocation="another", now=now, lease=600)
    queue, sqs = bench.stack.cloud.outputs["InputQueueUrl"], bench.stack.sqs

    def call() -> None:
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
        with pytest.raises(CallFailedError) as failed:
            bench.deliver(event, message["ReceiptHandle"])
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        if not str(failed.value).rstrip().rpartition("\n")[2].startswith("slacktide.errors.LeaseHeldError"):
            raise failed.value

    return call


# plan and follow


def a_batch_is_planned(bench: Workbench) -> Call:
    batch = bench.queued()
    return lambda: bench.step("PlanFunction", batch.batch_id)


def a_batch_with_a_model_table_is_planned(bench: Workbench) -> Call:
    bench.overwrite(MODELS_KEY, OWN_MODELS)
    batch = bench.queued()
    bench.stack.s3.delete_object(Bucket=bench.stack.bucket, Key=MODELS_KEY)
    assert batch.models_version is not None
    return lambda: bench.step("PlanFunction", batch.batch_id)


def a_batch_with_a_dead_job_is_planned(bench: Workbench) -> Call:
    job = bench.planned()
    return lambda: bench.step("PlanFunction", job.batch_id)


def a_plan_that_died_is_made_again(bench: Workbench) -> Call:
    """It had drafted more jobs than there are to be now."""
    batch = bench.queued()
    job = Job(batch.batch_id, "r1-j9", 1, "sagemaker", "m", "m", "/v1/completions", "g1", 1, 1, 1, batch.created_at, plan=1)

    def call() -> None:
        bench.records.update_batch(batch.batch_id, round=0, plan=1)
        bench.records.put_job(job)
        bench.step("PlanFunction", batch.batch_id)

    return call


def a_batch_waits_for_its_turn(bench: Workbench) -> Call:
    """Another one of its owner stands in front of it; afterwards neither stands in the way of a batch of another case."""
    batch = bench.queued()
    queues, first = Queues(bench.records.table), msgspec.structs.replace(bench.queued(), created_at=1)

    def call() -> None:
        queues.take(batch_ticket(first, int(time.time()) + 3_600))
        try:
            assert bench.step("PlanFunction", batch.batch_id)["is_held"], "it does not wait"
        finally:
            for one in (first, batch):
                queues.leave(batch_ticket(one, 0))

    return call


def a_job_with_a_notice_is_followed(bench: Workbench) -> Call:
    job = bench.planned()
    bench.records.update_job(job, notices=[Notice(JobNotice.STUCK, job.created_at)])
    return lambda: bench.step("FollowFunction", job.batch_id)


def a_round_is_followed(bench: Workbench) -> Call:
    job = bench.planned()
    bench.records.update_job(job, progress=1)
    return lambda: bench.step("FollowFunction", job.batch_id)


# submit, poll and collect


def the_input_of_a_job_is_written(bench: Workbench) -> Call:
    job = bench.planned()
    return lambda: bench.step("SubmitFunction", job.batch_id, job_id=job.job_id)


def a_job_that_needs_too_many_tokens_is_cut(bench: Workbench) -> Call:
    """The limit is gone afterwards, so that no other batch has it."""
    job, limits = bench.planned(), LimitRecords(bench.records.table)

    def call() -> None:
        limits.put(DROP_OWNER, {"tokens_per_day": 1})
        try:
            bench.step("SubmitFunction", job.batch_id, job_id=job.job_id)
        finally:
            limits.put(DROP_OWNER, {"tokens_per_day": None})

    return call


def a_job_of_a_batch_with_a_model_table_is_created(bench: Workbench) -> Call:
    bench.overwrite(MODELS_KEY, OWN_MODELS)
    job = bench.planned()
    bench.stack.s3.delete_object(Bucket=bench.stack.bucket, Key=MODELS_KEY)
    return lambda: bench.step("SubmitFunction", job.batch_id, job_id=job.job_id)


def a_job_is_created(bench: Workbench) -> Call:
    job = bench.written()
    return lambda: bench.step("SubmitFunction", job.batch_id, job_id=job.job_id, cursor="written")


def a_job_is_polled(bench: Workbench) -> Call:
    job = bench.submitted()
    return lambda: bench.step("PollFunction", job.batch_id, job_id=job.job_id)


def a_job_is_collected(bench: Workbench) -> Call:
    job = bench.submitted()
    return lambda: bench.step("CollectFunction", job.batch_id, job_id=job.job_id)


# assemble, dead-letter, announce


def a_batch_is_assembled(bench: Workbench) -> Call:
    batch = bench.queued()
    return lambda: bench.step("AssembleFunction", batch.batch_id)


def a_suspended_assembly_goes_on(bench: Workbench) -> Call:
    """A part of the output file is sent, and every line is written."""
    batch = bench.queued([])
    bucket = Bucket(bench.stack.s3, bench.stack.bucket)
    states: dict[str, object] = {}
    for name, size in (("output", PART_BYTES), ("errors", 1)):
        key = getattr(batch.results, name)
        with Upload(bucket, key, tail_key=lambda length, name=name: batch.keys.tail(name, length), state=None) as upload:
            upload.write(b" " * size + b"\n")
            upload.write(b"{}\n")
            states[name] = upload.suspend()
    cursor = msgspec.json.encode({"line": 1, "given_up": 0, **states}).decode()
    return lambda: bench.step("AssembleFunction", batch.batch_id, cursor=cursor)


def an_assembly_takes_too_long(bench: Workbench) -> Call:
    """Four million lines, made of one object: more than one invocation can do."""
    batch = bench.queued([])
    bucket = Bucket(bench.stack.s3, bench.stack.bucket)
    lines, times = 10_000, 400
    key = batch.keys.custom_ids(1)
    bucket.write(key, b"null\n" * lines)
    ids = [Part(key, number * lines + 1, (number + 1) * lines) for number in range(times)]
    bucket.write_json(batch.keys.index, LineIndex(lines * times, 0, [], ids, [], []))

    def call() -> None:
        answer = bench.step("AssembleFunction", batch.batch_id)
        assert not answer["done"], "four million lines were assembled at once"

    return call


def dead_letters_are_sent(bench: Workbench) -> Call:
    batch = bench.assembled()
    return lambda: bench.step("DeadLetterFunction", batch.batch_id)


def a_batch_is_announced(bench: Workbench) -> Call:
    batch = bench.assembled()
    return lambda: bench.step("AnnounceFunction", batch.batch_id)


# sweep


def a_batch_is_left_behind(bench: Workbench) -> Call:
    """Its execution has ended, it has not, and its events were not sent."""
    bench.forget()
    batch = bench.queued()
    machine = bench.stack.cloud.outputs["BatchStateMachineArn"]
    executions = Executions(bench.stack.states, batch_machine=machine)
    eventually(lambda: executions.batch_status(batch.batch_id, 1) == "SUCCEEDED", what="the end of an execution")
    bench.records.update_batch(batch.batch_id, announced=0)
    return lambda: bench.call("SweepFunction", {})


def a_reservation_is_left_behind(bench: Workbench) -> Call:
    """Its job has settled, and nobody gave it back."""
    bench.forget()
    job = bench.submitted()
    bench.records.update_job(job, state=JobState.SETTLED)
    bench.records.update_batch(job.batch_id, status=BatchStatus.COMPLETED)

    def call() -> None:
        assert bench.call("SweepFunction", {})["released"] == 2, "the job's, and the slot of its batch"

    return call


def a_batch_is_cancelled_while_it_is_held(bench: Workbench) -> Call:
    """Its execution sleeps until its time comes."""
    bench.forget()
    machine = bench.stack.cloud.outputs["BatchStateMachineArn"]
    bench.stack.states.update_state_machine(stateMachineArn=machine, definition=SLEEPING)
    batch = bench.queued()
    execution = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{batch.batch_id}"
    history = partial(bench.stack.states.get_execution_history, executionArn=execution)
    eventually(lambda: any(event["type"] == "WaitStateEntered" for event in history()["events"]), what="an execution that sleeps")
    bench.stack.states.update_state_machine(stateMachineArn=machine, definition=NOTHING)
    options = msgspec.structs.replace(batch.options, not_before=int(time.time()) + 3_600)
    bench.records.update_batch(batch.batch_id, options=options)
    bench.records.change_status(batch.batch_id, BatchStatus.CANCELLING, int(time.time()))
    return lambda: bench.call("SweepFunction", {})


CASES = [
    # First, since after a refused write to its guard a file would stay with the invocation that failed.
    Case("a delivery comes again", "ValidateFunction", a_delivery_comes_again),
    Case("a file is dropped", "ValidateFunction", a_file_is_dropped),
    Case("a file repeats an id", "ValidateFunction", a_file_repeats_an_id),
    Case("an event tells of an older version", "ValidateFunction", an_event_tells_of_an_older_version_by_its_etag),
    Case("a file is dropped beside a model table", "ValidateFunction", a_file_is_dropped_beside_a_model_table),
    Case("a cancel marker is dropped", "ValidateFunction", a_cancel_marker_is_dropped),
    Case("another invocation is at the file", "ValidateFunction", another_invocation_is_at_the_file),
    Case("a batch is planned", "PlanFunction", a_batch_is_planned),
    Case("a batch with a model table is planned", "PlanFunction", a_batch_with_a_model_table_is_planned),
    Case("a batch with a dead job is planned", "PlanFunction", a_batch_with_a_dead_job_is_planned),
    Case("a plan that died is made again", "PlanFunction", a_plan_that_died_is_made_again),
    Case("a batch waits for its turn", "PlanFunction", a_batch_waits_for_its_turn),
    Case("a job with a notice is followed", "FollowFunction", a_job_with_a_notice_is_followed),
    Case("a round is followed", "FollowFunction", a_round_is_followed),
    Case("the input of a job is written", "SubmitFunction", the_input_of_a_job_is_written),
    Case("a job that needs too many tokens is cut", "SubmitFunction", a_job_that_needs_too_many_tokens_is_cut),
    Case("a job of a batch with a model table is created", "SubmitFunction", a_job_of_a_batch_with_a_model_table_is_created),
    Case("a job is created", "SubmitFunction", a_job_is_created),
    Case("a job is polled", "PollFunction", a_job_is_polled),
    Case("a job is collected", "CollectFunction", a_job_is_collected),
    Case("a batch is assembled", "AssembleFunction", a_batch_is_assembled),
    Case("a suspended assembly goes on", "AssembleFunction", a_suspended_assembly_goes_on),
    Case("an assembly takes too long", "AssembleFunction", an_assembly_takes_too_long),
    Case("dead letters are sent", "DeadLetterFunction", dead_letters_are_sent),
    Case("a batch is announced", "AnnounceFunction", a_batch_is_announced),
    Case("a created batch is validated", "ValidateFunction", calls.a_created_batch_is_validated),
    Case("failed lines are run again", "ValidateFunction", calls.failed_lines_are_run_again),
    Case("many failed lines are run again", "ValidateFunction", calls.many_failed_lines_are_run_again),
    Case("a file is uploaded", "ApiFunction", calls.a_file_is_uploaded),
    Case("a file is sent to a URL", "ApiFunction", calls.a_file_is_sent_to_a_url),
    Case("a file is read", "ApiFunction", calls.a_file_is_read),
    Case("a file in parts is read", "ApiFunction", calls.a_file_in_parts_is_read),
    Case("a file is deleted", "ApiFunction", calls.a_file_is_deleted),
    Case("files and batches are listed", "ApiFunction", calls.files_and_batches_are_listed),
    Case("a batch is created", "ApiFunction", calls.a_batch_is_created),
    Case("a batch is cancelled by a call", "ApiFunction", calls.a_batch_is_cancelled),
    Case("a dropped file is read", "ApiFunction", calls.a_dropped_file_is_read),
    Case("results are read", "ApiFunction", calls.results_are_read),
    Case("a result is deleted", "ApiFunction", calls.a_result_is_deleted),
    Case("a refused batch tells of its lines", "ApiFunction", calls.a_refused_batch_tells_of_its_lines),
    Case("a finished part is read", "ApiFunction", calls.a_finished_part_is_read),
    Case("models of one's own are listed", "ApiFunction", calls.models_of_ones_own_are_listed),
    Case("an upload is overdue", "SweepFunction", calls.an_upload_is_overdue),
    Case("a file has expired", "SweepFunction", calls.a_file_has_expired),
    Case("results have expired", "SweepFunction", calls.results_have_expired),
    Case("the message of a batch was not sent", "SweepFunction", calls.the_message_of_a_batch_was_not_sent),
    Case("a batch is left behind", "SweepFunction", a_batch_is_left_behind),
    Case("a reservation is left behind", "SweepFunction", a_reservation_is_left_behind),
    Case("a batch is cancelled while it is held", "SweepFunction", a_batch_is_cancelled_while_it_is_held),
]


def cases_of_role(role: str) -> list[Case]:
    """The cases of the function that has a role."""
    functions = [name for name, function in resources(read_template(), FUNCTION).items() if target(function["Role"]) == role]
    return [case for case in CASES if case.function in functions]
