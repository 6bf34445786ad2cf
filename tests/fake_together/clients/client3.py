"""The official client 3.x, sync, async and its command `tg`, through the life of a batch. The key is in TOGETHER_API_KEY."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import together
from facts import Facts, Target, main, read_ids

CHAT = "/v1/chat/completions"


def check(target: Target, facts: Facts) -> None:
    """All three, one after the other."""
    check_sync(target, facts)
    asyncio.run(check_async(target, facts))
    check_command(target, facts)


def check_sync(target: Target, facts: Facts) -> None:
    """Upload, upload again, create, wait, download, delete."""
    client = together.Together(base_url=target.url)
    path = target.write("sync", "a", "b")
    file = client.files.upload(path, purpose="batch-api")
    facts.note("sync: the file has the size that was sent", assumed=path.stat().st_size, observed=file.bytes)
    again = client.files.upload(path, purpose="batch-api")
    facts.note("sync: equal content is the same file", assumed=file.id, observed=again.id)
    listed = [entry.id for entry in client.files.list().data]
    facts.note("sync: the file is listed", assumed=True, observed=file.id in listed)
    created = client.batches.create(endpoint=CHAT, input_file_id=file.id, completion_window="24h").job
    facts.note("sync: a new batch is being validated", assumed="VALIDATING", observed=created.status)
    facts.note("sync: the batch is listed", assumed=True, observed=created.id in [job.id for job in client.batches.list()])
    job = target.wait(lambda: client.batches.retrieve(created.id), lambda job: job.status)
    facts.note("sync: the batch is completed", assumed="COMPLETED", observed=job.status)
    facts.note("sync: progress ends at 100", assumed=100.0, observed=job.progress)
    output = client.files.content(job.output_file_id).read()
    facts.note("sync: the output has every line", assumed=["a", "b"], observed=read_ids(output))
    facts.note("sync: without errors there is no error file", assumed=None, observed=job.error_file_id)
    facts.note("sync: a file can be deleted", assumed=True, observed=client.files.delete(file.id).deleted)
    facts.note("sync: a deleted file is not found", assumed=404, observed=status_of(client.files.retrieve, file.id))
    facts.note("sync: an unknown batch is not found", assumed=404, observed=status_of(client.batches.retrieve, created.id[::-1]))


def status_of(call: Any, *arguments: str) -> int:
    """The HTTP status that a call fails with; 200 when it does not."""
    try:
        call(*arguments)
    except together.APIStatusError as error:
        return error.status_code
    return 200


async def check_async(target: Target, facts: Facts) -> None:
    """Upload, create, cancel."""
    async with together.AsyncTogether(base_url=target.url, max_retries=0) as client:
        file = await client.files.upload(target.write("async", "a"), purpose="batch-api", check=False)
        created = (await client.batches.create(endpoint=CHAT, input_file_id=file.id)).job
        assert created
        facts.note("async: the batch has the file's id", assumed=file.id, observed=created.input_file_id)
        cancelled = await client.batches.cancel(created.id)
        facts.note("async: cancel answers the job", assumed=created.id, observed=cancelled.id)
        ended = await asyncio.to_thread(
            target.wait, lambda: together.Together(base_url=target.url).batches.retrieve(created.id), lambda job: job.status
        )
        facts.note("async: a cancelled batch is cancelled", assumed="CANCELLED", observed=ended.status)


def check_command(target: Target, facts: Facts) -> None:
    """`tg --json`: submit a file, list, get, download."""
    path, folder = target.write("command", "a"), target.folder / "downloads"
    submitted = run_command(target, "batches", "submit", str(path), "chat.completions")["job"]
    facts.note("tg: submit answers the job", assumed=True, observed=bool(submitted["id"]))
    listed = run_command(target, "batches", "list")
    facts.note("tg: the batch is listed", assumed=True, observed=submitted["id"] in [job["id"] for job in listed])
    job = target.wait(lambda: run_command(target, "batches", "get", submitted["id"]), lambda job: job["status"])
    facts.note("tg: the batch is completed", assumed="COMPLETED", observed=job["status"])
    saved = run_command(target, "batches", "download", submitted["id"], "--output", str(folder / "output.jsonl"))["files"]
    facts.note("tg: download saves the output", assumed=["output"], observed=[file["kind"] for file in saved])
    facts.note("tg: the output has every line", assumed=["a"], observed=read_ids(Path(saved[0]["path"]).read_bytes()))


def run_command(target: Target, *arguments: str) -> Any:
    """What `tg --json` prints."""
    command = [str(Path(sys.executable).with_name("tg")), "--json", "--base-url", target.url, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main(check)
