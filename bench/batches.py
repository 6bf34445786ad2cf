"""One batch in a folder that stands for the bucket: validated, answered, collected and assembled, by the pipeline's own code."""
# pyright: reportMissingImports=false
# The fakes are those of the tests.

import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from bench.folder_s3 import FolderS3
from fakes.backend import FakeBackend
from fakes.messaging import FakeEvents
from fakes.table import FakeTable
from fakes.wire import Wire
from slacktide.assembly import Assembler
from slacktide.backends.protocol import stored_results
from slacktide.batch import Batch, Group, Job, LineIndex, ObjectRef, StatusChange
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.collection import Collection
from slacktide.ids import RequestId, job_id
from slacktide.line_store import Validation
from slacktide.models import shipped_models
from slacktide.notifications import Announcer
from slacktide.records import Records
from slacktide.routes import Routes
from slacktide.settings import Settings
from slacktide.statuses import BatchStatus, JobState

BATCH_ID = "batch_k5xq2mzt7vb4hn6jw3ryopdcfa"
DAY = 86_400
JOB_LINES = 10_000
SETTINGS = Settings(bucket="bench", table="bench", event_bus="bench")
SAID = "The order can be returned until the end of the month; the damaged parts are replaced without charge. " * 3


def make_answer(line: int) -> dict[str, Any]:
    """A chat completion of some 600 bytes, as an engine answers it."""
    message = {"role": "assistant", "content": f"{line}: {SAID[line % 97 :]}", "tool_calls": None}
    return {
        "id": f"chatcmpl-{line:032x}",
        "object": "chat.completion",
        "created": 1_790_000_000 + line,
        "model": "deepseek-ai/DeepSeek-V3",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 50 + line % 31, "completion_tokens": 60, "total_tokens": 110 + line % 31},
    }


@dataclass(frozen=True, slots=True)
class Store:
    """The bucket of one batch: objects are files below `root`. The object `input/file.jsonl` is its input."""

    root: Path
    s3: Any

    @classmethod
    @contextmanager
    def temporary(cls, path: Path) -> Generator[Self]:
        """A store beside an input file, which it reads where it lies; gone at the end."""
        with tempfile.TemporaryDirectory(dir=path.parent) as root:
            yield cls.of(Path(root), path)

    @classmethod
    def of(cls, root: Path, path: Path) -> Self:
        """A store of that input file."""
        (root / "input").mkdir(parents=True, exist_ok=True)
        (root / "input" / "file.jsonl").symlink_to(path.resolve())
        return cls(root, FolderS3(root))

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.s3, "bench")

    @property
    def batch(self) -> Batch:
        """The record of the batch; it is about to be assembled."""
        return Batch(
            batch_id=BATCH_ID,
            owner="drop",
            status=BatchStatus.FINALIZING,
            input=ObjectRef("bench", "input/file.jsonl", "1", 0),
            created_at=0,
            deadline=DAY,
            history=[StatusChange(BatchStatus.VALIDATING, 0), StatusChange(BatchStatus.FINALIZING, 0)],
            round=1,
        )

    def validate(self, blocks: Iterable[bytes] | None = None) -> LineIndex:
        """Scan the input and write its lines, as the function `validate` does; `blocks` are the input's, read already."""
        backend = FakeBackend(Wire(), self.bucket)
        routes = Routes(shipped_models(), {"together": backend, "sagemaker": backend})
        index = Validation(self.bucket, routes, self.batch).run(blocks)
        self.bucket.write_json(self.batch.keys.index, index)
        return index

    def answer(self, make: Callable[[int], dict[str, Any]] = make_answer) -> None:
        """Make jobs of all valid lines, and let a backend answer each with what `make` says: one object for each job."""
        index = self.bucket.read_json(self.batch.keys.index, LineIndex)
        jobs = list(self._jobs(index))
        for job in jobs:
            text = b"".join(_result(line, make) for line in self._lines(job, index.total))
            self.bucket.write(answers_key(job), text)
        self._jobs_file.write_bytes(msgspec.json.encode(jobs))

    def collect(self) -> None:
        """Collect what the backend answered, one job after the other, as the function `collect` does."""
        total = self.bucket.read_json(self.batch.keys.index, LineIndex).total
        for job in self.read_jobs():
            collection = Collection(self.bucket, job, self._lines(job, total))
            key = answers_key(job)
            size = (self.root / key).stat().st_size
            answers = stored_results(self.bucket, key, size, job.first, job.last)
            collection.run(iter([answers]), after=0, is_late=lambda: False)
            self.bucket.write_json(job.keys.summary, collection.finish()[0])

    def read_jobs(self) -> list[Job]:
        """The jobs of the batch, all of them settled."""
        return msgspec.json.decode(self._jobs_file.read_bytes(), type=list[Job])

    def assemble(self) -> int:
        """Build the results from what was collected, in one invocation, and start with none; answers the lines of both files."""
        shutil.rmtree(self.root / "output", ignore_errors=True)
        records = Records(FakeTable(Wire()))
        records.create_batch(self.batch)
        for job in self.read_jobs():
            records.put_job(job)
        announcer = Announcer(FakeEvents(Wire()), "bench", self.bucket, records, lambda: 1)
        assembler = Assembler(self.bucket, records, announcer, SETTINGS, lambda: 1)
        loop = assembler.assemble(BATCH_ID, cursor=None, is_late=lambda: False)
        if not loop.done:
            raise RuntimeError("the results were not built in one invocation")
        return records.get_batch(BATCH_ID).total

    @property
    def _jobs_file(self) -> Path:
        return self.root / "jobs.json"

    def _jobs(self, index: LineIndex) -> Iterator[Job]:
        number = 0
        for group in index.groups:
            members = list(Bitmap(index.total, self.bucket.read(self.batch.keys.members(group.group))))
            for start in range(0, len(members), JOB_LINES):
                number += 1
                yield _job(group, job_id(1, number), members[start : start + JOB_LINES])

    def _lines(self, job: Job, total: int) -> Bitmap:
        members = Bitmap(total, self.bucket.read(self.batch.keys.members(job.group)))
        return members.between(job.first, job.last)


def answers_key(job: Job) -> str:
    """Where the backend writes what it answers to a job."""
    return job.keys.raw(1) + "results.jsonl"


def _job(group: Group, name: str, lines: list[int]) -> Job:
    return Job(
        batch_id=BATCH_ID,
        job_id=name,
        round=1,
        backend="together",
        model=group.model,
        upstream_model=group.model,
        endpoint=group.endpoint,
        group=group.group,
        first=lines[0],
        last=lines[-1],
        total=len(lines),
        created_at=0,
        state=JobState.SETTLED,
        submission=1,
    )


def _result(line: int, make: Callable[[int], dict[str, Any]]) -> bytes:
    response = {"status_code": 200, "request_id": f"upstream-{line}", "body": make(line)}
    return json.dumps({"custom_id": str(RequestId(BATCH_ID, 1, line)), "response": response, "error": None}).encode() + b"\n"
