"""A batch by the official client alone, as one writes it first: upload, create, poll, download.

Run by `bench.hosted` in the environment of the package `together`: `python bench/plain_client.py FILE FOLDER`; TOGETHER_BASE_URL
and TOGETHER_API_KEY say where. Prints the seconds of each stage as JSON.
"""

import json
import sys
import time
from pathlib import Path

from together import Together  # pyright: ignore[reportMissingImports] - of the environment that runs this

POLL_SECONDS = 0.2


def run(source: Path, folder: Path) -> dict[str, float]:
    """Run one batch; its output lies in the folder afterwards."""
    client = Together()
    times = [time.perf_counter()]
    file = client.files.upload(source, purpose="batch-api")
    times.append(time.perf_counter())
    job = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions").job
    times.append(time.perf_counter())
    while job.status not in {"COMPLETED", "FAILED", "EXPIRED", "CANCELLED"}:
        time.sleep(POLL_SECONDS)
        job = client.batches.retrieve(job.id)
    times.append(time.perf_counter())
    with client.files.with_streaming_response.content(job.output_file_id) as response:
        response.stream_to_file(folder / "output.jsonl")
    times.append(time.perf_counter())
    names = ("upload", "create", "wait", "download")
    return {name: after - before for name, before, after in zip(names, times[:-1], times[1:], strict=True)}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), Path(sys.argv[2]))))
