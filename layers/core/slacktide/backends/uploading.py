"""Upload of a job's input as one file of the upstream."""

from collections.abc import Callable
from dataclasses import dataclass

from slacktide.backends.dialects import Dialect, UploadWay, usable_id
from slacktide.backends.protocol import Full, Rejected, Uploaded
from slacktide.backends.spool import Spool
from slacktide.backends.upstream import SILENCE_SECONDS, TRIES, Answer, Patience, Upstream

UPLOAD_SECONDS = 240  # for the bytes of one file, with all tries
TRANSFER = Patience(TRIES, UPLOAD_SECONDS, SILENCE_SECONDS)
SHORT_WAIT = 5  # seconds


@dataclass(frozen=True, slots=True)
class Uploader:
    """Uploads one file. All of it is free to repeat: equal content is one file at Together, and an unused file costs nothing."""

    upstream: Upstream
    dialect: Dialect

    def upload(self, name: str, content: Spool) -> Uploaded | Full | Rejected:
        """The file's id. Raises BackendError when a call got no answer."""
        content.limit(UPLOAD_SECONDS)
        ways: dict[UploadWay, Callable[[str, Spool], Uploaded | Full | Rejected]] = {
            UploadWay.PRESIGNED: self._upload_presigned,
            UploadWay.MULTIPART: self._upload_multipart,
        }
        return ways[self.dialect.upload](f"{name}.jsonl", content)

    def _upload_multipart(self, name: str, content: Spool) -> Uploaded | Full | Rejected:
        """OpenAI API reference, "Upload file"."""
        parts = {"purpose": (None, self.dialect.purpose), "file": (name, content, "application/jsonl")}
        answer = self.upstream.call("POST", "/files", "upload", TRANSFER, files=parts)
        file_id = _file_id(answer, "id") if answer.is_good else None
        return Uploaded(file_id) if file_id else self.refused(answer)

    def _upload_presigned(self, name: str, content: Spool) -> Uploaded | Full | Rejected:
        """As `together` does it (lib/resources/files.py, UploadManager): a form with the checksum, a PUT, a word at the end."""
        answer = self._announce(name, content)
        if answer.status == 409:
            return self._adopt(_file_id(answer, "file_id"), content.size)
        file_id = usable_id(answer.headers.get("X-Together-File-Id"))
        location = answer.headers.get("Location", "")
        if answer.status != 302 or file_id is None or not self.upstream.is_safe(location):
            return self.refused(answer)
        put = self.upstream.put(location, "put", TRANSFER, content.rewind)
        if not put.is_good:
            return Full(f"The store of {self.dialect.title} answered the upload with HTTP {put.status}.", put.wait_seconds)
        return self._finish(file_id)

    def _announce(self, name: str, content: Spool) -> Answer:
        form = {"purpose": self.dialect.purpose, "file_name": name, "file_type": "jsonl", "checksum": content.sha256}
        return self.upstream.call("POST", "/files", "upload", files={field: (None, text) for field, text in form.items()})

    def _adopt(self, file_id: str | None, size: int) -> Uploaded | Full | Rejected:
        """The same content is there: an upload of ours whose answer was lost. One that died before its bytes came is removed."""
        if file_id is None:
            return Full(f"{self.dialect.title} says that the file is there, and does not name it.")
        known = self.upstream.call("GET", f"/files/{file_id}", "look at file")
        value = known.json() if known.is_good else None
        there = value.get("bytes") if isinstance(value, dict) else None
        if isinstance(value, dict) and there == size:
            return self._finish(file_id) if value.get("Processed") is False else Uploaded(file_id)
        if not isinstance(there, int):
            return Full(
                f"{self.dialect.title} says that the file is there, and does not show it (HTTP {known.status}).", SHORT_WAIT
            )
        self.upstream.call("DELETE", f"/files/{file_id}", "delete file")
        return Full("An earlier upload of the file was cut short.", SHORT_WAIT)

    def _finish(self, file_id: str) -> Uploaded | Full | Rejected:
        answer = self.upstream.call("POST", f"/files/{file_id}/preprocess", "preprocess")
        if answer.is_good or answer.status == 409:  # 409: an earlier try of this call was heard
            return Uploaded(file_id)
        if answer.status == 404:
            return Full(f"{self.dialect.title} does not see the uploaded file yet.", SHORT_WAIT)
        return self.refused(answer)

    def refused(self, answer: Answer) -> Full | Rejected:
        """What a refused upload means: later, or never."""
        title = self.dialect.title
        if 400 <= answer.status < 500 and not answer.may_pass:
            return Rejected(f"{title} refused the upload (HTTP {answer.status}){REASONS.get(answer.status, '.')}")
        if answer.may_pass:
            return Full(f"{title} takes no upload now (HTTP {answer.status}).", answer.wait_seconds)
        return Full(f"{title} answered the upload in a way that is not the protocol's (HTTP {answer.status}).")


# What to do about a refusal, in our own words, behind "(HTTP 401)".
REASONS = {
    401: ": the API key is not valid.",
    402: ": the account has no credit left.",
    403: ": the API key may not do this.",
    404: ": is its base URL right?",
    413: ": the job is too big for it; see the parameter for requests in one job.",
}


def _file_id(answer: Answer, name: str) -> str | None:
    value = answer.json()
    return usable_id(value.get(name)) if isinstance(value, dict) else None
