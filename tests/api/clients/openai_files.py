"""The official client of OpenAI: files and uploads, sync. The key is in OPENAI_API_KEY."""

import hashlib
import io
import time

import openai
from facts import Facts, Target, main
from inputs import write_input
from refusals import refusal_of

PART = 4_000_000  # bytes, as the README has it


def check(target: Target, facts: Facts) -> None:
    """Files of one call, then of many."""
    client = openai.OpenAI(base_url=f"{target.url}/openai/v1")
    check_files(client, target, facts)
    check_pages(client, facts)
    check_uploads(client, facts)
    check_expiry(client, facts)
    check_chunks(client, target, facts)
    check_too_large(client, facts)


def check_files(client: openai.OpenAI, target: Target, facts: Facts) -> None:
    """Create, look, list, read, delete."""
    path = write_input(target, "file", "one")
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    facts.note("the file has its size", assumed=path.stat().st_size, observed=file.bytes)
    facts.note("the file has its name", assumed=path.name, observed=file.filename)
    facts.note(
        "the file is for batches", assumed=("file", "batch", "processed"), observed=(file.object, file.purpose, file.status)
    )
    facts.note("the file is new", assumed=True, observed=abs(file.created_at - time.time()) < 60)
    facts.note("the file is found", assumed=file.model_dump(), observed=client.files.retrieve(file.id).model_dump())
    facts.note("the file is listed first", assumed=file.id, observed=client.files.list().data[0].id)
    facts.note("its content is as it was", assumed=path.read_bytes(), observed=client.files.content(file.id).read())
    facts.note("a file can be deleted", assumed=True, observed=client.files.delete(file.id).deleted)
    facts.note(
        "a deleted file is not found", assumed="NotFoundError not_found", observed=refusal_of(client.files.retrieve, file.id)
    )
    facts.note("nor is its content", assumed="NotFoundError not_found", observed=refusal_of(client.files.content, file.id))
    facts.note("nor deleted again", assumed="NotFoundError not_found", observed=refusal_of(client.files.delete, file.id))


def check_pages(client: openai.OpenAI, facts: Facts) -> None:
    """The client turns the pages by itself."""
    made = [client.files.create(file=(f"{number}.jsonl", b"{}\n"), purpose="batch").id for number in range(5)]
    listed = [file.id for file in client.files.list(limit=2, purpose="batch")]
    facts.note("every file is on some page, once, the newest first", assumed=made[::-1], observed=listed[:5])
    facts.note("no file is on two pages", assumed=len(listed), observed=len(set(listed)))
    page = client.files.list(limit=2)
    facts.note("a page has its limit", assumed=(2, True), observed=(len(page.data), page.has_more))
    after = client.files.list(after=made[1], limit=1).data
    facts.note("a page begins behind its cursor", assumed=[made[0]], observed=[file.id for file in after])
    for purpose in ("batch_output", "fine-tune"):
        found = {file.purpose for file in client.files.list(purpose=purpose)}
        facts.note(f"only files for {purpose}", assumed=set(), observed=found - {purpose})


def check_uploads(client: openai.OpenAI, facts: Facts) -> None:
    """Create, parts, complete, cancel."""
    content = b'{"custom_id": "a"}\n{"custom_id": "b"}\n'
    upload = client.uploads.create(bytes=len(content), filename="parts.jsonl", mime_type="application/jsonl", purpose="batch")
    facts.note("an upload is pending", assumed=("upload", "pending", None), observed=(upload.object, upload.status, upload.file))
    facts.note("it ends in a day", assumed=86_400, observed=upload.expires_at - upload.created_at)
    second, first = (client.uploads.parts.create(upload.id, data=data) for data in (content[7:], content[:7]))
    facts.note("a part is of its upload", assumed=("upload.part", upload.id), observed=(first.object, first.upload_id))
    short = refusal_of(client.uploads.complete, upload.id, part_ids=[first.id])
    facts.note("an upload must be whole", assumed="BadRequestError invalid_request", observed=short)
    foreign = refusal_of(client.uploads.complete, upload.id, part_ids=[first.id, "part_" + "a" * 26])
    facts.note("an upload has its own parts alone", assumed="BadRequestError invalid_request", observed=foreign)
    done = client.uploads.complete(upload.id, part_ids=[first.id, second.id])
    facts.note("a whole upload is a file", assumed=("completed", "parts.jsonl"), observed=(done.status, done.file.filename))
    facts.note("its parts are in the order that was said", assumed=content, observed=client.files.content(done.file.id).read())
    again = client.uploads.complete(upload.id, part_ids=[first.id, second.id])
    facts.note("completed again it is the same file", assumed=done.file.id, observed=again.file.id)
    late = refusal_of(client.uploads.cancel, upload.id)
    facts.note("a completed upload cannot be cancelled", assumed="BadRequestError invalid_request", observed=late)
    other = client.uploads.create(bytes=9, filename="other.jsonl", mime_type="application/jsonl", purpose="batch")
    client.uploads.parts.create(other.id, data=b"123456789")
    facts.note("an upload can be cancelled", assumed="cancelled", observed=client.uploads.cancel(other.id).status)
    late = refusal_of(client.uploads.parts.create, other.id, data=b"1")
    facts.note("a cancelled upload takes no part", assumed="BadRequestError invalid_request", observed=late)
    unknown = refusal_of(client.uploads.parts.create, "upload_" + "a" * 26, data=b"1")
    facts.note("an unknown upload is not found", assumed="NotFoundError not_found", observed=unknown)


def check_expiry(client: openai.OpenAI, facts: Facts) -> None:
    """Files that go by themselves, in an hour at the earliest; here they only say so."""
    day, content = {"anchor": "created_at", "seconds": 86_400}, b'{"custom_id": "a"}\n'
    file = client.files.create(file=("day.jsonl", content), purpose="batch", expires_after=day)
    facts.note("a file says when it expires", assumed=86_400, observed=file.expires_at - file.created_at)
    found = client.files.retrieve(file.id).expires_at
    facts.note("and keeps to it", assumed=file.expires_at, observed=found)
    new = {"bytes": len(content), "filename": "day.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    upload = client.uploads.create(**new, expires_after=day)
    part = client.uploads.parts.create(upload.id, data=content)
    done = client.uploads.complete(
        upload.id, part_ids=[part.id], md5=hashlib.md5(content, usedforsecurity=False).hexdigest()
    ).file
    facts.note("so does one that came in parts", assumed=86_400, observed=done.expires_at - done.created_at)
    forever = client.files.create(file=("a.jsonl", content), purpose="batch")
    facts.note("others stay", assumed=None, observed=forever.expires_at)
    soon = {"anchor": "created_at", "seconds": 3_599}
    told = refusal_of(client.files.create, file=("a.jsonl", content), purpose="batch", expires_after=soon)
    facts.note("an hour is the least", assumed="BadRequestError invalid_request", observed=told)
    told = refusal_of(client.uploads.create, **new, expires_after=soon)
    facts.note("of uploads too", assumed="BadRequestError invalid_request", observed=told)
    told = refusal_of(client.uploads.complete, upload.id, part_ids=[part.id], md5="no checksum")
    facts.note("what is no MD5 is refused", assumed="BadRequestError invalid_request", observed=told)


def check_chunks(client: openai.OpenAI, target: Target, facts: Facts) -> None:
    """A file above what one call takes, as the README says."""
    path = write_input(target, "chunks", "x" * 100_000, lines=90)
    done = client.uploads.upload_file_chunked(file=path, mime_type="application/jsonl", purpose="batch", part_size=PART)
    facts.note("a chunked file has its size", assumed=path.stat().st_size, observed=done.file.bytes)
    content = client.files.content(done.file.id).read()
    facts.note("a chunked file comes back whole", assumed=True, observed=content == path.read_bytes())
    twice = client.files.content(done.file.id).read()
    facts.note("and once more", assumed=True, observed=twice == content)


def check_too_large(client: openai.OpenAI, facts: Facts) -> None:
    """A file that one call does not take: the answer says what to do."""
    try:
        client.files.create(file=("big.jsonl", io.BytesIO(b"x" * 4_500_000)), purpose="batch")
        told = "nothing"
    except openai.APIStatusError as error:
        told = f"{error.status_code} {error.code}"
        facts.note(
            "the message says what to do", assumed=True, observed="upload_file_chunked(..., part_size=4_000_000)" in error.message
        )
    facts.note("a file above the limit is refused", assumed="413 request_too_large", observed=told)
    file = client.files.create(file=("most.jsonl", io.BytesIO(b"x" * PART)), purpose="batch")
    facts.note("a file of 4 MB passes", assumed=PART, observed=file.bytes)


if __name__ == "__main__":
    main(check)
