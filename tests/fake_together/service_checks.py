"""What is not known of the real service, as questions: what the fake assumes, and a way to ask it. A batch is a line or two."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from clients.facts import Facts, Target, read_ids

CHAT = "/v1/chat/completions"
NO_MODEL = "slacktide/no-such-model"


@dataclass
class Visit:
    """One conversation with a service: its client, and what was made there."""

    http: httpx.Client
    target: Target
    seen: dict[str, Any] = field(default_factory=dict[str, Any])

    def upload(self, content: bytes) -> str:
        """The documented upload by form; the file's id."""
        form = {"purpose": "batch-api", "file_name": "checks.jsonl"}
        answer = self.http.post("/files/upload", data=form, files={"file": ("checks.jsonl", content)})
        answer.raise_for_status()
        return answer.json()["id"]

    def create(self, file_id: str) -> httpx.Response:
        return self.http.post("/batches", json={"endpoint": CHAT, "input_file_id": file_id})

    def run(self, content: bytes) -> dict[str, Any]:
        """A batch, ended or given up waiting for."""
        job = self.create(self.upload(content)).raise_for_status().json()["job"]
        return self.target.wait(lambda: self.http.get(f"/batches/{job['id']}").json(), lambda job: job.get("status"))

    def read(self, file_id: str | None) -> bytes:
        return self.http.get(f"/files/{file_id}/content", follow_redirects=True).content if file_id else b""

    @property
    def mixed(self) -> dict[str, Any]:
        """A batch of two lines, of which one names no model that there is."""
        if "mixed" not in self.seen:
            good, bad = self.target.write("good", "good"), self.target.write("bad", "bad", model=NO_MODEL)
            self.seen["mixed"] = self.run(good.read_bytes() + bad.read_bytes())
        return self.seen["mixed"]

    @property
    def known(self) -> tuple[str, bytes]:
        """A file that is there already."""
        if "known" not in self.seen:
            content = self.target.write("known", "a").read_bytes()
            self.seen["known"] = (self.upload(content), content)
        return self.seen["known"]


def describe_error(answer: httpx.Response) -> str:
    """Status and shape of a refusal."""
    error = answer.json().get("error")
    return f"{answer.status_code}, error is {type(error).__name__}"


def ask_unknown_batch(visit: Visit) -> str:
    return describe_error(visit.http.get("/batches/00000000-0000-4000-8000-000000000000"))


def ask_wrong_key(visit: Visit) -> str:
    return describe_error(visit.http.get("/batches", headers={"Authorization": "Bearer wrong"}))


def ask_unknown_file(visit: Visit) -> str:
    answer = visit.create("file-00000000-0000-4000-8000-000000000000")
    if answer.status_code != 201:
        return str(answer.status_code)
    job = visit.target.wait(
        lambda: visit.http.get(f"/batches/{answer.json()['job']['id']}").json(), lambda job: job.get("status")
    )
    return f"201, then {job['status']}"


def ask_equal_form_upload(visit: Visit) -> str:
    file_id, content = visit.known
    return "the same file" if visit.upload(content) == file_id else "another file"


def ask_known_checksum(visit: Visit) -> str:
    file_id, content = visit.known
    form = {
        "purpose": "batch-api",
        "file_name": "checks.jsonl",
        "file_type": "jsonl",
        "checksum": hashlib.sha256(content).hexdigest(),
    }
    answer = visit.http.post("/files", data=form, follow_redirects=False)
    return f"{answer.status_code}, {'its id' if answer.json().get('file_id') == file_id else 'no id'}"


def ask_signed_put(visit: Visit) -> str:
    content = visit.target.write("signed", "a").read_bytes()
    form = {
        "purpose": "batch-api",
        "file_name": "checks.jsonl",
        "file_type": "jsonl",
        "checksum": hashlib.sha256(content).hexdigest(),
    }
    location = visit.http.post("/files", data=form, follow_redirects=False).headers["location"]
    # The storage is another party's: it gets no real key.
    answer = visit.http.put(location, content=content, headers={"Authorization": "Bearer none"})
    return "refused" if answer.is_error else "taken"


def ask_ranges(visit: Visit) -> str:
    file_id, _ = visit.known
    answer = visit.http.get(f"/files/{file_id}/content", headers={"Range": "bytes=2-5"}, follow_redirects=True)
    return f"{answer.status_code}, {len(answer.content)} bytes"


def ask_malformed(visit: Visit) -> str:
    job = visit.run(visit.target.write("malformed", "a").read_bytes() + b"{not JSON\n")
    has_files = job.get("output_file_id") or job.get("error_file_id")
    return f"{job['status']}, {'with' if job.get('error') else 'without'} a text, {'with' if has_files else 'without'} files"


def ask_repeated_id(visit: Visit) -> str:
    return visit.run(visit.target.write("repeated", "a", "a").read_bytes())["status"]


def ask_mixed_status(visit: Visit) -> str:
    return visit.mixed["status"]


def ask_output_lines(visit: Visit) -> str:
    lines = [json.loads(line) for line in visit.read(visit.mixed.get("output_file_id")).splitlines()]
    return ", ".join(sorted(lines[0])) if len(lines) == 1 else f"{len(lines)} lines"


def ask_error_lines(visit: Visit) -> str:
    content = visit.read(visit.mixed.get("error_file_id"))
    lines = [json.loads(line) for line in content.splitlines()]
    return f"{read_ids(content)}: {', '.join(sorted(lines[0]))}" if lines else "no lines"


def ask_null_members(visit: Visit) -> str:
    job = visit.create(visit.known[0]).json()["job"]
    visit.http.post(f"/batches/{job['id']}/cancel")
    return "null" if "output_file_id" in job else "left out"


def ask_ended_cancel(visit: Visit) -> str:
    return describe_error(visit.http.post(f"/batches/{visit.mixed['id']}/cancel"))


def ask_used_input(visit: Visit) -> str:
    answer = visit.http.get(f"/files/{visit.mixed['input_file_id']}")
    return "still there" if answer.is_success else str(answer.status_code)


def ask_list(visit: Visit) -> str:
    jobs = visit.http.get("/batches").json()
    times = [job["created_at"] for job in jobs]
    return f"{type(jobs).__name__}, {'the newest first' if times == sorted(times, reverse=True) else 'another order'}"


def ask_redirect(visit: Visit) -> str:
    return str(visit.http.get(f"/files/{visit.known[0]}/content", follow_redirects=False).status_code)


@dataclass(frozen=True)
class Question:
    """Something that only the real service knows."""

    name: str
    assumed: str
    ask: Callable[[Visit], str]


QUESTIONS = [
    Question("an unknown batch id", "404, error is dict", ask_unknown_batch),
    Question("a wrong key", "401, error is dict", ask_wrong_key),
    Question("create with an unknown file id", "201, then FAILED", ask_unknown_file),
    Question("a second upload of equal content by form", "the same file", ask_equal_form_upload),
    Question("a second upload of equal content by checksum", "409, its id", ask_known_checksum),
    Question("a presigned PUT with a key", "refused", ask_signed_put),
    Question("a range of a file's content", "206, 4 bytes", ask_ranges),
    Question("the content of a file", "200", ask_redirect),
    Question("a malformed line", "FAILED, with a text, without files", ask_malformed),
    Question("a repeated custom_id", "FAILED", ask_repeated_id),
    Question("a line that fails", "COMPLETED", ask_mixed_status),
    Question("the members of an output line", "custom_id, id, response", ask_output_lines),
    Question("the members of an error line", "['bad']: custom_id, error", ask_error_lines),
    Question("members of a job that have no value yet", "left out", ask_null_members),
    Question("cancel of a batch that has ended", "409, error is dict", ask_ended_cancel),
    Question("the input file of a batch that has ended", "still there", ask_used_input),
    Question("the list of batches", "list, the newest first", ask_list),
]


def check_service(http: httpx.Client, target: Target, facts: Facts) -> None:
    """Ask every question. An answer that cannot be read is an answer too."""
    visit = Visit(http, target)
    for question in QUESTIONS:
        try:
            observed = question.ask(visit)
        except (httpx.HTTPError, ValueError, KeyError, AttributeError) as error:
            observed = f"{type(error).__name__}"
        facts.note(question.name, assumed=question.assumed, observed=observed)
