"""The official client of Together 1.5.x. The key is in TOGETHER_API_KEY, the address, with `/v1`, in TOGETHER_BASE_URL."""

from pathlib import Path

import together.filemanager
import together.resources.files
from facts import Facts, Target, main, read_ids
from inputs import ENDPOINT, HANG, write_input
from together import Together

together.resources.files.MULTIPART_THRESHOLD_GB = 8 / 1024  # 8 MB: only the check of parts has a file above it


def check(target: Target, facts: Facts) -> None:
    """The published example, then the other calls."""
    check_example(target, facts)
    check_cancel(target, facts)
    check_parts(target, facts)
    check_errors(target, facts)


def check_example(target: Target, facts: Facts) -> None:
    """Together's example of its Batch API, line by line, and what it reads of the answers."""
    path, output = write_input(target, "example", "one", "two"), target.folder / "batch_output.jsonl"

    client = Together()
    file_resp = client.files.upload(file=str(path), purpose="batch-api")
    batch = client.batches.create_batch(file_resp.id, endpoint="/v1/chat/completions")
    batch_stat = client.batches.get_batch(batch.id)

    facts.note("the file has its size", assumed=path.stat().st_size, observed=file_resp.bytes)
    facts.note("the file has its name", assumed=path.name, observed=file_resp.filename)
    facts.note("a new batch is being validated", assumed="VALIDATING", observed=batch.status.value)
    facts.note("the batch is of the file", assumed=file_resp.id, observed=batch_stat.input_file_id)
    facts.note("the batch is listed", assumed=batch.id, observed=client.batches.list_batches()[0].id)
    batch_stat = target.wait(lambda: client.batches.get_batch(batch.id), lambda job: job.status.value)
    facts.note("the batch is completed", assumed="COMPLETED", observed=batch_stat.status.value)
    facts.note("progress ends at 100", assumed=100, observed=batch_stat.progress)

    saved = client.files.retrieve_content(id=batch_stat.output_file_id, output=str(output))

    facts.note("the output has every line", assumed=["r1", "r2"], observed=read_ids(output.read_bytes()))
    facts.note("the size is that of the output", assumed=output.stat().st_size, observed=saved.size)
    listed = [file.id for file in client.files.list().data]
    facts.note("input and output are listed", assumed=True, observed={file_resp.id, batch_stat.output_file_id} <= set(listed))
    facts.note("the file is found", assumed=path.name, observed=client.files.retrieve(file_resp.id).filename)
    facts.note("a file can be deleted", assumed=True, observed=client.files.delete(file_resp.id).deleted)
    facts.note("a deleted file is not listed", assumed=False, observed=file_resp.id in [it.id for it in client.files.list().data])
    facts.note("an ended batch cannot be cancelled", assumed=400, observed=status_of(client.batches.cancel_batch, batch.id))


def check_cancel(target: Target, facts: Facts) -> None:
    """A batch that is under way."""
    client = Together()
    file = client.files.upload(str(write_input(target, "cancel", HANG)), purpose="batch-api")
    batch = client.batches.create_batch(file.id, ENDPOINT)
    cancelled = client.batches.cancel_batch(batch.id)
    facts.note("cancel answers the batch", assumed=batch.id, observed=cancelled.id)
    ended = target.wait(lambda: client.batches.get_batch(batch.id), lambda job: job.status.value)
    facts.note("a cancelled batch is cancelled", assumed="CANCELLED", observed=ended.status.value)
    output = client.files.retrieve_content(id=ended.error_file_id, output=str(target.folder / "errors.jsonl"))
    facts.note("its line is in the error file", assumed=["r1"], observed=read_ids(Path(output.filename).read_bytes()))


def check_parts(target: Target, facts: Facts) -> None:
    """A file above the threshold, in parts."""
    client = Together()
    path = write_input(target, "parts", "x" * 100_000, lines=100)
    together.filemanager.TARGET_PART_SIZE_MB = 5
    file = client.files.upload(str(path), purpose="batch-api")
    facts.note("a file in parts has its size", assumed=path.stat().st_size, observed=file.bytes)
    saved = client.files.retrieve_content(id=file.id, output=str(target.folder / "whole.jsonl"))
    facts.note("it comes back whole", assumed=True, observed=Path(saved.filename).read_bytes() == path.read_bytes())


def check_errors(_: Target, facts: Facts) -> None:
    """What is refused, in the client's own errors."""
    client = Together()
    models = [model.id for model in client.models.list()]
    facts.note("models that run here", assumed=True, observed="HuggingFaceTB/SmolLM2-135M-Instruct" in models)
    facts.note("an unknown batch is not found", assumed=404, observed=status_of(client.batches.get_batch, "batch_" + "a" * 26))
    facts.note("an unknown file is not found", assumed=404, observed=status_of(client.files.retrieve, "file-" + "a" * 26))
    facts.note("nor can it be run", assumed=404, observed=status_of(client.batches.create_batch, "file-" + "a" * 26, ENDPOINT))
    stranger = Together(api_key="slk_" + "a" * 16 + "_" + "b" * 43)
    facts.note("an unknown key is refused", assumed=401, observed=status_of(stranger.batches.list_batches))


def status_of(call: object, *arguments: str) -> int:
    """The HTTP status that a call fails with; 200 when it does not."""
    try:
        call(*arguments)
    except together.error.TogetherException as error:
        return error.http_status
    return 200


if __name__ == "__main__":
    main(check)
