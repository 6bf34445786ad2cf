"""The calls of the Files API, and the storage behind its presigned URLs.

Sources: `lib/resources/files.py` of together 3.1.1, `filemanager.py` of 1.5.35; Together's API reference, "Upload a file".
"""

import hashlib
import re

from slacktide_fake_together.account import StoredFile, fill_file
from slacktide_fake_together.forms import read_form
from slacktide_fake_together.messages import ApiError, Reply, Request, reply_json
from slacktide_fake_together.service import Service

STORAGE = "/_storage/"
PURPOSES = {"batch-api", "fine-tune", "eval", "eval-sample", "eval-output", "eval-summary", "batch"}
_range = re.compile(r"bytes=(\d+)-(\d*)")


def render_file(file: StoredFile) -> dict[str, object]:
    """`types/file_response.py` of 3.1.1 (`FileType`); `types/files.py` of 1.5.35 (`LineCount`, `Processed`)."""
    content = file.content or b""
    return {
        "id": file.id, "object": "file", "created_at": int(file.created_at), "filename": file.filename, "bytes": len(content),
        "purpose": file.purpose, "FileType": file.file_type, "Processed": file.is_processed, "LineCount": content.count(b"\n"),
    }  # fmt: skip


def request_upload(service: Service, request: Request) -> Reply:
    """Answer 302 with a presigned URL, or 409 with the id of the file that has this content already.

    `UploadManager.get_upload_url`: 302, `Location`, `X-Together-File-Id`; 409 `{"file_id"}`. 1.5.35 sends no checksum.
    """
    fields = read_form(request).fields
    _check_purpose(fields.get("purpose"))
    checksum = fields.get("checksum")
    if checksum and (known := service.account.find_content(checksum)):
        return reply_json({"file_id": known.id, "error": _known_error()}, status=409)
    file = service.account.add_file(
        fields.get("file_name") or "file.jsonl", fields["purpose"], service.clock(), checksum=checksum
    )
    file.file_type = fields.get("file_type") or file.file_type
    location = sign(request, file)
    return reply_json({}, status=302, headers={"location": location, "x-together-file-id": file.id})


def sign(request: Request, file: StoredFile) -> str:
    """A presigned URL. Its host is another one than the API's, as with the real service, so that clients leave the key behind."""
    scheme, _, host = request.origin.partition("://")
    name, separator, port = host.partition(":")
    other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(name, f"storage.{name}")
    return f"{scheme}://{other}{separator}{port}{STORAGE}{file.id}?signature={file.signature}"


def _known_error() -> dict[str, object]:
    return {"message": "The file exists already.", "type": "invalid_request_error", "param": "checksum", "code": "file_exists"}


def store_content(service: Service, request: Request, file_id: str) -> Reply:
    """The presigned PUT, as S3 takes it: no Authorization beside the signature, and a Content-Length.

    `_put_file_content` of 3.1.1 sends no Authorization and a Content-Length, and wants 200.
    """
    file = service.account.files.get(file_id)
    if file is None or request.query.get("signature") != file.signature:
        return _refuse(403, "AccessDenied")
    if "authorization" in request.headers:
        return _refuse(400, "InvalidArgument")
    if "content-length" not in request.headers:
        return _refuse(411, "MissingContentLength")
    if file.checksum is not None and hashlib.sha256(request.body).hexdigest() != file.checksum:
        return _refuse(400, "BadDigest")
    fill_file(file, request.body)
    return Reply(200, headers={"etag": f'"{hashlib.md5(request.body, usedforsecurity=False).hexdigest()}"'})


def _refuse(status: int, code: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Reply(status, body.encode(), {"content-type": "application/xml"})


def preprocess_file(service: Service, _: Request, file_id: str) -> Reply:
    """`UploadManager.callback`: the FileResponse."""
    file = service.find_file(file_id)
    if file.content is None:
        raise ApiError(400, "The file's content has not been uploaded.", code="not_uploaded")
    file.is_processed = True
    return reply_json(render_file(file))


def upload_file(service: Service, request: Request) -> Reply:
    """The documented `POST /files/upload`, and OpenAI's `POST /files`: the file in a form. Equal content is the same file."""
    form = read_form(request)
    if form.content is None:
        raise ApiError(400, "The form has no file.", code="missing_file")
    _check_purpose(form.fields.get("purpose"))
    known = service.account.find_content(hashlib.sha256(form.content).hexdigest())
    if known is None:
        name = form.fields.get("file_name") or form.filename or "file.jsonl"
        known = service.account.add_file(name, form.fields["purpose"], service.clock())
        known.is_processed = True
        fill_file(known, form.content)
    return reply_json(render_file(known))


def _check_purpose(purpose: str | None) -> None:
    if purpose not in PURPOSES:
        raise ApiError(400, f"purpose must be one of {', '.join(sorted(PURPOSES))}.", code="invalid_purpose")


def list_files(service: Service, _: Request) -> Reply:
    """`types/file_list.py` of 3.1.1: `{"data": [...]}`; a file that was never filled is none yet.

    OpenAI's client asks for another page unless `has_more` is false.
    """
    files = [render_file(file) for file in service.account.files.values() if file.content is not None]
    return reply_json({"object": "list", "data": files, "has_more": False})


def get_file(service: Service, _: Request, file_id: str) -> Reply:
    return reply_json(render_file(service.find_file(file_id)))


def delete_file(service: Service, _: Request, file_id: str) -> Reply:
    """`types/file_delete_response.py` of 3.1.1."""
    service.find_file(file_id)
    del service.account.files[file_id]
    return reply_json({"id": file_id, "object": "file", "deleted": True})


def get_content(service: Service, request: Request, file_id: str) -> Reply:
    """The bytes of a file, or a 302 to storage. `DownloadManager` of both clients asks for ranges."""
    file = service.find_file(file_id)
    if file.content is None:
        raise ApiError(404, "The file has no content.", code="not_found")
    if service.settings.content_redirect:
        location = sign(request, file)
        return Reply(302, headers={"location": location})
    return serve_range(file.content, request)


def fetch_content(service: Service, request: Request, file_id: str) -> Reply:
    """A presigned GET, as S3 answers it."""
    file = service.account.files.get(file_id)
    if file is None or file.content is None or request.query.get("signature") != file.signature:
        return _refuse(403, "AccessDenied")
    if "authorization" in request.headers:
        return _refuse(400, "InvalidArgument")
    return serve_range(file.content, request)


def serve_range(content: bytes, request: Request) -> Reply:
    """The whole content, or the one range that is asked for (RFC 9110, section 14)."""
    headers = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}
    wanted = _range.fullmatch(request.headers.get("range", ""))
    if wanted is None:
        return Reply(200, content, headers)
    first, last = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
    if first > last:
        return Reply(416, b"", {**headers, "content-range": f"bytes */{len(content)}"})
    return Reply(206, content[first : last + 1], {**headers, "content-range": f"bytes {first}-{last}/{len(content)}"})
