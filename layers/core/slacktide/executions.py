"""The executions of the two state machines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from slacktide.batch import Job
from slacktide.bucket import error_code
from slacktide.ids import batch_execution_name, job_execution_name

ALIVE = frozenset({"RUNNING", "PENDING_REDRIVE"})


@dataclass(frozen=True, slots=True)
class Executions:
    """Starts and looks up executions; `states` is boto3's Step Functions client, the machines are ARNs."""

    states: Any
    batch_machine: str = ""
    job_machine: str = ""

    def start_batch(self, batch_id: str, attempt: int) -> None:
        """Start the execution of a batch; one of that name is as good."""
        try:
            self.states.start_execution(
                stateMachineArn=self.batch_machine,
                name=batch_execution_name(batch_id, attempt),
                input=msgspec.json.encode({"v": 1, "batch_id": batch_id}).decode(),
            )
        except ClientError as error:
            if error_code(error) != "ExecutionAlreadyExists":
                raise

    def stop_batch(self, batch_id: str, attempt: int) -> None:
        """Stop the execution of a batch."""
        self.states.stop_execution(executionArn=_execution(self.batch_machine, batch_execution_name(batch_id, attempt)))

    def batch_status(self, batch_id: str, attempt: int) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED; None when there is no such execution."""
        return self._status(self.batch_machine, batch_execution_name(batch_id, attempt))

    def find_dead(self, jobs: Sequence[Job], now: int) -> Iterator[Job]:
        """The jobs whose newest attempts have no execution alive.

        All batches of an account share some 10 questions a second (Step Functions quotas, DescribeExecution). When no more are
        taken, the rest counts as alive, since whoever asks comes again; each second another job is the first.
        """
        first = now % max(1, len(jobs))
        for job in (*jobs[first:], *jobs[:first]):
            name = job_execution_name(job.batch_id, job.job_id, job.attempt)
            try:
                status = self._status(self.job_machine, name)
            except ClientError as error:
                if error_code(error) != "ThrottlingException":
                    raise
                return
            if status not in ALIVE:
                yield job

    def _status(self, machine: str, name: str) -> str | None:
        try:
            return self.states.describe_execution(executionArn=_execution(machine, name))["status"]
        except ClientError as error:
            if error_code(error) == "ExecutionDoesNotExist":
                return None
            raise


def _execution(machine: str, name: str) -> str:
    """The ARN of an execution of a machine."""
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
