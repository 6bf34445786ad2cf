"""A hosted backend over the fake Together, or over answers that a test scripts, with a bucket and a clock of its own."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx

from fakes.clock import SettableClock
from fakes.s3 import FakeS3
from fakes.wire import Wire, refuse
from slacktide.backends.api_keys import ApiKey
from slacktide.backends.dialects import OPENAI, TOGETHER, Dialect
from slacktide.backends.hosted import HostedBatches
from slacktide.backends.protocol import Full, Rejected, Results, Submitted, Uploaded, Work
from slacktide.backends.spool import Spool
from slacktide.backends.upstream import Upstream
from slacktide.bucket import Bucket
from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.transport import FakeTransport

KEY = "key-canary-1"
BATCH = "batch_" + "a" * 26
CHAT = "/v1/chat/completions"
URLS = {TOGETHER.name: "https://api.together.ai/v1", OPENAI.name: "https://api.together.ai/openai/v1"}


@dataclass
class FakeSecrets:
    """Secrets Manager with one secret; `failures` are raised first."""

    text: str = KEY
    failures: list[str] = field(default_factory=list)
    reads: int = 0

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        assert SecretId == "arn:secret"
        self.reads += 1
        if self.failures:
            refuse(self.failures.pop(0), "GetSecretValue", "canary")
        return {"SecretString": self.text}


class Bench:
    """One backend and all that stands around it. `slept` are the pauses between tries, in seconds."""

    def __init__(self, dialect: Dialect = TOGETHER, transport: httpx.BaseTransport | None = None, **settings: Any) -> None:
        self.clock = SettableClock()
        self.s3 = FakeS3(Wire(), self.clock)
        self.bucket = Bucket(self.s3, "bucket")
        self.secrets = FakeSecrets()
        self.fake = FakeTogether(Settings(keys=(KEY,), **settings), clock=self.clock, seed=7)
        self.input: list[bytes] = []
        self.fetched: list[Results] = []
        self.slept: list[float] = []
        self.seconds = 0.0  # of the clock that only grows
        upstream = Upstream(
            dialect.name,
            URLS[dialect.name],
            ApiKey(lambda: self.secrets, "arn:secret"),
            transport or FakeTransport(self.fake, sleep=self.pass_time),
            self.sleep,
            lambda: self.seconds,
        )
        self.backend = HostedBatches(dialect, upstream, self.bucket, 10_000, self.clock)
        self.work = Work("slacktide-x-r1-j1-a1", "m", CHAT, "job/input/", "job/raw-1/", requests=6)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds

    def write_input(self, lines: int = 6, prompt: str = "hello") -> bytes:
        """Make the job's input; answers it as one text."""
        self.input = [request_line(number, f"{prompt} {number}") for number in range(1, lines + 1)]
        self.work = replace(self.work, last=lines)
        return b"".join(self.input)

    def send(self, work: Work | None = None) -> Uploaded | Full | Rejected:
        """Upload the job's input."""
        with spooled(self.input) as content:
            return self.backend.upload(work or self.work, content)

    def upload(self, lines: int = 6, prompt: str = "hello") -> Work:
        """The work after its upload."""
        self.write_input(lines, prompt)
        uploaded = self.send()
        assert isinstance(uploaded, Uploaded)
        return replace(self.work, file_id=uploaded.file_id)

    def start(self, *faults: dict[str, Any], lines: int = 6, prompt: str = "hello") -> Work:
        """The work after its creation; `faults` are of the batch."""
        work = self.upload(lines, prompt)
        self.fake.script(list(faults))
        submitted = self.backend.submit(work)
        assert isinstance(submitted, Submitted)
        return replace(work, upstream_id=submitted.upstream_id)

    def calls(self, call: str) -> int:
        """How often the fake was called, whatever it answered."""
        return self.fake.ledger.counts[call]

    def fetch(self, work: Work, is_late: Callable[[], bool] = lambda: False) -> bool:
        """Have the job's results, and keep them in `fetched`; False: they are to be asked for again."""
        self.fetched = []
        with self.backend.results(work, is_late) as results:
            for found in results or ():
                self.fetched.append(replace(found, lines=partial(list, list(found.lines()))))
            return results is not None

    @property
    def texts(self) -> list[bytes]:
        """All lines that were fetched, of results whose ranges and sizes are what they are said to be."""
        texts: list[bytes] = []
        before = 0
        for found in self.fetched:
            assert before < found.first <= found.last
            before = found.last
            texts += found.lines()
        return texts


@contextmanager
def spooled(lines: Iterable[bytes]) -> Iterator[Spool]:
    """Lines as the input of a job."""
    with Spool.temporary() as content:
        for line in lines:
            content.write(line)
        yield content


def request_line(number: int, prompt: str) -> bytes:
    """A line of a job's input."""
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    return json.dumps({"custom_id": f"{BATCH}.1.{number}", "body": body}).encode() + b"\n"


def numbers(texts: Iterable[bytes]) -> list[int]:
    """The line numbers of results; 0 for a line that stands for an unreadable one."""
    ids = [json.loads(text)["custom_id"] for text in texts]
    return [int(custom_id.rpartition(".")[2]) if custom_id else 0 for custom_id in ids]


def scripted(
    *answers: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response],
) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A transport that gives these answers one after the other, and the list of the requests that it gets."""
    seen: list[httpx.Request] = []
    waiting = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append(request)
        said = next(waiting)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, httpx.Response) else said(request)

    return httpx.MockTransport(answer), seen
