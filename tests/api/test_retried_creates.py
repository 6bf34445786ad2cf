"""A create that is sent again is the same batch: the official clients behind a proxy that loses answers."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from api.caller import CHAT, OPENAI, Caller, url_of
from api.dropping_proxy import DroppingProxy, Fault
from api.reader import paused_reader
from api.test_clients import CLIENTS, environment_of, python_of, run
from e2e.stack import Stack, jsonl, request
from slacktide.ids import new_file_id
from slacktide.statuses import BatchStatus

pytestmark = pytest.mark.cloud

ONE = [request("a")]
STAINLESS = ["together", "openai"]  # they say which retry a call is
NOT_FOUND = {"together": "NotFoundError", "openai": "NotFoundError", "together1": "InvalidRequestError"}


@dataclass(frozen=True)
class Scene:
    """A client behind the proxy, and a file of its own."""

    caller: Caller
    proxy: DroppingProxy
    file_id: str
    folder: object

    @property
    def url(self) -> str:
        return self.proxy.url + urlsplit(url_of(self.caller.stack)).path

    def create(self, client: str, count: int = 1, *key: str) -> list[str]:
        """Create batches of the file; answers the ids that the client got, or its errors."""
        environment = environment_of(self.caller.stack, self.folder, client) | {
            "TOGETHER_API_KEY": self.caller.key,
            "OPENAI_API_KEY": self.caller.key,
        }
        environment.pop("TOGETHER_BASE_URL", None)
        command = [python_of(client), str(CLIENTS / "creating.py"), client, self.url, self.file_id, str(count), *key]
        return json.loads(run(command, environment))

    def batches(self) -> list[str]:
        """Every batch of the file."""
        return [it.batch_id for it in self.caller.stack.records.batches_of_owner(self.caller.owner) if it.file_id == self.file_id]

    def retries(self) -> list[str | None]:
        """What each POST said about which retry it is."""
        headers = [{name.lower(): value for name, value in it.headers.items()} for it in self.proxy.seen]
        return [it.get("x-stainless-retry-count") for it in headers]


@pytest.fixture
def held(stack: Stack) -> Iterator[None]:
    """What is created here is not run."""
    with paused_reader(stack):
        yield


@pytest.fixture
def scene(caller: Caller, tmp_path: object) -> Iterator[Scene]:
    address = urlsplit(url_of(caller.stack))
    with DroppingProxy(f"{address.scheme}://{address.netloc}").running() as proxy:
        yield Scene(caller, proxy, caller.upload(jsonl(ONE)), tmp_path)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("faults", [["drop", "drop"], ["500", "500"], ["drop", "500"]], ids="-".join)
@pytest.mark.parametrize("client", STAINLESS)
def test_three_posts_are_one_batch(client: str, faults: list[Fault], scene: Scene) -> None:
    scene.proxy.faults = faults.copy()
    ids = scene.create(client)
    assert scene.retries() == ["0", "1", "2"], "the client sends again, and says so"
    assert scene.batches() == ids


@pytest.mark.usefixtures("held")
def test_a_client_that_does_not_say_that_it_sends_again(scene: Scene) -> None:
    scene.proxy.faults = ["500", "500"]
    ids = scene.create("together1")
    assert scene.retries() == [None, None, None]
    assert scene.batches() == ids
    assert scene.create("together1") == ids, "an equal call soon after is the same one too"


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("client", STAINLESS)
def test_a_second_create_on_purpose_is_another_batch(client: str, scene: Scene) -> None:
    first, second = scene.create(client, 2)
    assert first != second
    assert sorted(scene.batches()) == sorted([first, second])
    scene.proxy.faults = ["drop"]
    (third,) = scene.create(client)
    assert sorted(scene.batches()) == sorted([first, second, third]), "its retry is that one, not the one before"


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("client", STAINLESS)
def test_an_original_that_comes_after_its_retry(client: str, scene: Scene) -> None:
    scene.proxy.faults = ["late"]
    (first,) = scene.create(client)
    assert scene.retries() == ["0", "1"]
    assert scene.batches() == [first]
    (answer,) = scene.proxy.release()
    told = answer.json()
    assert told.get("job", told)["id"] == first
    assert scene.batches() == [first]
    (second,) = scene.create(client)
    assert second != first, "a new call is a new batch again"
    assert len(scene.batches()) == 2


@pytest.mark.usefixtures("held")
def test_an_idempotency_key_means_one_batch(scene: Scene) -> None:
    scene.proxy.faults = ["drop", "500"]
    ids = scene.create("openai", 2, "key-1")
    assert ids[0] == ids[1]
    assert scene.batches() == ids[:1]
    (other,) = scene.create("openai", 1, "key-2")
    assert sorted(scene.batches()) == sorted([ids[0], other])
    body = {"input_file_id": scene.file_id, "endpoint": CHAT, "completion_window": "1h"}
    answer = scene.caller.http.post(f"{OPENAI}/batches", json=body, headers={"Idempotency-Key": "key-1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "idempotency_key_reused")


@pytest.mark.usefixtures("held")
def test_a_key_of_another_owner_is_another_key(scene: Scene, stranger: Caller) -> None:
    headers = {"Idempotency-Key": "shared"}
    own, foreign = (
        it.ask("POST", f"{OPENAI}/batches", json={"input_file_id": it.upload(jsonl(ONE)), "endpoint": CHAT}, headers=headers)
        for it in (scene.caller, stranger)
    )
    assert own["id"] != foreign["id"]


@pytest.mark.parametrize("client", NOT_FOUND)
def test_a_file_that_is_not_there_is_not_asked_for_again(client: str, scene: Scene) -> None:
    missing = replace(scene, file_id=new_file_id())
    assert missing.create(client) == [NOT_FOUND[client]]
    assert len(scene.proxy.seen) == 1


@pytest.mark.usefixtures("held")
def test_a_retry_is_the_same_batch_also_when_its_file_is_gone(scene: Scene, stack: Stack) -> None:
    headers, body = {"Idempotency-Key": "key-3"}, {"input_file_id": scene.file_id, "endpoint": CHAT}
    batch_id = scene.caller.ask("POST", f"{OPENAI}/batches", json=body, headers=headers)["id"]
    for status in (BatchStatus.CANCELLING, BatchStatus.FINALIZING, BatchStatus.CANCELLED):
        stack.records.change_status(batch_id, status, int(time.time()))
    scene.caller.ask("DELETE", f"{OPENAI}/files/{scene.file_id}")
    assert scene.caller.ask("POST", f"{OPENAI}/batches", json=body, headers=headers)["id"] == batch_id
    assert scene.caller.http.post(f"{OPENAI}/batches", json=body).status_code == 404


def test_what_was_retried_runs_once(scene: Scene, stack: Stack) -> None:
    scene.proxy.faults = ["drop", "drop"]
    (batch_id,) = scene.create("openai")
    assert scene.caller.wait_for_end(batch_id)["status"] == "completed"
    assert list(stack.created_jobs(batch_id).values()) == [1]
