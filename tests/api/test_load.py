"""200 clients through the gateway, listing and creating: each call is answered, none with a 5xx.

What happens when all of them are inside of the function at the same moment: test_contention.py.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from api.caller import CHAT, OPENAI, Caller, url_of
from api.reader import paused_reader
from e2e.stack import Stack, jsonl, request

CLIENTS = 200
# The emulator makes a process for each call in flight, which takes a second of a processor: AWS keeps some ready. The clients
# are there at the same time all the same, and their calls come in any order.
IN_FLIGHT = 6
SECONDS = 240  # bounds a hang; a quiet machine takes some 15 s

pytestmark = pytest.mark.cloud


@pytest.fixture
def busy(stack: Stack) -> Iterator[Caller]:
    """Somebody whose batches nobody runs: it is the API that is under load."""
    with paused_reader(stack), Caller.new(stack, "busy") as caller:
        yield caller


async def be_a_client(session: aiohttp.ClientSession, number: int, file_id: str) -> list[tuple[int, str | None]]:
    """List, create, look, list: the status of each call, and the id of what was created."""
    body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", "metadata": {"client": str(number)}}
    calls = [
        ("GET", f"{OPENAI}/files", None),
        ("POST", f"{OPENAI}/batches", body),
        ("GET", f"{OPENAI}/batches?limit=5", None),
    ]
    seen: list[tuple[int, str | None]] = []
    for method, path, json in calls:
        async with session.request(method, url_of_call(session, path), json=json) as answer:
            told = await answer.json()
            seen.append((answer.status, told.get("id")))
    return seen


def url_of_call(session: aiohttp.ClientSession, path: str) -> str:
    return f"{session.headers['x-base']}{path}"


async def run_clients(caller: Caller, file_id: str) -> list[list[tuple[int, str | None]]]:
    headers = {"Authorization": f"Bearer {caller.key}", "x-base": url_of(caller.stack)}
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        work = [be_a_client(session, number, file_id) for number in range(CLIENTS)]
        return await asyncio.wait_for(asyncio.gather(*work), SECONDS)


def test_two_hundred_clients_at_once(busy: Caller) -> None:
    file_id = busy.upload(jsonl([request("a")]))
    begun = time.monotonic()
    seen = asyncio.run(run_clients(busy, file_id))
    print(f"{CLIENTS} clients, {sum(map(len, seen))} calls, {time.monotonic() - begun:.1f} s")
    assert Counter(status for calls in seen for status, _ in calls) == {200: 3 * CLIENTS}
    created = [calls[1][1] for calls in seen]
    assert len(set(created)) == CLIENTS, "each call with its own metadata is a batch of its own"
    assert {batch.batch_id for batch in busy.stack.records.batches_of_owner(busy.owner)} == set(created)
