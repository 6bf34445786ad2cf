"""Every verb of the command line, as its own process, against the deployed stack: the real API, table, storage and redirects."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.stack import Stack, check_digest, eventually, jsonl, request, requests

SLACKTIDE = Path(sys.executable).with_name("slacktide")
PATIENCE = 120  # seconds for one call
API_VARIABLES = {"SLACKTIDE_API_URL", "SLACKTIDE_API_KEY"}
AWS_VARIABLES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "SLACKTIDE_BUCKET", "SLACKTIDE_TABLE"}


@dataclass(frozen=True)
class Said:
    """What a call has said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """`slacktide` in a folder of its own, with these variables and no others."""

    folder: Path
    environment: Mapping[str, str]

    def call(self, *arguments: str, code: int = 0, **variables: str) -> Said:
        """Run it; its exit code is `code`, and neither key nor presigned URL is in what it says."""
        done = subprocess.run(
            [str(SLACKTIDE), *arguments],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert said.code == code, said
        assert "Traceback" not in said.err, said
        if "create" not in arguments:
            assert "slk_" not in said.out + said.err
        assert "X-Amz-" not in said.out + said.err
        return said

    def without_aws(self, **variables: str) -> "CommandLine":
        """The same for somebody who has a key of the API, and nothing else."""
        kept = {name: value for name, value in self.environment.items() if name not in AWS_VARIABLES}
        return CommandLine(self.folder, {**kept, **variables})

    def without_api(self) -> "CommandLine":
        """The same for somebody who has AWS credentials alone."""
        kept = {name: value for name, value in self.environment.items() if name not in API_VARIABLES}
        return CommandLine(self.folder, kept)


@pytest.fixture
def operator(stack: Stack, tmp_path: Path) -> CommandLine:
    """Somebody with the stack's variables."""
    return CommandLine(tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **stack.cloud.environment})


@pytest.fixture
def user(operator: CommandLine) -> CommandLine:
    """Somebody with the address and the key of the API."""
    return operator.without_aws()


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return name


def create(user: CommandLine, content: bytes) -> str:
    """A batch of an uploaded file, by the API; answers its id."""
    headers = {"Authorization": f"Bearer {user.environment['SLACKTIDE_API_KEY']}"}
    with httpx.Client(base_url=f"{user.environment['SLACKTIDE_API_URL']}/openai/v1", headers=headers, timeout=60) as http:
        file = http.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", content)}).json()
        return http.post("/batches", json={"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}).json()["id"]


def test_a_batch_from_its_drop_to_its_retry(stack: Stack, operator: CommandLine, user: CommandLine) -> None:
    """Every verb about batches, on one that ends with errors."""
    lines = [request(f"r{number}", "[[status 400]] no" if number % 3 == 0 else f"hello {number}") for number in range(1, 10)]
    name = write(operator.folder, "story.jsonl", jsonl([*lines, "rubbish"]))
    ran = operator.call("run", name, "--out", "ran", "--json").document
    batch_id = ran["batch_id"]
    assert (ran["ok"], ran["counts"]) == (True, {"total": 10, "completed": 6, "failed": 4})

    (listed,) = [one for one in user.call("ls", "--json").document["batches"] if one["id"] == batch_id]
    assert (listed["status"], listed["input_file_name"]) == ("completed", "story.jsonl")
    assert batch_id in user.call("ls").out
    assert f"{batch_id}_output.jsonl" in user.call("ls", "--files").out

    known = user.call("get", batch_id, "--json").document
    assert known["batch"]["output_file_id"]
    assert known["receipt"] == json.loads((operator.folder / "ran" / "receipt.json").read_bytes())
    assert "story.jsonl" in user.call("get", batch_id).out

    user.call("download", batch_id, "--out", "downloaded")
    for file in ("output.jsonl", "errors.jsonl", "receipt.json", "manifest.json"):
        assert (operator.folder / "downloaded" / file).read_bytes() == (operator.folder / "ran" / file).read_bytes(), file
    manifest = stack.results(stack.batch(batch_id)).manifest
    check_digest((operator.folder / "downloaded" / "output.jsonl").read_bytes(), manifest["output"])

    again = user.call("retry", batch_id, "--class", "rejected")
    new_id = again.out.removesuffix("\n")
    assert user.call("retry", batch_id, "--class", "rejected").out == again.out, "the same command is the same batch"
    ended = user.call("watch", new_id, "--json").document
    assert (ended["batch"]["retry_of"], ended["batch"]["request_counts"]["total"]) == (batch_id, 3)
    assert user.call("watch", new_id).code == 0, "of a batch that has ended too"


def test_a_batch_that_runs_is_followed_left_and_cancelled(stack: Stack, operator: CommandLine, user: CommandLine) -> None:
    """Ctrl-C leaves it; cancel ends it; and the exit code of watch tells."""
    key = stack.drop("long.jsonl", jsonl(requests(40, "[[delay 300]] slow")))
    (batch_id,) = stack.wait_for_batch(key)
    refused = user.call("download", batch_id, code=1)
    assert "--parts" in refused.err
    assert user.call("get", batch_id, "--json").document["receipt"] is None

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([str(SLACKTIDE), "watch", batch_id], cwd=user.folder, env=user.environment, **pipes) as following:
        assert following.stdout is not None
        assert following.stdout.readline().startswith(batch_id)
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=PATIENCE)
    assert following.returncode == 130
    assert "goes on without you" in err
    assert not stack.batch(batch_id).status.is_final

    marker = operator.without_api().call("cancel", batch_id, "--json").document["marker"]
    assert marker.endswith(f"{batch_id}.jsonl.cancel")
    watched = user.call("watch", batch_id, "--json", code=1).document
    assert (watched["ok"], watched["batch"]["status"]) == (False, "cancelled")
    user.call("download", batch_id, "--out", "cancelled")
    errors = (operator.folder / "cancelled" / "errors.jsonl").read_bytes()
    assert b"batch_cancelled" in errors


def test_a_batch_of_the_api_is_cancelled_by_its_owner_alone(stack: Stack, operator: CommandLine) -> None:
    """By the bucket nothing happens to it, and another owner's key does not see it."""
    owner, other = (
        operator.without_aws(SLACKTIDE_API_KEY=operator.call("keys", "create", name, "--requests-per-second", "0").out.strip())
        for name in ("canceller", "somebody-else")
    )
    batch_id = create(owner, jsonl(requests(40, "[[delay 300]] slow")))
    said = operator.without_api().call("cancel", batch_id)
    assert "SLACKTIDE_API_KEY" in said.out
    assert "404" in other.call("cancel", batch_id, code=1).err
    key = stack.drop("later.jsonl", jsonl(requests(1)))  # by its end the marker has been looked at too
    stack.wait_for_end(stack.wait_for_batch(key)[-1])
    assert not stack.batch(batch_id).is_cancelling

    assert owner.call("cancel", batch_id, "--json").document["batch"]["status"] == "cancelling"
    watched = owner.call("watch", batch_id, "--json", code=1).document
    assert watched["batch"]["status"] == "cancelled"
    assert "has ended" in owner.call("cancel", batch_id, code=1).err


def test_finished_parts_come_before_the_end(stack: Stack, user: CommandLine) -> None:
    """The first job has ended, the second one waits: what is downloaded then is what the output file has in the end."""
    other = {"body": {"model": "smollm2", "prompt": "[[delay 4]] slow"}, "url": "/v1/completions"}
    lines = [*requests(3), *({"custom_id": f"c{number}", **other} for number in range(20))]
    (batch_id,) = stack.wait_for_batch(stack.drop("parts.jsonl", jsonl(lines)))

    def fetch() -> list[dict[str, Any]]:
        return user.call("download", batch_id, "--parts", "--out", "early", "--json").document["parts"]

    parts = eventually(fetch, what="a finished part")
    assert not stack.batch(batch_id).status.is_final
    early = b"".join((user.folder / part["path"]).read_bytes() for part in parts)
    assert early.count(b"\n") >= 3
    stack.wait_for_end(batch_id)
    user.call("download", batch_id, "--out", "late")
    late = (user.folder / "late" / "output.jsonl").read_bytes().splitlines()
    assert set(early.splitlines()) <= set(late)


def test_keys_are_made_used_and_revoked(stack: Stack, operator: CommandLine) -> None:
    """A new owner sees nothing of others; a revoked key is unknown."""
    batch, _ = stack.run("of-others.jsonl", jsonl(requests(1)))
    key = operator.call("keys", "create", "newcomer", "--requests-per-second", "0").out.strip()
    newcomer = operator.without_aws(SLACKTIDE_API_KEY=key)
    assert newcomer.call("ls", "--json").document == {"batches": [], "has_more": False, "v": 1}
    for verb in ("get", "watch", "download", "retry"):
        refused = newcomer.call(verb, batch.batch_id, code=1)
        assert "404" in refused.err
        assert refused.out == ""
    assert "newcomer" in operator.call("keys", "list").out
    assert operator.call("keys", "create", "newcomer", code=1).out == ""
    operator.call("keys", "revoke", "newcomer")
    assert "keys create NAME" in newcomer.call("ls", code=1).err


def test_a_key_that_calls_too_often_waits_as_it_is_told_to(operator: CommandLine) -> None:
    """One call a second is ten in a window: when they are used up, the verb comes again in the next one."""
    key = operator.call("keys", "create", "slow", "--requests-per-second", "1", "--json").document["key"]
    address, headers = f"{operator.environment['SLACKTIDE_API_URL']}/openai/v1/batches", {"Authorization": f"Bearer {key}"}
    answers = (httpx.get(address, headers=headers) for _ in range(100))
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    operator.without_aws(SLACKTIDE_API_KEY=key).call("ls")


def test_the_verbs_that_need_no_cloud(user: CommandLine) -> None:
    name = write(user.folder, "good.jsonl", jsonl(requests(2)))
    assert user.call("validate", name, "--json").document["ok"] is True
    assert json.loads(user.call("models", "--json").out)
    assert "cannot be reached" in user.call("ls", code=1, SLACKTIDE_API_URL="http://127.0.0.1:9").err
