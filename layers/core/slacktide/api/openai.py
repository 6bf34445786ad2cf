"""OpenAI's dialect, below /openai/v1: the calls of the package `openai` (3.x) for files, uploads, batches and models.

Sources: OpenAI's API reference ("Files", "Uploads", "Batch", "Models"), and the types of the package.
"""

from typing import Any, Final

import msgspec

from slacktide.api import own
from slacktide.api.batches import Creation
from slacktide.api.calls import Call, Reply
from slacktide.api.errors import BadRequestError
from slacktide.api.files import FileView
from slacktide.api.openai_objects import (
    BatchCreate,
    BatchError,
    BatchErrors,
    BatchObject,
    BatchPage,
    BatchUsage,
    ExpiresAfter,
    FileDeleted,
    FileObject,
    FilePage,
    ModelObject,
    ModelPage,
    RequestCounts,
    UploadComplete,
    UploadCreate,
    UploadObject,
    UploadPart,
)
from slacktide.api.pages import read_limit
from slacktide.api.routing import Api, FormField, Route
from slacktide.batch import Batch
from slacktide.files import File, FileState
from slacktide.ids import FileKind
from slacktide.notifications import counts_of
from slacktide.statuses import BatchStatus

ROOT = "/openai/v1"
PURPOSE = "batch"
MOST_FILES, MOST_BATCHES, BATCHES = 10_000, 100, 20

STATUSES: Final[dict[BatchStatus, str]] = {
    BatchStatus.VALIDATING: "validating",
    BatchStatus.QUEUED: "in_progress",  # it is validated, and OpenAI has no word between
    BatchStatus.IN_PROGRESS: "in_progress",
    BatchStatus.FINALIZING: "finalizing",
    BatchStatus.COMPLETED: "completed",
    BatchStatus.FAILED: "failed",
    BatchStatus.EXPIRED: "expired",
    BatchStatus.CANCELLING: "cancelling",
    BatchStatus.CANCELLED: "cancelled",
}
PURPOSES: Final[dict[FileKind, str]] = {
    FileKind.UPLOADED: "batch",
    FileKind.INPUT: "batch",
    FileKind.OUTPUT: "batch_output",
    FileKind.ERRORS: "batch_output",
}
UPLOAD_STATUSES: Final[dict[FileState, str]] = {
    FileState.PENDING: "pending",
    FileState.READY: "completed",
    FileState.CANCELLED: "cancelled",
    FileState.DELETED: "completed",
}


# Files


def create_file(api: Api, call: Call) -> Reply:
    """Upload a file with the call."""
    form = call.form()
    if form.content is None:
        raise BadRequestError("The form has no file.", param="file", code="missing_file")
    check_purpose(form.fields.get("purpose"))
    expiry = seconds_of(read_expiry(form.fields))
    return Reply(render_file(api.uploads.store(call.owner, form.filename or "upload.jsonl", form.content, expiry)))


def list_files(api: Api, call: Call) -> Reply:
    """The files of the caller, newest first."""
    limit = read_limit(call.query.get("limit"), default=MOST_FILES, most=MOST_FILES)
    if call.query.get("order", "desc") != "desc":
        raise BadRequestError("order is desc: files are listed from the newest on.", param="order")
    purpose = call.query.get("purpose")
    kinds = [kind for kind, name in PURPOSES.items() if purpose in {None, name} and kind is not FileKind.INPUT]
    page = api.files.page(call.owner, after=call.query.get("after"), limit=limit, kinds=kinds)
    files = [render_file(file) for file in page.entries]
    return Reply(FilePage(files, *ends(files), page.has_more))


def retrieve_file(api: Api, call: Call, file_id: str) -> Reply:
    """One file."""
    return Reply(render_file(api.files.get(call.owner, file_id)))


def delete_file(api: Api, call: Call, file_id: str) -> Reply:
    """Delete a file."""
    api.files.delete(call.owner, file_id)
    return Reply(FileDeleted(file_id))


def retrieve_content(api: Api, call: Call, file_id: str) -> Reply:
    """Where the content of a file is: a redirect to a URL that is good for minutes."""
    return Reply(status=302, headers={"Location": api.files.locate(call.owner, file_id)})


# Uploads


def create_upload(api: Api, call: Call) -> Reply:
    """Begin an upload in parts."""
    wanted = call.json(UploadCreate)
    check_purpose(wanted.purpose)
    expiry = seconds_of(wanted.expires_after)
    return Reply(render_upload(api.uploads.begin_upload(call.owner, wanted.filename, wanted.bytes, expiry)))


def add_upload_part(api: Api, call: Call, upload_id: str) -> Reply:
    """Send a part, of at most some 4 MB."""
    content = call.form().content
    if content is None:
        raise BadRequestError("The form has no data.", param="data", code="missing_file")
    part = api.uploads.add_part(call.owner, file_of(upload_id), content)
    return Reply(UploadPart(part.part_id, part.created_at, upload_id))


def complete_upload(api: Api, call: Call, upload_id: str) -> Reply:
    """End an upload: its parts, in the order that is given, are a file."""
    wanted = call.json(UploadComplete)
    file_id = file_of(upload_id)
    view = api.uploads.complete_upload(call.owner, file_id, wanted.part_ids, wanted.md5)
    return Reply(render_upload(api.uploads.look(call.owner, file_id), view))


def cancel_upload(api: Api, call: Call, upload_id: str) -> Reply:
    """Give an upload up."""
    return Reply(render_upload(api.uploads.abort(call.owner, file_of(upload_id))))


# Batches


def create_batch(api: Api, call: Call) -> Reply:
    """Run a file as a batch."""
    wanted = call.json(BatchCreate)
    options = {"completion-window": wanted.completion_window}
    if wanted.output_expires_after is not None:
        options["output-expires-after"] = f"{wanted.output_expires_after.seconds}s"
    creation = Creation(wanted.input_file_id, wanted.endpoint, options, wanted.metadata)
    return Reply(render_batch(api.batches.create(call.owner, creation, call.attempt)))


def list_batches(api: Api, call: Call) -> Reply:
    """The batches of the caller, newest first."""
    limit = read_limit(call.query.get("limit"), default=BATCHES, most=MOST_BATCHES)
    page = api.batches.page(call.owner, after=call.query.get("after"), limit=limit)
    batches = [render_batch(batch) for batch in page.entries]
    return Reply(BatchPage(batches, *ends(batches), page.has_more))


def retrieve_batch(api: Api, call: Call, batch_id: str) -> Reply:
    """One batch."""
    batch = api.batches.get(call.owner, batch_id)
    usage = api.batches.usage(batch)
    rendered = msgspec.structs.replace(render_batch(batch), waiting=api.batches.wait(batch))
    if usage is not None:
        tokens = BatchUsage(usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens)
        rendered = msgspec.structs.replace(rendered, usage=tokens)
    if rendered.errors is not None:
        found = [
            BatchError(problem.code, problem.message, fault.line, problem.param)
            for fault in api.batches.faults(batch)
            for problem in fault.problems
        ]
        rendered = msgspec.structs.replace(rendered, errors=BatchErrors([*rendered.errors.data, *found]))
    return Reply(rendered)


def cancel_batch(api: Api, call: Call, batch_id: str) -> Reply:
    """Ask a batch to end."""
    return Reply(render_batch(api.batches.cancel(call.owner, batch_id)))


def retry_batch(api: Api, call: Call, batch_id: str) -> Reply:
    """Run the lines of an ended batch that failed as a new one."""
    return Reply(render_batch(own.retry(api, call, batch_id)))


def list_models(api: Api, _: Call) -> Reply:
    """The models that can be run in batches here."""
    return Reply(
        ModelPage([ModelObject(one.model.id, one.model.family, one.backends, one.model.context) for one in api.models.runnable()])
    )


# What these calls share


def check_purpose(purpose: str | None) -> None:
    """Raises BadRequestError for files that are for something else than batches."""
    if purpose != PURPOSE:
        raise BadRequestError(f"purpose must be {PURPOSE}: batches are all that is run here.", param="purpose")


def read_expiry(fields: dict[str, str]) -> ExpiresAfter | None:
    """What a form has as `expires_after[anchor]` and `expires_after[seconds]`. Raises BadRequestError."""
    given = {
        name.removeprefix("expires_after").strip("[]"): text for name, text in fields.items() if name.startswith("expires_after")
    }
    try:
        return msgspec.convert(given, ExpiresAfter, strict=False) if given else None
    except msgspec.ValidationError as error:
        raise BadRequestError(f"expires_after cannot be read: {error}.".replace("$.", ""), param="expires_after") from None


def seconds_of(expiry: ExpiresAfter | None) -> int | None:
    """For how long a file is kept; None: until it is deleted."""
    return None if expiry is None else expiry.seconds


def file_of(upload_id: str) -> str:
    """The id of the file that an upload becomes: they differ in their first word."""
    return "file-" + upload_id.removeprefix("upload_")


def ends(entries: list[Any]) -> tuple[str | None, str | None]:
    """The ids of the first and the last entry of a page."""
    return (entries[0].id, entries[-1].id) if entries else (None, None)


def render_file(file: FileView) -> FileObject:
    """`types/file_object.py`."""
    return FileObject(file.file_id, file.bytes, file.created_at, file.filename, PURPOSES[file.kind], expires_at=file.expires_at)


def render_upload(file: File, view: FileView | None = None) -> UploadObject:
    """`types/upload.py`."""
    rendered = None if view is None else render_file(view)
    return UploadObject(
        "upload_" + file.file_id.removeprefix("file-"),
        file.bytes,
        file.created_at,
        file.uploads_until or file.created_at,
        file.filename,
        PURPOSE,
        UPLOAD_STATUSES[file.state],
        rendered,
    )


def render_batch(batch: Batch) -> BatchObject:
    """`types/batch.py`."""
    failure = batch.failure if batch.status is BatchStatus.FAILED else None
    return BatchObject(
        id=batch.batch_id,
        endpoint=batch.options.endpoint,
        input_file_id=batch.input_file_id,
        completion_window=say_window(batch.options.completion_window),
        status=STATUSES[batch.status],
        created_at=batch.created_at,
        expires_at=batch.deadline,
        request_counts=RequestCounts(**counts_of(batch)),
        errors=BatchErrors([BatchError(failure.code, failure.message)]) if failure else None,
        output_file_id=batch.result_file_id(FileKind.OUTPUT),
        error_file_id=batch.result_file_id(FileKind.ERRORS),
        in_progress_at=batch.reached(BatchStatus.QUEUED),
        finalizing_at=batch.reached(BatchStatus.FINALIZING),
        completed_at=batch.reached(BatchStatus.COMPLETED),
        failed_at=batch.reached(BatchStatus.FAILED),
        expired_at=batch.reached(BatchStatus.EXPIRED),
        cancelling_at=batch.reached(BatchStatus.CANCELLING),
        cancelled_at=batch.reached(BatchStatus.CANCELLED),
        metadata=batch.metadata,
        model=batch.models[0] if len(batch.models) == 1 else None,
        input_file_name=batch.input_file_name,
        retry_of=batch.retry_of,
    )


def say_window(seconds: int) -> str:
    """A completion window as it is given: in hours where it has whole ones."""
    return f"{seconds // 3_600}h" if seconds % 3_600 == 0 else f"{seconds}s"


_PAGE = {"after": "The id of the last one of the page before.", "limit": "How many at most."}
ROUTES = (
    Route(
        "POST",
        f"{ROOT}/files",
        create_file,
        "Upload a file of up to 4 MB",
        FileObject,
        form=(
            FormField("file", "The JSONL file.", is_file=True),
            FormField("purpose", "batch"),
            FormField("expires_after[anchor]", "created_at", is_required=False),
            FormField("expires_after[seconds]", "When it is deleted: 3600 to 2592000.", is_required=False),
        ),
    ),
    Route(
        "GET",
        f"{ROOT}/files",
        list_files,
        "List files",
        FilePage,
        query={**_PAGE, "purpose": "Only those: batch or batch_output.", "order": "desc"},
    ),
    Route("GET", f"{ROOT}/files/{{file_id}}", retrieve_file, "Look at a file", FileObject),
    Route("DELETE", f"{ROOT}/files/{{file_id}}", delete_file, "Delete a file", FileDeleted),
    Route("GET", f"{ROOT}/files/{{file_id}}/content", retrieve_content, "Read a file", status=own.FOUND),
    Route("POST", f"{ROOT}/uploads", create_upload, "Begin an upload in parts", UploadObject, body=UploadCreate),
    Route(
        "POST",
        f"{ROOT}/uploads/{{upload_id}}/parts",
        add_upload_part,
        "Send a part of up to 4 MB",
        UploadPart,
        form=(FormField("data", "The bytes.", is_file=True),),
    ),
    Route(
        "POST", f"{ROOT}/uploads/{{upload_id}}/complete", complete_upload, "Complete an upload", UploadObject, body=UploadComplete
    ),
    Route("POST", f"{ROOT}/uploads/{{upload_id}}/cancel", cancel_upload, "Give an upload up", UploadObject),
    Route("POST", f"{ROOT}/batches", create_batch, "Create a batch", BatchObject, body=BatchCreate),
    Route("GET", f"{ROOT}/batches", list_batches, "List batches", BatchPage, query=_PAGE),
    Route("GET", f"{ROOT}/batches/{{batch_id}}", retrieve_batch, "Look at a batch", BatchObject),
    Route("POST", f"{ROOT}/batches/{{batch_id}}/cancel", cancel_batch, "Cancel a batch", BatchObject),
    Route("POST", f"{ROOT}/batches/{{batch_id}}/retry", retry_batch, "Run failed lines again", BatchObject, body=own.Retry),
    Route("GET", f"{ROOT}/models", list_models, "List models", ModelPage),
    *own.routes(ROOT),
)
