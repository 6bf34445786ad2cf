"""What is sent and answered in OpenAI's dialect. Source: the types of the package `openai` (3.x)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from slacktide.options import LONGEST_EXPIRY, SHORTEST_EXPIRY
from slacktide.waits import Wait


class ExpiresAfter(msgspec.Struct, frozen=True):
    """When a file is to be gone: seconds after it was created."""

    anchor: Annotated[str, Meta(pattern="^created_at$")]
    seconds: Annotated[int, Meta(ge=SHORTEST_EXPIRY, le=LONGEST_EXPIRY)]


class FileObject(msgspec.Struct, frozen=True):
    """A file."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    object: str = "file"
    status: str = "processed"
    expires_at: int | None = None


class FilePage(msgspec.Struct, frozen=True):
    """A page of files."""

    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class FileDeleted(msgspec.Struct, frozen=True):
    """A file that is gone."""

    id: str
    object: str = "file"
    deleted: bool = True


class UploadObject(msgspec.Struct, frozen=True):
    """A file on its way, in parts."""

    id: str
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: str
    file: FileObject | None = None
    object: str = "upload"


class UploadPart(msgspec.Struct, frozen=True):
    """A part of an upload."""

    id: str
    created_at: int
    upload_id: str
    object: str = "upload.part"


class UploadCreate(msgspec.Struct, frozen=True):
    """What is to be uploaded."""

    bytes: Annotated[int, Meta(ge=1, le=10_000_000_000_000)]
    filename: str
    mime_type: str
    purpose: str
    expires_after: ExpiresAfter | None = None


class UploadComplete(msgspec.Struct, frozen=True):
    """The parts, in their order."""

    part_ids: list[str]
    md5: Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$", max_length=32)] | None = None


class BatchCreate(msgspec.Struct, frozen=True):
    """A batch that is to be run."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchError(msgspec.Struct, frozen=True):
    """What is wrong with a batch that failed, or with one of its lines."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchErrors(msgspec.Struct, frozen=True):
    """What is wrong with a batch that failed: why, then the first faults of its lines."""

    data: list[BatchError]
    object: str = "list"


class RequestCounts(msgspec.Struct, frozen=True):
    """Lines."""

    total: int
    completed: int
    failed: int


class CachedTokens(msgspec.Struct, frozen=True):
    """Not counted here."""

    cached_tokens: int = 0


class ReasoningTokens(msgspec.Struct, frozen=True):
    """Not counted here."""

    reasoning_tokens: int = 0


class BatchUsage(msgspec.Struct, frozen=True):
    """Tokens, as the engines counted them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens_details: ReasoningTokens = ReasoningTokens()


class BatchObject(msgspec.Struct, frozen=True):
    """A batch. Times are Unix seconds.

    Three fields are ours: `input_file_name`, the name of the file that it was made of; `retry_of`, the batch whose failed lines
    it runs again; and `waiting`, why it does not go on, which is not in lists.
    """

    id: str
    endpoint: str | None
    input_file_id: str
    completion_window: str
    status: str
    created_at: int
    expires_at: int
    request_counts: RequestCounts
    errors: BatchErrors | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    metadata: dict[str, str] | None = None
    model: str | None = None
    input_file_name: str | None = None
    usage: BatchUsage | None = None
    retry_of: str | None = None
    waiting: Wait | None = None
    object: str = "batch"


class BatchPage(msgspec.Struct, frozen=True):
    """A page of batches."""

    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class ModelObject(msgspec.Struct, frozen=True):
    """A model. `backends` is ours: who runs it here, in the order in which they are tried."""

    id: str
    owned_by: str
    backends: list[str]
    context_length: int | None
    created: int = 0
    object: str = "model"


class ModelPage(msgspec.Struct, frozen=True):
    """The models that can be run in batches here."""

    data: list[ModelObject]
    object: str = "list"
