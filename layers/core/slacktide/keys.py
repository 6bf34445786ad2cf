"""Where things are kept in the bucket. Every key is made here."""

import hashlib
from dataclasses import dataclass

INPUT_PREFIX = "input/"
UPLOAD_PREFIX = "uploads/"
MODELS_KEY = "config/models.toml"  # rows laid over the shipped model table
CANCEL_SUFFIX = ".cancel"
PLAIN_SUFFIX = ".jsonl"
DROP_SUFFIXES = (PLAIN_SUFFIX, ".jsonl.gz", ".jsonl.zst")
MARKER_SUFFIXES = tuple(suffix + CANCEL_SUFFIX for suffix in DROP_SUFFIXES)
LONGEST_KEY = 1_024  # bytes (Amazon S3 User Guide, "Naming Amazon S3 objects")
LONGEST_PATH = 900  # bytes; to a key of ours come a prefix, a batch id and a file name


def input_path(key: str) -> str:
    """The path of an input below `output/`: its key below `input/`, or a hash where that is too long for a key of ours.

    That of an uploaded file is `uploads/<file id>`, whatever it consists of; a dropped one cannot be named so.
    """
    if key.startswith(UPLOAD_PREFIX):
        return "/".join(key.split("/")[:2])
    path = key.removeprefix(INPUT_PREFIX)
    encoded = path.encode()
    return path if len(encoded) <= LONGEST_PATH else f"_/{hashlib.sha256(encoded).hexdigest()}"


def cancel_marker(batch_id: str) -> str:
    """The key at which an empty object cancels one batch."""
    return f"{INPUT_PREFIX}{batch_id}{PLAIN_SUFFIX}{CANCEL_SUFFIX}"


def upload(file_id: str, name: str = "") -> str:
    """The key of an object of an uploaded file; without a name the prefix of all of them."""
    return f"{UPLOAD_PREFIX}{file_id}/{name}"


def upload_part(file_id: str, number: int) -> str:
    """The key of a numbered object of an uploaded file."""
    return upload(file_id, f"{number:06d}")


def latest(path: str) -> str:
    """The status of the newest batch of an input."""
    return f"output/{path}/latest.json"


@dataclass(frozen=True, slots=True)
class ResultKeys:
    """The keys of a batch's results, which its user reads."""

    path: str
    batch_id: str

    @property
    def prefix(self) -> str:
        return f"output/{self.path}/{self.batch_id}/"

    @property
    def output(self) -> str:
        return self.prefix + "output.jsonl"

    @property
    def errors(self) -> str:
        return self.prefix + "errors.jsonl"

    @property
    def receipt(self) -> str:
        return self.prefix + "receipt.json"

    @property
    def manifest(self) -> str:
        return self.prefix + "manifest.json"


@dataclass(frozen=True, slots=True)
class BatchKeys:
    """The keys of a batch's working data, which only Slacktide reads."""

    batch_id: str

    @property
    def prefix(self) -> str:
        return f"batches/{self.batch_id}/"

    @property
    def index(self) -> str:
        return self.prefix + "lines/index.json"

    @property
    def invalid(self) -> str:
        return self.prefix + "lines/invalid.bitmap"

    def requests(self, group: str, number: int) -> str:
        return f"{self.prefix}lines/{group}/{number:06d}.jsonl"

    def members(self, group: str) -> str:
        return f"{self.prefix}lines/{group}.bitmap"

    def custom_ids(self, number: int) -> str:
        return f"{self.prefix}lines/ids/{number:06d}.jsonl"

    def faults(self, kind: str, number: int) -> str:
        return f"{self.prefix}lines/faults-{kind}/{number:06d}.jsonl"

    def finished(self, job_id: str, number: int) -> str:
        """A collected part with the users' custom_ids, made when somebody asks for it before the end."""
        return f"{self.prefix}parts/{job_id}-{number:06d}.jsonl"

    def undone(self, round_number: int, plan: int) -> str:
        """The lines of a round. Each plan has its own, so that one that was overtaken spoils nothing; 0: of a former version."""
        return f"{self.prefix}rounds/{round_number}/undone{f'-{plan}' if plan else ''}.bitmap"

    def tail(self, name: str, size: int) -> str:
        return f"{self.prefix}assembly/{name}-{size:012d}.tail"

    def job(self, job_id: str) -> "JobKeys":
        round_number = job_id.partition("-")[0].removeprefix("r")
        return JobKeys(f"{self.prefix}rounds/{round_number}/{job_id}/")


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of one job. Nothing but the job's input lies below `input/`, since a backend reads the whole prefix."""

    prefix: str

    @property
    def input(self) -> str:
        return self.prefix + "input/"

    def input_object(self, first: int, last: int) -> str:
        return f"{self.input}{object_name(first, last)}"

    def raw(self, submission: int) -> str:
        """Where the backend writes; each submission has its own prefix, so a late writer spoils nothing."""
        return f"{self.prefix}raw-{submission}/"

    def collected(self, number: int) -> str:
        """The parts, numbered from 1: two of them may hold results of the same lines."""
        return f"{self.prefix}collected/{number:06d}.jsonl"

    @property
    def summary(self) -> str:
        return self.prefix + "collected/summary.json"

    def checkpoint(self, line: int) -> str:
        """What was collected up to `line`; each cursor has its own, so a step that is repeated finds its own beginning."""
        return f"{self.prefix}collected/summary-{line:09d}.json"

    @property
    def settled(self) -> str:
        return self.prefix + "collected/settled.bitmap"


def object_name(first: int, last: int) -> str:
    """The flat, sortable name of an object that holds requests from line `first` to line `last`."""
    return f"{first:09d}-{last:09d}.jsonl"


def line_range(name: str) -> tuple[int, int] | None:
    """The first and last line of an object named by `object_name`, whatever stands around it; None for another."""
    first, dash, rest = name.rpartition("/")[2].partition("-")
    last = rest.partition(".")[0]
    return (int(first), int(last)) if dash and first.isdigit() and last.isdigit() else None
