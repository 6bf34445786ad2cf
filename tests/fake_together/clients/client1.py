"""The official client 1.5.x through the life of a batch. The key is in TOGETHER_API_KEY."""

from pathlib import Path

import together
from facts import Facts, Target, main, read_ids

CHAT = "/v1/chat/completions"


def check(target: Target, facts: Facts) -> None:
    """Upload, create, wait, download, cancel."""
    client = together.Together(base_url=f"{target.url}/v1")
    path = target.write("client1", "a", "b")
    file = client.files.upload(str(path), purpose="batch-api")
    facts.note("1.5: the file has the size that was sent", assumed=path.stat().st_size, observed=file.bytes)
    facts.note("1.5: lines are counted", assumed=2, observed=file.line_count)
    facts.note("1.5: the file is processed", assumed=True, observed=file.processed)
    facts.note("1.5: the file is found", assumed=path.name, observed=client.files.retrieve(file.id).filename)
    facts.note("1.5: the file is listed", assumed=True, observed=file.id in [entry.id for entry in client.files.list().data])
    created = client.batches.create_batch(file.id, endpoint=CHAT)
    facts.note("1.5: a new batch is being validated", assumed="VALIDATING", observed=created.status.value)
    listed = [job.id for job in client.batches.list_batches()]
    facts.note("1.5: the batch is listed", assumed=True, observed=created.id in listed)
    job = target.wait(lambda: client.batches.get_batch(created.id), lambda job: job.status.value)
    facts.note("1.5: the batch is completed", assumed="COMPLETED", observed=job.status.value)
    saved = client.files.retrieve_content(job.output_file_id, output=str(target.folder / "client1-output.jsonl"))
    content = Path(saved.filename).read_bytes()
    facts.note("1.5: the output has every line", assumed=["a", "b"], observed=read_ids(content))
    facts.note("1.5: the size is that of the output", assumed=len(content), observed=saved.size)
    try:
        client.batches.cancel_batch(job.id)
        answer = "none"
    except together.error.APIError as error:
        answer = str(error.http_status)
    facts.note("1.5: a batch that has ended cannot be cancelled", assumed="409", observed=answer)
    facts.note("1.5: a file can be deleted", assumed=True, observed=client.files.delete(file.id).deleted)


if __name__ == "__main__":
    main(check)
