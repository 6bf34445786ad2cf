"""The official client of OpenAI: batches, pages, errors, and the calls that are Slacktide's own. The key is in OPENAI_API_KEY."""

import hashlib
import json
import time
from typing import Any

import httpx2 as httpx
import openai
from facts import Facts, Target, main, read_ids
from inputs import ENDPOINT, HANG, write_input
from refusals import refusal_of


def check(target: Target, facts: Facts) -> None:
    """One batch from its file to its results; then what surrounds it."""
    client = openai.OpenAI(base_url=f"{target.url}/openai/v1")
    ended = check_batch(client, target, facts)
    check_own(client, ended, target, facts)
    check_cancel(client, target, facts)
    check_failed(client, target, facts)
    check_checksums(client, target, facts)
    check_pages(client, facts)
    check_errors(client, target, facts)


def check_batch(client: openai.OpenAI, target: Target, facts: Facts) -> Any:
    """Create, look, wait, read both files."""
    path = write_input(target, "batch", "one", "[[status 400]]", "[[status 503]]")
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    metadata = {"tag": "nightly", "mine": "yes", "max-rounds": "1"}
    batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata=metadata)
    facts.note("a new batch is being validated", assumed=("batch", "validating"), observed=(batch.object, batch.status))
    facts.note(
        "it is of its file",
        assumed=(file.id, ENDPOINT, "24h"),
        observed=(batch.input_file_id, batch.endpoint, batch.completion_window),
    )
    facts.note("it keeps its metadata", assumed=metadata, observed=batch.metadata)
    facts.note("it has its window", assumed=86_400, observed=batch.expires_at - batch.created_at)
    facts.note("it has no files yet", assumed=(None, None), observed=(batch.output_file_id, batch.error_file_id))
    batch = target.wait(lambda: client.batches.retrieve(batch.id), lambda it: it.status.upper())
    facts.note("it is completed", assumed="completed", observed=batch.status)
    counts = batch.request_counts
    facts.note("its lines are counted", assumed=(3, 1, 2), observed=(counts.total, counts.completed, counts.failed))
    times = (batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at)
    facts.note("its times rise", assumed=sorted(times), observed=list(times))
    facts.note("its tokens are counted", assumed=True, observed=batch.usage.total_tokens > 0)
    facts.note("without a refusal there are no errors", assumed=None, observed=batch.errors)
    output = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    facts.note(
        "the output has its line",
        assumed=[("r1", 200, None)],
        observed=[(it["custom_id"], it["response"]["status_code"], it["error"]) for it in output],
    )
    errors = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    codes = {it["custom_id"]: it["error"]["code"] for it in errors}
    facts.note("the error file has the others", assumed={"r2": "backend_rejected", "r3": "backend_error"}, observed=codes)
    outputs = [it.id for it in client.files.list(purpose="batch_output")]
    facts.note("both are listed", assumed=True, observed={batch.output_file_id, batch.error_file_id} <= set(outputs))
    return batch


def check_own(client: openai.OpenAI, batch: Any, target: Target, facts: Facts) -> None:
    """Receipt, manifest, parts, and the failed lines once more."""
    receipt = client.get(f"/batches/{batch.id}/receipt", cast_to=dict[str, Any])
    facts.note("the receipt has the tokens", assumed=batch.usage.input_tokens, observed=receipt["usage"]["prompt_tokens"])
    manifest = client.get(f"/batches/{batch.id}/manifest", cast_to=dict[str, Any])
    facts.note("the manifest has the counts", assumed={"total": 3, "completed": 1, "failed": 2}, observed=manifest["counts"])
    retried = client.post(f"/batches/{batch.id}/retry", cast_to=dict[str, Any], body={})
    facts.note(
        "a retry is linked to its batch", assumed=(batch.id, "validating"), observed=(retried["retry_of"], retried["status"])
    )
    key = f"key {batch.id}"
    again = client.post(
        f"/batches/{batch.id}/retry", cast_to=dict[str, Any], body={}, options={"headers": {"Idempotency-Key": key}}
    )
    repeated = client.post(
        f"/batches/{batch.id}/retry", cast_to=dict[str, Any], body={}, options={"headers": {"Idempotency-Key": key}}
    )
    facts.note("with a key it is one", assumed=(again["id"], False), observed=(repeated["id"], again["id"] == retried["id"]))
    rejected = client.post(f"/batches/{batch.id}/retry", cast_to=dict[str, Any], body={"classes": ["rejected"]})
    ends = [
        target.wait(lambda it=it: client.batches.retrieve(it["id"]), lambda it: it.status.upper()) for it in (retried, rejected)
    ]
    inputs = [read_ids(client.files.content(it.input_file_id).read()) for it in ends]
    facts.note("it has exactly the lines that failed", assumed=[["r2", "r3"], ["r2"]], observed=inputs)
    facts.note("it ends as any batch", assumed=["completed", "completed"], observed=[it.status for it in ends])
    unknown = refusal_of(client.post, f"/batches/{batch.id}/retry", cast_to=dict[str, Any], body={"classes": ["other"]})
    facts.note("an unknown class is refused", assumed="BadRequestError invalid_request", observed=unknown)


def check_cancel(client: openai.OpenAI, target: Target, facts: Facts) -> None:
    """A batch that is under way: its finished parts can be read, its file cannot be deleted; then it is cancelled."""
    path = write_input(target, "running", *["fine"] * 8, HANG)
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    facts.note(
        "before its end it has no receipt",
        assumed="NotFoundError not_ended",
        observed=refusal_of(client.get, f"/batches/{batch.id}/receipt", cast_to=dict[str, Any]),
    )
    facts.note(
        "nor can it be retried",
        assumed="BadRequestError invalid_request",
        observed=refusal_of(client.post, f"/batches/{batch.id}/retry", cast_to=dict[str, Any], body={}),
    )
    facts.note(
        "a file in use is not deleted", assumed="BadRequestError file_in_use", observed=refusal_of(client.files.delete, file.id)
    )
    cancelled = client.batches.cancel(batch.id)
    facts.note("cancel answers the batch", assumed=(batch.id, "cancelling"), observed=(cancelled.id, cancelled.status))
    batch = target.wait(lambda: client.batches.retrieve(batch.id), lambda it: it.status.upper())
    facts.note("it is cancelled", assumed="cancelled", observed=batch.status)
    facts.note("its times tell", assumed=True, observed=batch.cancelling_at <= batch.cancelled_at)
    again = refusal_of(client.batches.cancel, batch.id)
    facts.note("it cannot be cancelled again", assumed="BadRequestError batch_ended", observed=again)
    facts.note("its file can be deleted now", assumed=True, observed=client.files.delete(file.id).deleted)


def check_failed(client: openai.OpenAI, target: Target, facts: Facts) -> None:
    """A batch whose lines are all bad tells of them where users look."""
    bad = {"custom_id": 1, "body": {"model": target.model, "messages": [{"role": "user", "content": "one"}]}}
    file = client.files.create(file=("bad.jsonl", b"nonsense\n" + json.dumps(bad).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    while (batch := client.batches.retrieve(batch.id)).status != "failed":
        time.sleep(0.1)
    told = [(it.code, it.line) for it in batch.errors.data]
    wanted = [("invalid_lines", None), ("invalid_json_line", 1), ("invalid_custom_id", 2)]
    facts.note("a failed batch tells of its lines", assumed=wanted, observed=told)
    facts.note("it says when", assumed=True, observed=batch.failed_at >= batch.created_at)


def check_checksums(client: openai.OpenAI, target: Target, facts: Facts) -> None:
    """Of two equal files that came in chunks the one has the MD5 that it should have; its results expire."""
    path = write_input(target, "chunks", *["x" * 1_000] * 9)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    chunked = {"file": path, "mime_type": "application/jsonl", "purpose": "batch", "part_size": 4_000}
    files = [client.uploads.upload_file_chunked(**chunked, md5=md5).file for md5 in (digest.upper(), digest[::-1])]
    new = {"endpoint": ENDPOINT, "completion_window": "24h", "output_expires_after": {"anchor": "created_at", "seconds": 3_600}}
    made = [client.batches.create(input_file_id=file.id, **new) for file in files]
    good, bad = (target.wait(lambda it=it: client.batches.retrieve(it.id), lambda it: it.status.upper()) for it in made)
    facts.note(
        "a file that is what was sent is run", assumed=("completed", 9), observed=(good.status, good.request_counts.completed)
    )
    output = client.files.retrieve(good.output_file_id)
    facts.note("its results say when they expire", assumed=3_600, observed=output.expires_at - good.completed_at)
    facts.note("one that is not is not", assumed=("failed", 0, 9), observed=(bad.status, *counts_of(bad)))
    facts.note("it says why", assumed="checksum_mismatch", observed=bad.errors.data[0].code)
    facts.note("nothing of it was run", assumed=0, observed=bad.usage.total_tokens)


def counts_of(batch: Any) -> tuple[int, int]:
    """Lines that were run, and that were not."""
    return batch.request_counts.completed, batch.request_counts.failed


def check_pages(client: openai.OpenAI, facts: Facts) -> None:
    """The client turns the pages by itself."""
    whole = [batch.id for batch in client.batches.list(limit=100)]
    pages = [batch.id for batch in client.batches.list(limit=2)]
    facts.note("small pages are the same list", assumed=whole, observed=pages)
    facts.note("there are several pages", assumed=True, observed=len(whole) > 4)
    page = client.batches.list(limit=1, after=whole[0])
    facts.note(
        "a page begins behind its cursor", assumed=([whole[1]], True), observed=([it.id for it in page.data], page.has_more)
    )


def check_errors(client: openai.OpenAI, target: Target, facts: Facts) -> None:
    """Each in the class that users catch."""
    unknown = "batch_" + "a" * 26
    facts.note("an unknown batch", assumed="NotFoundError not_found", observed=refusal_of(client.batches.retrieve, unknown))
    facts.note("an id that is none", assumed="NotFoundError not_found", observed=refusal_of(client.batches.retrieve, "batch_1"))
    new = {"endpoint": ENDPOINT, "completion_window": "24h"}
    facts.note(
        "a file that is not there",
        assumed="NotFoundError file_not_found",
        observed=refusal_of(client.batches.create, input_file_id="file-" + "a" * 26, **new),
    )
    wrong = {"input_file_id": "file-" + "a" * 26, "completion_window": "24h", "endpoint": "/v1/images"}
    facts.note(
        "an endpoint that is not run",
        assumed="BadRequestError invalid_endpoint",
        observed=refusal_of(client.batches.create, **wrong),
    )
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    window = refusal_of(client.batches.create, input_file_id=file.id, endpoint=ENDPOINT, completion_window="1s")
    facts.note("a window that is too short", assumed="BadRequestError invalid_option", observed=window)
    expiry = refusal_of(
        client.batches.create, input_file_id=file.id, output_expires_after={"anchor": "created_at", "seconds": 9}, **new
    )
    facts.note("an expiry that is too soon", assumed="BadRequestError invalid_request", observed=expiry)
    purpose = refusal_of(client.files.create, file=("a.jsonl", b"{}\n"), purpose="fine-tune")
    facts.note("another purpose", assumed="BadRequestError invalid_request", observed=purpose)
    stranger = openai.OpenAI(base_url=f"{target.url}/openai/v1", api_key="slk_" + "a" * 16 + "_" + "b" * 43)
    facts.note("an unknown key", assumed="AuthenticationError invalid_api_key", observed=refusal_of(stranger.batches.list))
    nobody = openai.OpenAI(
        base_url=f"{target.url}/openai/v1", api_key="x", http_client=httpx.Client(headers={"Authorization": "Basic x"})
    )
    facts.note("no key of ours", assumed="AuthenticationError invalid_api_key", observed=refusal_of(nobody.batches.list))
    facts.note(
        "a path that is not there",
        assumed="NotFoundError not_found",
        observed=refusal_of(client.get, "/chat", cast_to=dict[str, Any]),
    )
    models = {model.id: model.to_dict()["backends"] for model in client.models.list()}
    facts.note("models and who runs them", assumed=["sagemaker"], observed=models.get("HuggingFaceTB/SmolLM2-135M-Instruct"))


if __name__ == "__main__":
    main(check)
