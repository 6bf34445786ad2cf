"""What is sent and answered in Together's dialect. Source: `types/` of the package `together` 3.1.1 and of 1.5.35."""

from typing import Annotated

import msgspec
from msgspec import Meta

PURPOSE = "batch-api"
LARGEST_FILE = 10_000_000_000_000  # bytes; a number that DynamoDB can hold


class FileResponse(msgspec.Struct, frozen=True):
    """A file."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str = PURPOSE
    object: str = "file"
    FileType: str = "jsonl"
    Processed: bool = True


class FileList(msgspec.Struct, frozen=True):
    """The newest files."""

    data: list[FileResponse]
    object: str = "list"


class FileDeleted(msgspec.Struct, frozen=True):
    """A file that is gone."""

    id: str
    object: str = "file"
    deleted: bool = True


class MultipartInitiate(msgspec.Struct, frozen=True):
    """What is to be uploaded, in how many parts."""

    file_name: str
    file_size: Annotated[int, Meta(ge=1, le=LARGEST_FILE)]
    num_parts: int
    purpose: str
    file_type: str = "jsonl"
    checksum: str | None = None


class PartUrl(msgspec.Struct, frozen=True):
    """Where one part is to be PUT."""

    PartNumber: int
    URL: str
    Headers: dict[str, str] = {}


class MultipartUpload(msgspec.Struct, frozen=True):
    """An upload, and where its parts go."""

    upload_id: str
    file_id: str
    parts: list[PartUrl]


class SentPart(msgspec.Struct, frozen=True):
    """A part that was sent, and the ETag that came back."""

    part_number: int
    etag: str


class MultipartComplete(msgspec.Struct, frozen=True):
    """All parts of an upload."""

    upload_id: str
    file_id: str
    parts: list[SentPart]


class MultipartAbort(msgspec.Struct, frozen=True):
    """An upload that is given up."""

    upload_id: str
    file_id: str


class Message(msgspec.Struct, frozen=True):
    """What was done."""

    message: str


class BatchCreate(msgspec.Struct, frozen=True):
    """A batch that is to be run."""

    input_file_id: str
    endpoint: str
    completion_window: str | None = None
    priority: int | None = None
    model_id: str | None = None


class BatchWait(msgspec.Struct, frozen=True):
    """Why a batch waits, since when, and at which place of the queue. `jobs`: how many of its jobs; 0: it waits to begin."""

    reason: str | None
    jobs: int
    since: str
    place: int | None


class BatchJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch. Times are RFC 3339, progress is in per cent.

    Ours are `retry_of`, the batch whose failed lines it runs again, and `waiting`, why it does not go on; not in lists.
    """

    id: str
    user_id: str
    input_file_id: str
    file_size_bytes: int
    status: str
    job_deadline: str
    created_at: str
    endpoint: str
    progress: float
    model_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    error: str | None = None
    completed_at: str | None = None
    retry_of: str | None = None
    waiting: BatchWait | None = None


class BatchCreated(msgspec.Struct, frozen=True):
    """A new batch."""

    job: BatchJob


class Pricing(msgspec.Struct, frozen=True):
    """What a model costs is not known here: a hosted backend bills it, or the own GPUs. 1.5.x wants the field all the same."""

    input: float | None = None
    output: float | None = None
    hourly: float | None = None
    base: float | None = None
    finetune: float | None = None


class ModelObject(msgspec.Struct, frozen=True):
    """A model. `backends` is ours: who runs it here, in the order in which they are tried."""

    id: str
    organization: str
    backends: list[str]
    context_length: int | None
    created: int = 0
    object: str = "model"
    type: str = "chat"
    pricing: Pricing = Pricing()


class Identity(msgspec.Struct, frozen=True):
    """A key, an organization or a project; here all three are the owner of a key."""

    id: str
    name: str | None = None
    slug: str | None = None


class Whoami(msgspec.Struct, frozen=True):
    """Who a key belongs to."""

    api_key: Identity
    organization: Identity
    project: Identity
    type: str = "project_api_key"
