"""The official client of Together 3.x, sync and async: every call of files and batches. The key is in TOGETHER_API_KEY."""

import asyncio
from typing import Any

import together
from facts import Facts, Target, main, read_ids
from inputs import ENDPOINT, HANG, write_input


def check(target: Target, facts: Facts) -> None:
    """Both."""
    check_sync(target, facts)
    asyncio.run(check_async(target, facts))


def check_sync(target: Target, facts: Facts) -> None:
    """Upload, look, create, wait, download, delete; with the client's own check of the file."""
    client = together.Together(base_url=target.url)
    path = write_input(target, "sync", "one", "[[status 400]]")
    file = client.files.upload(path, purpose="batch-api")
    facts.note("sync: the file has its size", assumed=path.stat().st_size, observed=file.bytes)
    facts.note("sync: the file is of JSON lines", assumed="jsonl", observed=file.file_type)
    facts.note("sync: the file is found", assumed=path.name, observed=client.files.retrieve(file.id).filename)
    facts.note("sync: its content is as it was", assumed=path.read_bytes(), observed=client.files.content(file.id).read())
    again = client.files.upload(path, purpose="batch-api")
    facts.note("sync: each upload is a file of its own", assumed=True, observed=again.id != file.id)
    new = {"endpoint": ENDPOINT, "completion_window": "24h", "model_id": target.model}
    created = client.batches.create(input_file_id=file.id, **new).job
    facts.note("sync: a new batch is being validated", assumed="VALIDATING", observed=created.status)
    facts.note("sync: the batch is listed", assumed=created.id, observed=client.batches.list()[0].id)
    facts.note("sync: a file in use stays", assumed=400, observed=status_of(client.files.delete, file.id))
    job = target.wait(lambda: client.batches.retrieve(created.id), lambda job: job.status)
    facts.note("sync: the batch is completed", assumed="COMPLETED", observed=job.status)
    facts.note("sync: the model is named", assumed="HuggingFaceTB/SmolLM2-135M-Instruct", observed=job.x_model_id)
    facts.note("sync: times are read", assumed=True, observed=job.created_at <= job.completed_at <= job.job_deadline)
    output, errors = (client.files.content(file_id).read() for file_id in (job.output_file_id, job.error_file_id))
    facts.note("sync: output and errors", assumed=[["r1"], ["r2"]], observed=[read_ids(output), read_ids(errors)])
    facts.note("sync: an ended batch cannot be cancelled", assumed=400, observed=status_of(client.batches.cancel, job.id))
    listed = [entry.id for entry in client.files.list().data]
    known = {file.id, again.id, job.output_file_id, job.error_file_id}
    facts.note("sync: all files are listed", assumed=True, observed=known <= set(listed))
    for file_id in known:
        facts.note(f"sync: a file can be deleted {len(facts.rows)}", assumed=True, observed=client.files.delete(file_id).deleted)
    facts.note("sync: a deleted file is not found", assumed=404, observed=status_of(client.files.retrieve, file.id))
    facts.note("sync: nor is its content", assumed=404, observed=status_of(client.files.content, job.output_file_id))
    unknown = status_of(lambda: client.batches.create(endpoint=ENDPOINT, input_file_id=file.id))
    facts.note("sync: nor can it be run", assumed=404, observed=unknown)
    gone = client.batches.retrieve(job.id)
    facts.note(
        "sync: the batch names its files no more", assumed=(None, None), observed=(gone.output_file_id, gone.error_file_id)
    )
    facts.note("sync: the key belongs to somebody", assumed=True, observed=bool(client.whoami().organization.id))


async def check_async(target: Target, facts: Facts) -> None:
    """The same calls, and cancel."""
    async with together.AsyncTogether(base_url=target.url, max_retries=0) as client:
        path = write_input(target, "async", HANG)
        file = await client.files.upload(path, purpose="batch-api", check=False)
        created = (await client.batches.create(endpoint=ENDPOINT, input_file_id=file.id)).job
        assert created
        facts.note("async: the batch is of the file", assumed=file.id, observed=created.input_file_id)
        cancelled = await client.batches.cancel(created.id)
        facts.note("async: cancel answers the batch", assumed=created.id, observed=cancelled.id)
        ended = await asyncio.to_thread(
            target.wait, lambda: together.Together(base_url=target.url).batches.retrieve(created.id), lambda job: job.status
        )
        facts.note("async: a cancelled batch is cancelled", assumed="CANCELLED", observed=ended.status)
        facts.note("async: the batch is listed", assumed=created.id, observed=(await client.batches.list())[0].id)
        facts.note(
            "async: the file is listed", assumed=True, observed=file.id in [it.id for it in (await client.files.list()).data]
        )
        facts.note("async: the file is found", assumed=path.name, observed=(await client.files.retrieve(file.id)).filename)
        content = await client.files.content(file.id)
        facts.note("async: its content is as it was", assumed=path.read_bytes(), observed=await content.read())
        facts.note("async: a file can be deleted", assumed=True, observed=(await client.files.delete(file.id)).deleted)
    async with together.AsyncTogether(base_url=target.url, api_key="slk_" + "a" * 16 + "_" + "b" * 43) as stranger:
        try:
            await stranger.batches.list()
            answer = "nothing"
        except together.APIError as error:
            answer = type(error).__name__
        facts.note("async: an unknown key is refused", assumed="AuthenticationError", observed=answer)


def status_of(call: Any, *arguments: str) -> int:
    """The HTTP status that a call fails with; 200 when it does not."""
    try:
        call(*arguments)
    except together.APIStatusError as error:
        return error.status_code
    return 200


if __name__ == "__main__":
    main(check)
