"""What the HTTP API answers, as far as the command line reads it (OpenAI's dialect, and the calls that are Slacktide's alone)."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from slacktide.statuses import BatchStatus
from slacktide_cli.documents import Counts, Progress, Wait

_WAITING = (
    "why it does not go on, null if it does: `reason`, `since` (Unix seconds), its `place` in the queue (null: there is none for "
    "it), and how many of its `jobs` wait (0: it waits to begin); not in lists"
)


class ApiFault(msgspec.Struct, frozen=True):
    """Why a batch failed, or what is wrong with one of its lines."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class ApiFaults(msgspec.Struct, frozen=True):
    """Why a batch failed, then the first faults of its lines."""

    data: list[ApiFault] = []


class ApiUsage(msgspec.Struct, frozen=True):
    """Tokens, as the engines counted them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class ApiBatch(msgspec.Struct, frozen=True):
    """A batch. Times are Unix seconds, null what has not happened."""

    id: str
    status: Annotated[BatchStatus, Meta(description="`queued` is not told apart from `in_progress`")]
    created_at: int
    expires_at: Annotated[int, Meta(description="when it will have ended, whatever happens")]
    request_counts: Annotated[Counts, Meta(description="lines: `total`, `completed`, `failed`")]
    input_file_id: str
    input_file_name: Annotated[str | None, Meta(description="the name that it has, or had before it was deleted")] = None
    completion_window: str | None = None
    endpoint: Annotated[str | None, Meta(description="that of lines without a url")] = None
    model: Annotated[str | None, Meta(description="null before validation, and where it has several")] = None
    output_file_id: Annotated[str | None, Meta(description="from the end on, if there are answers")] = None
    error_file_id: Annotated[str | None, Meta(description="from the end on, if there are lines without one")] = None
    errors: Annotated[ApiFaults | None, Meta(description="of a failed batch: why, then the first faults of its lines")] = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    metadata: Annotated[dict[str, str] | None, Meta(description="of whoever created it by the API")] = None
    usage: Annotated[ApiUsage | None, Meta(description="tokens, of an ended batch; not in lists")] = None
    retry_of: Annotated[str | None, Meta(description="the batch whose failed lines it runs again")] = None
    waiting: Annotated[Wait | None, Meta(description=_WAITING)] = None

    @property
    def batch_id(self) -> str:
        return self.id

    @property
    def counts(self) -> Counts:
        return self.request_counts

    @property
    def progress(self) -> Progress:
        """The API tells of lines, not of jobs."""
        return Progress()

    @property
    def ended_at(self) -> int | None:
        """When it took its final status."""
        times = (self.completed_at, self.failed_at, self.expired_at, self.cancelled_at)
        return next((time for time in times if time is not None), None)


class ApiFile(msgspec.Struct, frozen=True):
    """A file. `created_at` is in Unix seconds."""

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: Annotated[str, Meta(description="`batch` or `batch_output`")]


class BatchPage(msgspec.Struct, frozen=True):
    """A page of batches, newest first."""

    data: list[ApiBatch]
    has_more: bool = False


class FilePage(msgspec.Struct, frozen=True):
    """A page of files, newest first."""

    data: list[ApiFile]
    has_more: bool = False


class ApiPart(msgspec.Struct, frozen=True):
    """Answers that are final, from line `first` to line `last` of one job."""

    id: Annotated[str, Meta(description="the name of its file, before .jsonl")]
    job_id: str
    model: str
    first: Annotated[int, Meta(description="no line of it is before this one of the input")]
    last: Annotated[int, Meta(description="none is behind this one")]


class PartPage(msgspec.Struct, frozen=True):
    """The finished parts of a batch."""

    data: list[ApiPart]


class ReceiptJob(msgspec.Struct, frozen=True):
    """One job of a receipt."""

    job_id: str
    backend: str
    model: str
    state: str
    requests: int = 0
    completed: int | None = None
    seconds: int | None = None
    reason: str | None = None


class ReceiptUsage(msgspec.Struct, frozen=True):
    """Tokens of a receipt."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """`receipt.json`, as far as a person is shown it."""

    usage: ReceiptUsage = ReceiptUsage()
    jobs: list[ReceiptJob] = []


class ErrorDetail(msgspec.Struct, frozen=True):
    """What the API says about a call that is not done."""

    message: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of an answer that is an error."""

    error: ErrorDetail


Document = dict[str, Any]  # receipt.json as it is, for scripts
