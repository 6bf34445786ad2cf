"""The official client of OpenAI, async, through every call of files, uploads and batches. The key is in OPENAI_API_KEY."""

import asyncio
from typing import Any

import openai
from facts import Facts, Target, main, read_ids
from inputs import ENDPOINT, HANG, write_input


def check(target: Target, facts: Facts) -> None:
    """All of it in one loop."""
    asyncio.run(check_all(target, facts))


async def check_all(target: Target, facts: Facts) -> None:
    """Two batches side by side: one runs to its end, one is cancelled."""
    async with openai.AsyncOpenAI(base_url=f"{target.url}/openai/v1") as client:
        await asyncio.gather(check_batch(client, target, facts), check_cancel(client, target, facts))
        await check_uploads(client, target, facts)
        listed = [batch.id async for batch in client.batches.list(limit=1)]
        facts.note("batches are listed, page by page", assumed=True, observed=len(listed) == len(set(listed)) >= 2)
        try:
            await client.batches.retrieve("batch_" + "a" * 26)
            answer = "nothing"
        except openai.NotFoundError as error:
            answer = str(error.code)
        facts.note("an unknown batch is not found", assumed="not_found", observed=answer)


async def check_batch(client: openai.AsyncOpenAI, target: Target, facts: Facts) -> None:
    """Create, wait, read, delete."""
    path = write_input(target, "async", "one", "two")
    file = await client.files.create(file=path, purpose="batch")
    facts.note("the file is found", assumed=path.name, observed=(await client.files.retrieve(file.id)).filename)
    facts.note("the file is listed", assumed=True, observed=file.id in [it.id async for it in client.files.list()])
    batch = await client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    ended = await wait(target, batch.id)
    facts.note("the batch is completed", assumed="completed", observed=ended.status)
    output = await client.files.content(ended.output_file_id)
    facts.note("the output has every line", assumed=["r1", "r2"], observed=read_ids(output.content))
    facts.note("a file can be deleted", assumed=True, observed=(await client.files.delete(file.id)).deleted)


async def check_cancel(client: openai.AsyncOpenAI, target: Target, facts: Facts) -> None:
    """Create and cancel."""
    file = await client.files.create(file=write_input(target, "async-cancel", HANG), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    facts.note("cancel answers the batch", assumed=batch.id, observed=(await client.batches.cancel(batch.id)).id)
    facts.note("a cancelled batch is cancelled", assumed="cancelled", observed=(await wait(target, batch.id)).status)


async def check_uploads(client: openai.AsyncOpenAI, target: Target, facts: Facts) -> None:
    """In parts, side by side, and given up."""
    path = write_input(target, "async-chunks", "x" * 100_000, lines=45)
    done = await client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=4_000_000
    )
    content = await client.files.content(done.file.id)
    facts.note("a chunked file comes back whole", assumed=True, observed=content.content == path.read_bytes())
    upload = await client.uploads.create(bytes=4, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
    parts = await asyncio.gather(*(client.uploads.parts.create(upload.id, data=data) for data in (b"12", b"34")))
    whole = await client.uploads.complete(upload.id, part_ids=[part.id for part in parts])
    facts.note(
        "parts side by side are in their order", assumed=b"1234", observed=(await client.files.content(whole.file.id)).content
    )
    other = await client.uploads.create(bytes=4, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
    facts.note("an upload can be cancelled", assumed="cancelled", observed=(await client.uploads.cancel(other.id)).status)


async def wait(target: Target, batch_id: str) -> Any:
    """The batch when it has ended."""
    client = openai.OpenAI(base_url=f"{target.url}/openai/v1")
    return await asyncio.to_thread(target.wait, lambda: client.batches.retrieve(batch_id), lambda batch: batch.status.upper())


if __name__ == "__main__":
    main(check)
