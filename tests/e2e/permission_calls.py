"""Calls of the HTTP API, and what follows on them, in which its functions need their permissions."""

import time
from collections.abc import Callable

import msgspec

from e2e.permission_bench import CallFailedError, Workbench
from e2e.stack import jsonl, requests
from slacktide.batch import DROP_OWNER, Batch, ObjectRef
from slacktide.bucket import Bucket
from slacktide.files import File, Files, FileState
from slacktide.ids import FileKind, new_file_id
from slacktide.keys import MODELS_KEY, upload
from slacktide.statuses import JobState
from slacktide.uploads import PART_BYTES

Call = Callable[[], object]
OWNER = "owner"
FILES, BATCHES = "/openai/v1/files", "/openai/v1/batches"
CHAT = "/v1/chat/completions"


def uploaded(bench: Workbench, content: bytes | None = None) -> str:
    """A file that came with a call."""
    form = {"purpose": "batch", "file": jsonl(requests(2)) if content is None else content}
    return bench.told(OWNER, "POST", FILES, form=form)["id"]


def created(bench: Workbench) -> Batch:
    """A batch of an uploaded file, which nobody has validated."""
    body = {"input_file_id": uploaded(bench), "endpoint": CHAT}
    return bench.records.get_batch(bench.told(OWNER, "POST", BATCHES, body)["id"])


# api


def a_file_is_uploaded(bench: Workbench) -> Call:
    return lambda: uploaded(bench)


def a_file_is_sent_to_a_url(bench: Workbench) -> Call:
    def call() -> None:
        asked = bench.ask(OWNER, "POST", "/v1/files", form={"purpose": "batch-api", "x": b""})
        bench.follow(asked, "PUT", b"{}\n")
        headers = asked.get("multiValueHeaders") or {name: [value] for name, value in asked["headers"].items()}
        bench.told(OWNER, "POST", f"/v1/files/{headers['X-Together-File-Id'][0]}/preprocess")

    return call


def a_file_is_read(bench: Workbench) -> Call:
    file_id = uploaded(bench)
    return lambda: bench.follow(bench.ask(OWNER, "GET", f"{FILES}/{file_id}/content"))


def a_file_in_parts_is_read(bench: Workbench) -> Call:
    """It is joined when it is first asked for, here in parts of a multipart upload."""
    content, upload_path = b"x" * (PART_BYTES // 2 + 1), "/openai/v1/uploads"
    new = {"bytes": 3 * len(content), "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}

    def call() -> None:
        made = bench.told(OWNER, "POST", upload_path, new)["id"]
        files, file_id = Files(bench.records.table), made.replace("upload_", "file-")
        parts = [bench.told(OWNER, "POST", f"{upload_path}/{made}/parts", form={"data": b"x"})["id"] for _ in range(3)]
        for part in files.parts(file_id).values():  # made large behind the API, which takes less with one call
            put = bench.stack.s3.put_object(Bucket=bench.stack.bucket, Key=part.source.key, Body=content)
            source = msgspec.structs.replace(part.source, version_id=put["VersionId"], bytes=len(content))
            files.add_part(files.get(file_id, OWNER, int(time.time())), msgspec.structs.replace(part, source=source))
        bench.told(OWNER, "POST", f"{upload_path}/{made}/complete", {"part_ids": parts})
        bench.follow(bench.ask(OWNER, "GET", f"{FILES}/{file_id}/content"))

    return call


def a_file_is_deleted(bench: Workbench) -> Call:
    return lambda: bench.told(OWNER, "DELETE", f"{FILES}/{uploaded(bench)}")


def files_and_batches_are_listed(bench: Workbench) -> Call:
    def call() -> None:
        bench.told(OWNER, "GET", FILES)
        bench.told(OWNER, "GET", BATCHES)

    return call


def a_batch_is_created(bench: Workbench) -> Call:
    file_id = uploaded(bench)
    return lambda: bench.told(OWNER, "POST", BATCHES, {"input_file_id": file_id, "endpoint": CHAT})


def a_batch_is_cancelled(bench: Workbench) -> Call:
    return lambda: bench.told(OWNER, "POST", f"{BATCHES}/{created(bench).batch_id}/cancel")


def a_dropped_file_is_read(bench: Workbench) -> Call:
    batch = bench.queued()
    return lambda: bench.follow(bench.ask(DROP_OWNER, "GET", f"{FILES}/{batch.input_file_id}/content"))


def results_are_read(bench: Workbench) -> Call:
    batch = bench.assembled()

    def call() -> None:
        bench.told(DROP_OWNER, "GET", f"{BATCHES}/{batch.batch_id}/receipt")
        bench.follow(bench.ask(DROP_OWNER, "GET", f"{FILES}/{batch.result_file_id(FileKind.ERRORS)}/content"))

    return call


def a_result_is_deleted(bench: Workbench) -> Call:
    return lambda: bench.told(DROP_OWNER, "DELETE", f"{FILES}/{bench.assembled().result_file_id(FileKind.ERRORS)}")


def a_refused_batch_tells_of_its_lines(bench: Workbench) -> Call:
    batch_id = bench.queued(["rubbish"]).batch_id
    assert bench.step("AssembleFunction", batch_id)["done"]
    bench.step("AnnounceFunction", batch_id)

    def call() -> None:
        told = bench.told(DROP_OWNER, "GET", f"{BATCHES}/{batch_id}")
        assert "invalid_json_line" in [error["code"] for error in told["errors"]["data"]]

    return call


def a_finished_part_is_read(bench: Workbench) -> Call:
    job = bench.submitted()
    bench.step("PollFunction", job.batch_id, job_id=job.job_id)
    bench.step("CollectFunction", job.batch_id, job_id=job.job_id)
    assert bench.records.jobs(job.batch_id)[0].state is JobState.SETTLED
    path = f"{BATCHES}/{job.batch_id}/parts"

    def call() -> None:
        """Written at the first time, then found."""
        for _ in range(2):
            (part,) = bench.told(DROP_OWNER, "GET", path)["data"]
            bench.follow(bench.ask(DROP_OWNER, "GET", f"{path}/{part['id']}"))

    return call


def models_of_ones_own_are_listed(bench: Workbench) -> Call:
    table = b'[[models]]\nid = "Qwen/QwQ-32B"\nenabled = false\n'

    def call() -> None:
        bench.overwrite(MODELS_KEY, table)
        try:
            bench.told(OWNER, "GET", "/v1/models")
        finally:
            bench.stack.s3.delete_object(Bucket=bench.stack.bucket, Key=MODELS_KEY)

    return call


# validate


def a_created_batch_is_validated(bench: Workbench) -> Call:
    batch = created(bench)
    return lambda: bench.deliver({"v": 1, "create": {"batch_id": batch.batch_id}})


def failed_lines_are_run_again(bench: Workbench) -> Call:
    batch = bench.assembled()
    bench.step("AnnounceFunction", batch.batch_id)

    def call() -> None:
        again = bench.told(DROP_OWNER, "POST", f"{BATCHES}/{batch.batch_id}/retry", {})["id"]
        bench.deliver({"v": 1, "create": {"batch_id": again}})
        if not bench.records.get_batch(again).total:
            raise CallFailedError("no line was run again")

    return call


def many_failed_lines_are_run_again(bench: Workbench) -> Call:
    """More of them than fit into one part of a multipart upload."""
    lines = [{**line, "padding": "x" * 1_000_000} for line in requests(10)]
    event = bench.drop(lines)
    bench.deliver(event)
    (batch_id,) = bench.records.batches_of_input(event["detail"]["object"]["key"])
    assert bench.step("AssembleFunction", batch_id, gave_up=True)["done"]
    bench.step("AnnounceFunction", batch_id)

    def call() -> None:
        classes = {"classes": ["invalid_line", "given_up", "transient"]}
        again = bench.told(DROP_OWNER, "POST", f"{BATCHES}/{batch_id}/retry", classes)["id"]
        bench.deliver({"v": 1, "create": {"batch_id": again}})

    return call


# sweep


def an_upload_is_overdue(bench: Workbench) -> Call:
    bench.forget()
    now = int(time.time())
    files = Files(bench.records.table)
    bucket = Bucket(bench.stack.s3, bench.stack.bucket)

    def call() -> None:
        file = files.put(File(new_file_id(), OWNER, "a.jsonl", "batch", now, uploads_until=now - 1))
        bucket.write(upload(file.file_id, "part_a"), b"x")
        bench.call("SweepFunction", {})

    return call


def a_file_has_expired(bench: Workbench) -> Call:
    bench.forget()
    file = File(new_file_id(), OWNER, "a.jsonl", "batch", 1, FileState.READY, ready_at=1, expires_after=3_600)
    key = upload(file.file_id, "000001")
    Bucket(bench.stack.s3, bench.stack.bucket).write(key, b"x")
    Files(bench.records.table).put(msgspec.structs.replace(file, source=ObjectRef(bench.stack.bucket, key, "", 1)))

    def call() -> None:
        assert bench.call("SweepFunction", {})["removed"] == 1

    return call


def results_have_expired(bench: Workbench) -> Call:
    bench.forget()
    batch = bench.assembled()
    options = msgspec.structs.replace(batch.options, output_expires_after=-1)
    bench.records.update_batch(batch.batch_id, options=options)
    bench.step("AnnounceFunction", batch.batch_id)

    def call() -> None:
        assert bench.call("SweepFunction", {})["removed"] == 1

    return call


def the_message_of_a_batch_was_not_sent(bench: Workbench) -> Call:
    bench.forget()
    batch = created(bench)

    def call() -> None:
        bench.records.update_batch(batch.batch_id, is_sent=False, created_at=batch.created_at - 3_600)
        bench.call("SweepFunction", {})

    return call
