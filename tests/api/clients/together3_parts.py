"""Big files with the official client of Together 3.x: in parts above a threshold, given up half way, 100 MB in one go."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import together
from facts import Facts, Target, main
from inputs import write_input
from together.lib.resources import files

MEGABYTE = 1_000_000
THRESHOLD = files.MULTIPART_THRESHOLD_GB


def check(target: Target, facts: Facts) -> None:
    """Each for itself."""
    client = together.Together(base_url=target.url)
    check_parts(client, target, facts)
    check_abort(client, target, facts)
    check_hundred_megabytes(client, target, facts)


def check_parts(client: together.Together, target: Target, facts: Facts) -> None:
    """Above the threshold, in three parts."""
    files.MULTIPART_THRESHOLD_GB, files.TARGET_PART_SIZE_MB = 8 / 1024, 5
    path = write_input(target, "parts", "x" * 100_000, lines=120)
    puts = note_puts(client)
    file = client.files.upload(path, purpose="batch-api")
    facts.note("the parts were sent by themselves", assumed=3, observed=len(puts))
    facts.note("no key went with them", assumed=0, observed=sum("authorization" in headers for headers in puts))
    facts.note("the file has its size", assumed=path.stat().st_size, observed=file.bytes)
    facts.note("it comes back whole", assumed=True, observed=client.files.content(file.id).read() == path.read_bytes())


def check_abort(client: together.Together, target: Target, facts: Facts) -> None:
    """A part that cannot be sent ends the upload: the client gives it up, and nothing of it is a file."""
    before = [file.id for file in client.files.list().data]
    calls: list[str] = []

    def refuse(request: httpx.Request) -> None:
        calls.append(request.url.path.rpartition("/")[2])
        if request.method == "PUT" and request.url.path.endswith("/000002"):
            raise httpx.ConnectError("refused by the check", request=request)

    client._client.event_hooks = {"request": [refuse]}
    with suppress(Exception):
        client.files.upload(write_input(target, "abort", "x" * 100_000, lines=120), purpose="batch-api")
    client._client.event_hooks = {}
    facts.note("the client gave the upload up", assumed="abort", observed=calls[-1])
    facts.note("nothing of it is listed", assumed=before, observed=[file.id for file in client.files.list().data])


def check_hundred_megabytes(client: together.Together, target: Target, facts: Facts) -> None:
    """Below the client's own threshold, so in one PUT; the function never sees it."""
    files.MULTIPART_THRESHOLD_GB = THRESHOLD
    path = write_input(target, "hundred", "x" * MEGABYTE, lines=100)
    file = client.files.upload(path, purpose="batch-api", check=False)
    facts.note("100 MB have their size", assumed=True, observed=file.bytes == path.stat().st_size > 100 * MEGABYTE)
    saved = Path(target.folder / "hundred-back.jsonl")
    client.files.content(file.id).write_to_file(saved)
    facts.note("100 MB come back whole", assumed=True, observed=saved.read_bytes() == path.read_bytes())
    client.files.delete(file.id)


def note_puts(client: together.Together) -> list[Any]:
    """The headers of the PUTs of a client, from now on."""
    seen: list[Any] = []
    client._client.event_hooks = {"request": [lambda request: seen.append(request.headers) if request.method == "PUT" else None]}
    return seen


if __name__ == "__main__":
    main(check)
