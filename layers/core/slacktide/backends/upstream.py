"""The HTTP side of a hosted backend: its client, time-outs, the key in the header, and the one small policy of retries.

Nothing that an upstream says (ids, texts, addresses) gets into a log or an exception: only our own words and the HTTP status.
"""

import logging
import random
import re
import ssl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx
import msgspec

from slacktide import __version__
from slacktide.backends.api_keys import ApiKey
from slacktide.errors import ApiKeyError, NoAnswerError, NotSentError
from slacktide.log import logger

USER_AGENT = f"slacktide/{__version__}"
PLAIN_HEADERS = {"User-Agent": USER_AGENT}  # for whoever is not to see the key
CONNECT_SECONDS = 5
SILENCE_SECONDS = 20  # without a byte from the other side, or to it
CREATE_SILENCE_SECONDS = 45  # a create is waited for longer: giving up on it costs a settle window
# The longest create: 5 s to connect, 45 s to the head of the answer, 15 s of body, 45 s of silence; and once more after a 401.
CREATE_SECONDS = 2 * (CONNECT_SECONDS + 2 * CREATE_SILENCE_SECONDS + 15)
TRIES = 3  # of a call or a download that is free to repeat
LONGEST_PAUSE = 10  # seconds between two tries; whoever asks for more is come back to by the state machine
LONGEST_RETRY_AFTER = 3_600  # seconds; who sleeps for longer does not see that its batch was cancelled
MOST_REDIRECTS = 3
LONGEST_ANSWER = 64_000_000  # bytes; a list of 100,000 batches has less
BLOCK = 1 << 16  # bytes

_DIGITS = re.compile(r"[0-9]{1,9}")  # not str.isdigit, to which a superscript is a digit

Build = Callable[[httpx.Client], httpx.Request]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried: how often; the seconds after which it is neither tried again nor its answer read further; and
    the seconds without a byte from the other side, or to it.
    """

    tries: int
    seconds: float
    silence: float


CALL = Patience(TRIES, 60, SILENCE_SECONDS)  # free to repeat
ASK = Patience(1, 60, SILENCE_SECONDS)  # whoever asks comes again anyway
CREATE = Patience(1, CREATE_SECONDS / 2 - CREATE_SILENCE_SECONDS, CREATE_SILENCE_SECONDS)  # costs money: never sent again


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came whole. Printing it shows the status alone."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Whether the same call may go well later: overload, time-outs and faults of the server."""
        return self.status in {408, 425, 429} or self.status >= 500

    @property
    def wait_seconds(self) -> int | None:
        """The Retry-After of the answer (RFC 9110, 10.2.3: seconds or a date), an hour at most; None without a readable one."""
        return _read_retry_after(self.headers.get("Retry-After", ""))

    def json(self) -> Any:
        """The body as JSON; None when it is something else, as the HTML page of a gateway."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server of the Batch API. `transport`, `sleep` and `clock` (seconds that only grow) are for tests."""

    name: str
    base_url: str
    key: ApiKey
    transport: httpx.BaseTransport | None = field(default=None, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def call(self, method: str, path: str, label: str, patience: Patience = CALL, **content: Any) -> Answer:
        """A call with the key; a key that is refused is read anew, once: the call was not accepted.

        Raises NotSentError when nothing was sent by the last try, NoAnswerError when it got no whole answer.
        """

        def build(client: httpx.Client) -> httpx.Request:
            return client.build_request(method, self._url(path), headers=self._headers(), **content)

        answer = self._attempt(build, label, patience)
        if answer.status != 401:
            return answer
        self.key.forget()
        return self._attempt(build, label, patience)

    def put(self, url: str, label: str, patience: Patience, content: Callable[[], Any]) -> Answer:
        """A PUT to an address that the upstream gave; it carries no key. `content` makes the body anew for every try."""

        def build(client: httpx.Client) -> httpx.Request:
            return client.build_request("PUT", url, headers=PLAIN_HEADERS, content=content())

        return self._attempt(build, label, patience)

    @contextmanager
    def download(self, path: str, start: int) -> Generator[httpx.Response]:
        """An open answer to a GET from byte `start` on. A redirect leads to storage, which is asked without the key.

        Raises NotSentError or NoAnswerError, from within the block too.
        """
        extra = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with self._client(SILENCE_SECONDS) as client, self._own_errors():
            response = self._open(client, self._url(path), self._headers() | extra)
            if response.status_code == 401:
                response.close()
                self.key.forget()
                response = self._open(client, self._url(path), self._headers() | extra)
            for _ in range(MOST_REDIRECTS):
                if not response.has_redirect_location:
                    break
                response.close()
                response = self._open(client, self._target(response), PLAIN_HEADERS | extra)
            try:
                self._note("download", response.status_code)
                yield response
            finally:
                response.close()

    def is_safe(self, address: str) -> bool:
        """Whether an address that the upstream named may be used: encrypted, unless its API itself is not, as a test server's."""
        return address.startswith("https://") or (address.startswith("http://") and self.base_url.startswith("http://"))

    def _open(self, client: httpx.Client, address: str, headers: dict[str, str]) -> httpx.Response:
        return client.send(client.build_request("GET", address, headers=headers), stream=True)

    def _target(self, response: httpx.Response) -> str:
        address = str(response.url.join(response.headers["Location"]))
        if not self.is_safe(address):
            raise NoAnswerError(f"{self.name} leads to an address that is not encrypted.")
        return address

    def _attempt(self, build: Build, label: str, patience: Patience) -> Answer:
        """Up to `tries` requests, with pauses as the upstream asks for or growing ones."""
        ends_at = self.clock() + patience.seconds
        number = 1
        while True:
            try:
                answer = self._request(build, label, ends_at, patience.silence)
            except ApiKeyError:
                raise
            except (NotSentError, NoAnswerError):
                if number == patience.tries or not self._pause(None, number, ends_at):
                    raise
            else:
                if not answer.may_pass or number == patience.tries or not self._pause(answer.wait_seconds, number, ends_at):
                    return answer
            number += 1

    def _request(self, build: Build, label: str, ends_at: float, silence: float) -> Answer:
        with self._client(silence) as client, self._own_errors():
            response = client.send(build(client), stream=True)
            try:
                body = self._read(response, ends_at)
            finally:
                response.close()
        self._note(label, response.status_code)
        return Answer(response.status_code, response.headers, body)

    def _read(self, response: httpx.Response, ends_at: float) -> bytes:
        blocks: list[bytes] = []
        size = 0
        for block in response.iter_bytes(BLOCK):
            blocks.append(block)
            size += len(block)
            if size > LONGEST_ANSWER or self.clock() > ends_at:
                raise NoAnswerError(f"{self.name} answers without end.")
        return b"".join(blocks)

    def _pause(self, wanted: int | None, number: int, ends_at: float) -> bool:
        """Wait before another try; False when there is no time for it."""
        seconds = wanted if wanted is not None else 2 ** (number - 1) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        if seconds > LONGEST_PAUSE or self.clock() + seconds >= ends_at:
            return False
        self.sleep(seconds)
        return True

    def _client(self, silence: float) -> httpx.Client:
        """A client of one use: a connection left open over a frozen container would make outcomes unknown for nothing."""
        for chatty in ("httpx", "httpcore"):  # they log addresses and, at DEBUG, headers
            logging.getLogger(chatty).setLevel(logging.WARNING)
        return httpx.Client(
            verify=_trust(),
            transport=self.transport,
            timeout=httpx.Timeout(silence, connect=CONNECT_SECONDS),
            follow_redirects=False,
        )

    @contextmanager
    def _own_errors(self) -> Generator[None]:
        """httpx's errors as ours. Their texts can quote what the upstream sent, so they are left behind."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError):
            raise NotSentError(f"{self.name} cannot be reached.") from None
        except httpx.InvalidURL:
            raise NoAnswerError(f"{self.name} named an address that is none.") from None
        except (httpx.TimeoutException, TimeoutError):
            raise NoAnswerError(f"{self.name} did not answer in time.") from None
        except (httpx.HTTPError, httpx.StreamError):
            raise NoAnswerError(f"{self.name} broke the connection off.") from None

    def _note(self, label: str, status: int) -> None:
        if status >= 400:
            logger.warning("upstream_refused", backend=self.name, call=label, status=status)

    def _url(self, path: str) -> str:
        return self.base_url.rstrip("/") + path

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key.read()}", **PLAIN_HEADERS, "Accept": "application/json"}


@cache
def _trust() -> ssl.SSLContext:
    """Made once, since it takes longer than a call."""
    return httpx.create_ssl_context()


def _read_retry_after(text: str) -> int | None:
    if _DIGITS.fullmatch(text.strip()):
        return min(LONGEST_RETRY_AFTER, int(text))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(LONGEST_RETRY_AFTER, max(0, round((until - datetime.now(UTC)).total_seconds())))
