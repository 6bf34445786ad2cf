"""What can be had of a batch that still runs: the parts of the jobs that have settled."""

import json

import httpx
import pytest

from api.caller import OPENAI, TOGETHER, Caller
from e2e.stack import eventually, request
from slacktide.statuses import JobState

pytestmark = pytest.mark.cloud


def test_finished_parts_are_there_before_the_end(caller: Caller) -> None:
    """Completions and chats are jobs of their own: that of the one settles while the other hangs."""
    body = {"model": "smollm2", "prompt": "once"}
    done = [{"custom_id": f"p{number}", "url": "/v1/completions", "body": body} for number in range(1, 4)]
    lines = [request("hang", "[[hang]]"), *done, "rubbish"]
    file_id = caller.upload("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode())
    batch_id = caller.ask("POST", f"{TOGETHER}/batches", json={"input_file_id": file_id, "endpoint": "/v1/completions"})["job"][
        "id"
    ]

    parts = eventually(lambda: caller.ask("GET", f"{OPENAI}/batches/{batch_id}/parts")["data"], what="a finished part")

    assert caller.batch(batch_id)["status"] == "in_progress"
    assert [(part["endpoint"], part["first"], part["last"]) for part in parts] == [("/v1/completions", 2, 4)]
    for root in (TOGETHER, OPENAI):
        where = caller.http.get(f"{root}/batches/{batch_id}/parts/{parts[0]['id']}")
        assert where.status_code == 302
        read = [json.loads(line) for line in httpx.get(where.headers["location"]).text.splitlines()]
        assert [line["custom_id"] for line in read] == ["p1", "p2", "p3"]
        assert all(line["response"]["status_code"] == 200 for line in read)
    assert caller.http.get(f"{OPENAI}/batches/{batch_id}/parts/r1-j9.1").status_code == 404
    assert caller.http.get(f"{OPENAI}/batches/{batch_id}/parts/x").status_code == 404
    caller.ask("POST", f"{OPENAI}/batches/{batch_id}/cancel")
    batch = caller.wait_for_end(batch_id)
    assert (batch["status"], batch["request_counts"]["completed"]) == ("cancelled", 3)
    assert all(job.state is JobState.SETTLED for job in caller.stack.jobs(batch_id))


def test_without_a_settled_job_there_are_no_parts(caller: Caller) -> None:
    batch_id = caller.create([request("hang", "[[hang]]")])
    assert caller.ask("GET", f"{OPENAI}/batches/{batch_id}/parts") == {"data": [], "object": "list"}
    caller.ask("POST", f"{OPENAI}/batches/{batch_id}/cancel")
