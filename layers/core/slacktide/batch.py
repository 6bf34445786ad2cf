"""The records of a batch and of its jobs, as frozen values. Times are Unix seconds."""

from decimal import Decimal

import msgspec

from slacktide.codes import Code, CodeClass
from slacktide.ids import BatchFile, FileKind
from slacktide.keys import BatchKeys, JobKeys, ResultKeys, input_path
from slacktide.prices import Rate
from slacktide.statuses import BatchStatus, JobNotice, JobState

DROP_OWNER = "drop"  # whoever may write to input/ of the bucket
MOST_NAMED_MODELS = 20


class ObjectRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of one object in a bucket. `bytes` is its size.

    `is_list`: the object is a JSON list of objects, which in their order are the content; `bytes` is the size of that.
    `md5`: what the content should have, in lower-case hexadecimal, if its uploader said so; checked when a batch reads it.
    """

    bucket: str
    key: str
    version_id: str
    bytes: int
    is_list: bool = False
    md5: str | None = None


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a batch is to be run. They ride on a dropped object as S3 user metadata."""

    completion_window: int = 86_400  # seconds
    on_invalid: str = "skip"
    max_invalid_ratio: float = 1.0
    endpoint: str | None = None
    tag: str | None = None
    not_before: int | None = None  # Unix seconds; nothing runs before
    route: list[str] | None = None  # backends, in place of the routes of the models
    max_rounds: int | None = None  # None: the setting
    show_backend: bool = False  # each output line tells its backend and round
    priority: str = "normal"
    max_cost_usd: Decimal | None = None
    only_model: str | None = None  # the only one that its lines may name
    output_expires_after: int | None = None  # seconds from the end on; then output and error file are deleted


class Failure(msgspec.Struct, frozen=True):
    """Why a batch failed, in our own words: a backend's words could quote a prompt."""

    code: Code
    message: str


class StatusChange(msgspec.Struct, frozen=True):
    """One step of a batch's history; its position, from 1, is the sequence number of its event."""

    status: BatchStatus
    time: int


class Waiting(msgspec.Struct, frozen=True):
    """Since when something waits, and at which place of a queue, from 1; None: there is no queue for it."""

    since: int
    place: int | None = None


class Batch(msgspec.Struct, frozen=True):
    """One input file and what becomes of it."""

    batch_id: str
    owner: str
    status: BatchStatus
    input: ObjectRef
    created_at: int
    deadline: int
    history: list[StatusChange]
    options: Options = Options()
    announced: int = 0  # how many entries of the history have been sent as events
    total: int = 0
    invalid: int = 0
    completed: int = 0
    failed: int = 0
    round: int = 0
    plan: int = 0  # the newest plan that was begun; a planner that was overtaken has an older number
    plans: list[int] = []  # of each round the plan that was carried through, whose jobs count; 0: of a former version
    closed_jobs: int = 0  # when a round was last planned: once more are closed there may be lines to plan
    attempt: int = 1  # of the execution
    dropped_at: int | None = None  # when the input was written, by S3's clock
    models_version: str | None = None  # of config/models.toml, as it was when the batch was made; None: the shipped table
    refused: bool = False  # nothing runs; every line without a fault is `batch_failed`
    give_up: Code | None = None  # of undone lines; decided once, when the batch starts finalizing
    outcome: BatchStatus | None = None  # the final status, from the manifest on
    failure: Failure | None = None
    file_id: str | None = None  # of the uploaded input; None: it was dropped
    filename: str | None = None  # of the uploaded input
    metadata: dict[str, str] | None = None  # the user's own, by the HTTP API
    models: list[str] = []  # that its good lines name; at most MOST_NAMED_MODELS of them
    is_sent: bool = True  # whether the message that has it validated is known to be in the input queue
    retry_of: str | None = None  # the batch whose failed lines this one runs again
    retried_classes: list[CodeClass] | None = None  # of the errors whose lines are run again
    output: ObjectRef | None = None  # the result files, from the manifest on
    errors: ObjectRef | None = None
    deleted: list[FileKind] = []  # result files that its owner has deleted, or that have expired
    waiting: Waiting | None = None  # for the end of other batches of its owner

    @property
    def keys(self) -> BatchKeys:
        return BatchKeys(self.batch_id)

    @property
    def ended_at(self) -> int | None:
        """When it took its final status; None as long as it has none."""
        return self.history[-1].time if self.status.is_final else None

    @property
    def order(self) -> tuple[int, str]:
        """By which lists are sorted, the newest first."""
        return self.created_at, self.batch_id

    @property
    def input_file_id(self) -> str:
        """The id of the file that it was made of."""
        return self.file_id or str(BatchFile(self.batch_id, FileKind.INPUT))

    @property
    def input_file_name(self) -> str | None:
        """The name of the file that it was made of, also when that was deleted; None where a former version did not note it."""
        return self.filename if self.file_id else self.input.key.rpartition("/")[2]

    def result_file_id(self, kind: FileKind) -> str | None:
        """The id of the output or error file; None before the manifest, without lines in it, and when it was deleted."""
        lines = {FileKind.OUTPUT: self.completed, FileKind.ERRORS: self.failed}[kind]
        is_there = self.outcome is not None and lines and kind not in self.deleted
        return str(BatchFile(self.batch_id, kind)) if is_there else None

    @property
    def results_until(self) -> int | None:
        """When output and error file expire; None: never, or it has not ended."""
        after, ended = self.options.output_expires_after, self.ended_at
        return None if after is None or ended is None else ended + after

    def seen_at(self, now: int) -> "Batch":
        """The batch as its owner sees it: files that have expired are as good as deleted."""
        if self.results_until is None or now < self.results_until:
            return self
        return msgspec.structs.replace(self, deleted=[FileKind.OUTPUT, FileKind.ERRORS])

    @property
    def results(self) -> ResultKeys:
        return ResultKeys(input_path(self.input.key), self.batch_id)

    @property
    def sequence(self) -> int:
        """The number of the newest event."""
        return len(self.history)

    @property
    def begins_at(self) -> int:
        """From when on it may run, and its completion window counts."""
        return max(self.created_at, self.options.not_before or 0)

    @property
    def is_validated(self) -> bool:
        """Whether validation has ended: its lines are counted, or it was refused."""
        return self.refused or self.total > 0

    @property
    def is_unsent(self) -> bool:
        """Whether the message that has it validated may never have been sent. False though nobody noted it: it has arrived."""
        return not (self.is_sent or self.is_validated)

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody asked for the end of this batch."""
        return any(change.status is BatchStatus.CANCELLING for change in self.history)

    def has(self, job: "Job") -> bool:
        """Whether a job counts: not one that was drafted by a plan that died, or that another has overtaken."""
        return job.round <= self.round and job.plan == (self.plans[job.round - 1] if job.round <= len(self.plans) else 0)

    def reached(self, status: BatchStatus) -> int | None:
        """When the batch took a status; None if it never did."""
        return next((change.time for change in self.history if change.status is status), None)


class Notice(msgspec.Struct, frozen=True):
    """Something about a job that its batch's owner should know; its position, from 1, is its number among the job's events."""

    kind: JobNotice
    time: int


class Job(msgspec.Struct, frozen=True):
    """One piece of work at one backend for one model and endpoint: the undone lines of `group` from `first` to `last`."""

    batch_id: str
    job_id: str
    round: int
    backend: str
    model: str
    upstream_model: str
    endpoint: str
    group: str
    first: int
    last: int
    total: int
    created_at: int
    step: int = 0  # of the route, from 0
    plan: int = 0  # of the batch, which made it
    fallback: str | None = None  # the backend that takes over what is undone at the cut-off
    rate: Rate | None = None  # what its work costs, as known when it was planned; None: planned by a version that did not note it
    state: JobState = JobState.PLANNED
    attempt: int = 1  # of the execution
    submission: int = 0  # of the upstream job; recorded before it is created
    file_id: str | None = None  # of its input at the backend, where it is uploaded
    asks: int = 0  # raised with each change of what is known of its creation: of two who know the same, one may write
    asked_at: int | None = None  # its creation was about to be asked for, and what became of that is not known
    unseen_at: int | None = None  # since when the backend has said, and nothing else, that it does not have the input
    is_watched: bool = False  # another job with its input may exist upstream, which is looked for and stopped
    upstream_id: str | None = None
    displaced: list[str] = []  # upstream jobs that ended without having run
    missed_at: int | None = None  # since when the backend does not know it
    is_lost: bool = False  # the backend does not know it any more: nothing can be fetched
    progressed_at: int | None = None
    notices: list[Notice] = []
    announced: int = 0  # how many of the notices have been sent as events
    cancel_requested: bool = False
    cancel_confirmed: bool = False  # of a job that was left to sweep: all of it has ended upstream
    reason: str | None = None  # why it waits or ended, in our own words
    waiting: Waiting | None = None  # while its state is `waiting`
    refusal: Code | None = None  # what its lines end with: it was not submitted, and no other job is to have them
    prompt_bound: int | None = None  # tokens that it needs at most; known when its input is written, where they count
    output_bound: int | None = None
    prompt_tokens: int = 0  # really used
    completion_tokens: int = 0
    unmetered: int = 0  # completed lines whose tokens the backend did not tell
    progress: int = 0  # lines that the backend has finished
    completed: int = 0
    failed: int = 0
    submitted_at: int | None = None
    ended_at: int | None = None
    settled_at: int | None = None

    @property
    def keys(self) -> JobKeys:
        return BatchKeys(self.batch_id).job(self.job_id)

    @property
    def was_repeated(self) -> bool:
        """Whether the backend had another job of the same input, and may have done some of it before it was stopped."""
        return any(notice.kind is JobNotice.REPEATED for notice in self.notices)


class Group(msgspec.Struct, frozen=True):
    """The valid lines of one model and endpoint, kept as `parts` objects of at most `PART_LINES` lines."""

    group: str
    model: str
    endpoint: str
    lines: int
    parts: list["Part"]


class Part(msgspec.Struct, frozen=True):
    """One object of lines, in line order, with the first and the last line number it can hold."""

    key: str
    first: int
    last: int
    bytes: int = 0  # 0: not known


class LineIndex(msgspec.Struct, frozen=True):
    """What validation found: the last object that it writes. Every list is in line order."""

    total: int
    invalid: int
    groups: list[Group]
    custom_ids: list[Part]
    faults: list[Part]  # as found in the stream
    late_faults: list[Part]  # found at the end: repeated custom_ids
    v: int = 1


class Summary(msgspec.Struct, frozen=True):
    """What came back from a job: collected parts, each in line order, counts of lines, tokens."""

    parts: list[Part]
    completed: int = 0
    rejected: int = 0
    transient: int = 0
    missing: int = 0
    foreign: int = 0  # lines that are not of this job, or not readable; dropped
    repeated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unmetered: int = 0  # completed lines whose tokens the backend did not tell
    v: int = 1
