"""Together's dialect, below /v1: the calls of the package `together` (3.x and 1.5.x) and of its command `tg`.

Sources: `lib/resources/files.py`, `resources/batches.py` and `types/` of 3.1.1; `filemanager.py`, `resources/batch.py` and
`types/` of 1.5.35; Together's API reference.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from slacktide.api import own
from slacktide.api.batches import Creation
from slacktide.api.calls import Call, Reply
from slacktide.api.errors import BadRequestError
from slacktide.api.files import FileView
from slacktide.api.routing import Api, FormField, Route
from slacktide.api.together_objects import (
    PURPOSE,
    BatchCreate,
    BatchCreated,
    BatchJob,
    BatchWait,
    FileDeleted,
    FileList,
    FileResponse,
    Identity,
    Message,
    ModelObject,
    MultipartAbort,
    MultipartComplete,
    MultipartInitiate,
    MultipartUpload,
    PartUrl,
    Whoami,
)
from slacktide.batch import Batch
from slacktide.ids import FileKind
from slacktide.notifications import rfc3339
from slacktide.statuses import BatchStatus

ROOT = "/v1"
MOST_LISTED = 1_000  # newest ones: its lists have no pages

STATUSES: Final[dict[BatchStatus, str]] = {
    BatchStatus.VALIDATING: "VALIDATING",
    BatchStatus.QUEUED: "IN_PROGRESS",
    BatchStatus.IN_PROGRESS: "IN_PROGRESS",
    BatchStatus.FINALIZING: "IN_PROGRESS",
    BatchStatus.COMPLETED: "COMPLETED",
    BatchStatus.FAILED: "FAILED",
    BatchStatus.EXPIRED: "EXPIRED",
    BatchStatus.CANCELLING: "CANCELING",  # so spelled in 1.5.x, which knows no other word for it
    BatchStatus.CANCELLED: "CANCELLED",
}


# Files


def request_upload(api: Api, call: Call) -> Reply:
    """Where a file is to be PUT: 302, with its id in `X-Together-File-Id`."""
    fields = call.form().fields
    check_purpose(fields.get("purpose"))
    file, url = api.uploads.begin_put(call.owner, fields.get("file_name") or "upload.jsonl")
    return Reply(status=own.FOUND, headers={"Location": url, "X-Together-File-Id": file.file_id})


def preprocess_file(api: Api, call: Call, file_id: str) -> Reply:
    """The upload is done."""
    return Reply(render_file(api.uploads.finish_put(call.owner, file_id)))


def upload_file(api: Api, call: Call) -> Reply:
    """Upload a file with the call."""
    form = call.form()
    if form.content is None:
        raise BadRequestError("The form has no file.", param="file", code="missing_file")
    check_purpose(form.fields.get("purpose"))
    name = form.fields.get("file_name") or form.filename or "upload.jsonl"
    return Reply(render_file(api.uploads.store(call.owner, name, form.content)))


def initiate_upload(api: Api, call: Call) -> Reply:
    """Where the parts of a big file are to be PUT, within an hour."""
    wanted = call.json(MultipartInitiate)
    check_purpose(wanted.purpose)
    file, urls = api.uploads.begin_parts(call.owner, wanted.file_name, wanted.file_size, wanted.num_parts)
    return Reply(MultipartUpload(file.file_id, file.file_id, [PartUrl(number, url) for number, url in enumerate(urls, 1)]))


def complete_upload(api: Api, call: Call) -> Reply:
    """All parts are there."""
    wanted = call.json(MultipartComplete)
    etags = {part.part_number: part.etag for part in wanted.parts}
    return Reply(render_file(api.uploads.finish_parts(call.owner, wanted.file_id, etags)))


def abort_upload(api: Api, call: Call) -> Reply:
    """Give an upload up."""
    api.uploads.abort(call.owner, call.json(MultipartAbort).file_id)
    return Reply(Message("The upload was given up."))


def list_files(api: Api, call: Call) -> Reply:
    """The newest files of the caller."""
    kinds = [FileKind.UPLOADED, FileKind.OUTPUT, FileKind.ERRORS]
    page = api.files.page(call.owner, after=None, limit=MOST_LISTED, kinds=kinds)
    return Reply(FileList([render_file(file) for file in page.entries]))


def retrieve_file(api: Api, call: Call, file_id: str) -> Reply:
    """One file."""
    return Reply(render_file(api.files.get(call.owner, file_id)))


def delete_file(api: Api, call: Call, file_id: str) -> Reply:
    """Delete a file."""
    api.files.delete(call.owner, file_id)
    return Reply(FileDeleted(file_id))


def retrieve_content(api: Api, call: Call, file_id: str) -> Reply:
    """Where the content of a file is: a redirect to a URL that is good for minutes."""
    return Reply(status=own.FOUND, headers={"Location": api.files.locate(call.owner, file_id)})


# Batches


def create_batch(api: Api, call: Call) -> Reply:
    """Run a file as a batch."""
    wanted = call.json(BatchCreate)
    given = {
        "completion-window": wanted.completion_window,
        "priority": name_priority(wanted.priority),
        "only-model": wanted.model_id,
    }
    options = {name: value for name, value in given.items() if value is not None}
    batch = api.batches.create(call.owner, Creation(wanted.input_file_id, wanted.endpoint, options, None), call.attempt)
    return Reply(BatchCreated(render_batch(batch)), status=HTTPStatus.CREATED)


def list_batches(api: Api, call: Call) -> Reply:
    """The newest batches of the caller."""
    return Reply([render_batch(batch) for batch in api.batches.page(call.owner, after=None, limit=MOST_LISTED).entries])


def retrieve_batch(api: Api, call: Call, batch_id: str) -> Reply:
    """One batch."""
    batch = api.batches.get(call.owner, batch_id)
    wait = api.batches.wait(batch)
    waiting = None if wait is None else BatchWait(wait.reason, wait.jobs, rfc3339(wait.since), wait.place)
    return Reply(msgspec.structs.replace(render_batch(batch), waiting=waiting))


def cancel_batch(api: Api, call: Call, batch_id: str) -> Reply:
    """Ask a batch to end."""
    return Reply(render_batch(api.batches.cancel(call.owner, batch_id)))


def retry_batch(api: Api, call: Call, batch_id: str) -> Reply:
    """Run the lines of an ended batch that failed as a new one."""
    return Reply(BatchCreated(render_batch(own.retry(api, call, batch_id))), status=HTTPStatus.CREATED)


def list_models(api: Api, _: Call) -> Reply:
    """The models that can be run in batches here."""
    return Reply([ModelObject(one.model.id, one.model.family, one.backends, one.model.context) for one in api.models.runnable()])


def tell_identity(_: Api, call: Call) -> Reply:
    """Who a key belongs to: `tg` asks before anything else (`lib/cli/__init__.py`, `_resolve_project_id`)."""
    owner = Identity(call.owner, call.owner, call.owner)
    return Reply(Whoami(Identity(call.key.key_id), owner, owner))


# What these calls share


def check_purpose(purpose: str | None) -> None:
    """Raises BadRequestError for files that are for something else than batches."""
    if purpose != PURPOSE:
        raise BadRequestError(f"purpose must be {PURPOSE}: batches are all that is run here.", param="purpose")


def name_priority(number: int | None) -> str | None:
    """Together's priority is a number, of which nothing is told but that more is sooner."""
    if number is None:
        return None
    return "normal" if number == 0 else "high" if number > 0 else "low"


def render_file(file: FileView) -> FileResponse:
    """`types/file_response.py` of 3.1.1, `types/files.py` of 1.5.35."""
    return FileResponse(file.file_id, file.bytes, file.created_at, file.filename)


def render_batch(batch: Batch) -> BatchJob:
    """`types/batch_job.py` of 3.1.1, `types/batch.py` of 1.5.35."""
    ended = batch.ended_at
    done = 100.0 if ended else round(100 * (batch.completed + batch.invalid) / batch.total, 1) if batch.total else 0.0
    return BatchJob(
        id=batch.batch_id,
        user_id=batch.owner,
        input_file_id=batch.input_file_id,
        file_size_bytes=max(0, batch.input.bytes),
        status=STATUSES[batch.status],
        job_deadline=rfc3339(batch.deadline),
        created_at=rfc3339(batch.created_at),
        endpoint=batch.options.endpoint or "/v1/chat/completions",
        progress=done,
        model_id=batch.models[0] if len(batch.models) == 1 else None,
        output_file_id=batch.result_file_id(FileKind.OUTPUT),
        error_file_id=batch.result_file_id(FileKind.ERRORS),
        error=f"{batch.failure.code}: {batch.failure.message}" if batch.failure else None,
        completed_at=rfc3339(ended) if ended else None,
        retry_of=batch.retry_of,
    )


_FORM = (
    FormField("purpose", PURPOSE),
    FormField("file_name", "The name of the file.", is_required=False),
    FormField("file_type", "jsonl", is_required=False),
)
ROUTES = (
    Route("POST", f"{ROOT}/files", request_upload, "Ask where a file is to be uploaded", status=own.FOUND, form=_FORM),
    Route("POST", f"{ROOT}/files/{{file_id}}/preprocess", preprocess_file, "Say that a file is uploaded", FileResponse),
    Route(
        "POST",
        f"{ROOT}/files/upload",
        upload_file,
        "Upload a file of up to 4 MB",
        FileResponse,
        form=(FormField("file", "The JSONL file.", is_file=True), *_FORM),
    ),
    Route(
        "POST", f"{ROOT}/files/multipart/initiate", initiate_upload, "Begin a big upload", MultipartUpload, body=MultipartInitiate
    ),
    Route(
        "POST", f"{ROOT}/files/multipart/complete", complete_upload, "Complete a big upload", FileResponse, body=MultipartComplete
    ),
    Route("POST", f"{ROOT}/files/multipart/abort", abort_upload, "Give a big upload up", Message, body=MultipartAbort),
    Route("GET", f"{ROOT}/files", list_files, "List files", FileList),
    Route("GET", f"{ROOT}/files/{{file_id}}", retrieve_file, "Look at a file", FileResponse),
    Route("DELETE", f"{ROOT}/files/{{file_id}}", delete_file, "Delete a file", FileDeleted),
    Route("GET", f"{ROOT}/files/{{file_id}}/content", retrieve_content, "Read a file", status=own.FOUND),
    Route("POST", f"{ROOT}/batches", create_batch, "Create a batch", BatchCreated, status=HTTPStatus.CREATED, body=BatchCreate),
    Route("GET", f"{ROOT}/batches", list_batches, "List batches", list[BatchJob]),
    Route("GET", f"{ROOT}/batches/{{batch_id}}", retrieve_batch, "Look at a batch", BatchJob),
    Route("POST", f"{ROOT}/batches/{{batch_id}}/cancel", cancel_batch, "Cancel a batch", BatchJob),
    Route(
        "POST",
        f"{ROOT}/batches/{{batch_id}}/retry",
        retry_batch,
        "Run failed lines again",
        BatchCreated,
        status=HTTPStatus.CREATED,
        body=own.Retry,
    ),
    Route("GET", f"{ROOT}/models", list_models, "List models", list[ModelObject]),
    Route("GET", "/v3/whoami", tell_identity, "Who the key belongs to", Whoami),
    *own.routes(ROOT),
)
