"""The client of the HTTP API, in OpenAI's dialect. It prints nothing, and shows the API key to nobody but the API.

What the other side says reaches a message without control characters and without the key; a presigned URL never does.
"""

import logging
import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from slacktide import __version__
from slacktide_cli.answers import ApiBatch, ApiFile, ApiPart, BatchPage, ErrorBody, FilePage, PartPage
from slacktide_cli.errors import ApiCallError, NoSuchThingError, RateLimitError, UnavailableError, UnknownKeyError, UsageError
from slacktide_cli.outside import Outside
from slacktide_cli.reports import visible
from slacktide_cli.results import ResultWriter

T = TypeVar("T")

ROOT = "/openai/v1"
TRIES = 4  # of a call that is free to repeat
LONGEST_PAUSE = 30  # seconds between two tries; whoever is told to wait longer is told so
_TIMEOUT = httpx.Timeout(40, connect=10)  # seconds; API Gateway waits 29 s for an answer
_LONGEST_TEXT = 500  # characters of an answer that are shown
_HEADERS = {"User-Agent": f"slacktide-cli/{__version__}"}

URL_ADVICE = "SLACKTIDE_API_URL (or --api-url) must be the output ApiUrl of a Slacktide stack."
KEY_ADVICE = "Set SLACKTIDE_API_KEY to a key of this stack; its operator makes one: slacktide keys create NAME."
ERRORS: dict[int, tuple[type[ApiCallError], str]] = {
    401: (UnknownKeyError, KEY_ADVICE),
    403: (ApiCallError, URL_ADVICE),
    404: (NoSuchThingError, "`slacktide ls` lists what your key may see; what belongs to others is as if it were not there."),
    405: (ApiCallError, URL_ADVICE),
    429: (RateLimitError, "Call less often, or ask the operator for a key with a rate of its own."),
}
_REFUSED = (ApiCallError, "")
_FAILED = (UnavailableError, "Try again later; the stack's log of the function api says more.")


class Api:
    """The calls of one key."""

    def __init__(self, url: str, key: str, outside: Outside | None = None) -> None:
        """`url` is where the API is, without the dialect. Raises UsageError when URL or key cannot be used at all."""
        self._outside = outside or Outside()
        self._base, self._key = _check_url(url), _check_key(key)
        for chatty in ("httpx", "httpcore"):  # they log addresses and, at DEBUG, headers
            logging.getLogger(chatty).setLevel(logging.WARNING)
        # Two clients, so that the storage that an answer leads to cannot be shown the key.
        headers = {**_HEADERS, "Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        self._client = httpx.Client(transport=self._outside.transport, timeout=_TIMEOUT, headers=headers)
        self._storage = httpx.Client(transport=self._outside.transport, timeout=_TIMEOUT, headers=_HEADERS)

    def batches(self, *, limit: int, after: str | None = None) -> BatchPage:
        """A page of batches, newest first, from behind `after` on."""
        return self._get("/batches", BatchPage, "Listing batches", limit=limit, after=after)

    def batch(self, batch_id: str) -> ApiBatch:
        """One batch as it is now."""
        return self._get(f"/batches/{_quote(batch_id)}", ApiBatch, f"Looking at {batch_id}")

    def files(self, *, limit: int, after: str | None = None) -> FilePage:
        """A page of uploaded files and results, newest first, from behind `after` on."""
        return self._get("/files", FilePage, "Listing files", limit=limit, after=after)

    def find_file(self, file_id: str) -> ApiFile | None:
        """One file; None when it is gone."""
        try:
            return self._get(f"/files/{_quote(file_id)}", ApiFile, f"Looking at {file_id}")
        except NoSuchThingError:
            return None

    def parts(self, batch_id: str) -> list[ApiPart]:
        """The finished parts of a batch by now."""
        return self._get(f"/batches/{_quote(batch_id)}/parts", PartPage, f"Listing the parts of {batch_id}").data

    def document(self, batch_id: str, name: str) -> bytes:
        """The `receipt` or the `manifest` of an ended batch, byte for byte."""
        doing = f"Reading the {name} of {batch_id}"
        return self._persist(lambda: self._call("GET", f"/batches/{_quote(batch_id)}/{name}", doing).content)

    def cancel(self, batch_id: str) -> ApiBatch:
        """Ask a batch to end; one that is ending is answered as it is, so it is free to repeat."""
        path, doing = f"/batches/{_quote(batch_id)}/cancel", f"Cancelling {batch_id}"
        return self._persist(lambda: self._read(self._call("POST", path, doing), ApiBatch, doing))

    def retry(self, batch_id: str, classes: Sequence[str] | None, idempotency_key: str) -> ApiBatch:
        """Run the failed lines of an ended batch again. With the same key it is the same new batch, so it is free to repeat."""
        body = {"classes": list(classes)} if classes else {}
        headers = {"Idempotency-Key": idempotency_key}
        path, doing = f"/batches/{_quote(batch_id)}/retry", f"Running failed lines of {batch_id} again"
        return self._persist(lambda: self._read(self._call("POST", path, doing, json=body, headers=headers), ApiBatch, doing))

    def download_file(self, file_id: str, writer: ResultWriter, moved: Callable[[int], None]) -> None:
        """Stream a file; `moved` is told the bytes as they come."""
        self._download(f"/files/{_quote(file_id)}/content", f"Downloading {file_id}", writer, moved)

    def download_part(self, batch_id: str, part_id: str, writer: ResultWriter, moved: Callable[[int], None]) -> None:
        """Stream a finished part; `moved` is told the bytes as they come."""
        path = f"/batches/{_quote(batch_id)}/parts/{_quote(part_id)}"
        self._download(path, f"Downloading part {part_id} of {batch_id}", writer, moved)

    def _get(self, path: str, kind: type[T], doing: str, **query: Any) -> T:
        params = {name: value for name, value in query.items() if value is not None}
        return self._persist(lambda: self._read(self._call("GET", path, doing, params=params), kind, doing))

    def _persist(self, attempt: Callable[[], T], mark: Callable[[], int] = lambda: 0) -> T:
        """What an attempt answers. One that may work later is made again, as often as there are tries since `mark` last moved."""
        tries = 0
        while True:
            start = mark()
            try:
                return attempt()
            except UnavailableError as error:
                tries = 1 if mark() != start else tries + 1
                pause = error.after if error.after is not None else 2 ** (tries - 2) * random.uniform(1, 2)  # noqa: S311 - jitter
                if tries == TRIES or pause > LONGEST_PAUSE:
                    raise
                self._outside.wait(pause)

    def _call(self, method: str, path: str, doing: str, **content: Any) -> httpx.Response:
        with self._own_errors(f"{doing}: the API at {self._where}"):
            response = self._client.request(method, f"{self._base}{ROOT}{path}", **content)
        if response.status_code >= 400:
            raise self._refusal(response, doing)
        return response

    def _refusal(self, response: httpx.Response, doing: str) -> ApiCallError:
        status = response.status_code
        kind, advice = ERRORS.get(status, _FAILED if status >= 500 else _REFUSED)
        try:
            said = msgspec.json.decode(response.content, type=ErrorBody).error.message
        except (msgspec.DecodeError, UnicodeDecodeError):  # of a gateway in front of it
            said = httpx.codes.get_reason_phrase(status) or "an error"
        text = visible(said.replace(self._key, "<the key>"))[:_LONGEST_TEXT].rstrip(".")
        message = f"{doing}: the API at {self._where} answers {status}: {text}. {advice}".rstrip()
        if issubclass(kind, UnavailableError):
            after = response.headers.get("Retry-After", "")
            return kind(message, after=int(after) if after.isascii() and after.isdecimal() else None)
        return kind(message)

    def _read(self, response: httpx.Response, kind: type[T], doing: str) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = f"{doing}: {self._where} does not answer as Slacktide's API does. {URL_ADVICE}"
            raise ApiCallError(text) from None

    def _download(self, path: str, doing: str, writer: ResultWriter, moved: Callable[[int], None]) -> None:
        self._persist(lambda: self._stream(path, doing, writer, moved), lambda: writer.bytes)

    def _stream(self, path: str, doing: str, writer: ResultWriter, moved: Callable[[int], None]) -> None:
        """Go on with a download where it is: every attempt asks for an address of its own, since they are good for minutes."""
        address = self._locate(self._call("GET", path, doing), doing)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={writer.bytes}-"} if writer.bytes else {})
        with self._own_errors(f"{doing}: the storage"), self._storage.stream("GET", address, headers=headers) as response:
            if response.status_code >= 300:
                raise UnavailableError(f"{doing}: the storage answers {response.status_code}. Try again later.")
            begins_at = f"bytes {writer.bytes}-"
            if writer.bytes and not response.headers.get("Content-Range", "").startswith(begins_at):
                moved(-writer.bytes)
                writer.clear()
            for block in response.iter_raw():  # as they come: what is held back would be lost with the connection
                writer.write(block)
                moved(len(block))

    def _locate(self, response: httpx.Response, doing: str) -> httpx.URL:
        """Where a redirect leads; never to an unencrypted address from an encrypted one."""
        try:
            address = response.url.join(response.headers["Location"])
        except KeyError:
            raise ApiCallError(f"{doing}: {self._where} does not say where the content is. {URL_ADVICE}") from None
        if address.scheme not in {"https", self._base.scheme}:
            raise ApiCallError(f"{doing}: {self._where} leads to an address that is not encrypted; it is not followed.")
        return address

    @property
    def _where(self) -> str:
        return f"{self._base.scheme}://{self._base.netloc.decode()}"

    @contextmanager
    def _own_errors(self, subject: str) -> Generator[None]:
        """httpx's errors as ours. Their texts can quote addresses and headers, so they are left behind."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError):
            raise UnavailableError(f"{subject} cannot be reached. Is the address right, and is it up?") from None
        except httpx.TimeoutException:
            raise UnavailableError(f"{subject} does not answer in time. Try again later.") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL):
            raise UnavailableError(f"{subject} broke the connection off. Try again later.") from None


def _check_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text.strip().rstrip("/"))
    except httpx.InvalidURL:
        raise UsageError(f"The address of the API cannot be read. {URL_ADVICE}") from None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise UsageError(f"The address of the API is http:// or https://, a host, and perhaps a path. {URL_ADVICE}")
    return url


def _check_key(text: str) -> str:
    """The key; what no header can carry is refused here, since httpx would quote it."""
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError("SLACKTIDE_API_KEY holds no API key: one is slk_ and 60 characters, without spaces or quotation marks.")
    return key


def _quote(name: str) -> str:
    return quote(name, safe="")
