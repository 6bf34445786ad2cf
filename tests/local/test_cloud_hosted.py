"""The local cloud's hosted backend: connected when both variables are given, and its key is kept."""

import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from slacktide_local.__main__ import check_connection
from slacktide_local.errors import NotConnectedError
from slacktide_local.fake_hosted import start_fake_hosted
from slacktide_local.hosted import Hosted, store_key, take_hosted

URL = "http://127.0.0.1:8741/v1"


class FakeSecrets:
    """A session, and its client of Secrets Manager."""

    def __init__(self) -> None:
        self.created: dict[str, str] = {}

    def client(self, service: str) -> "FakeSecrets":
        assert service == "secretsmanager"
        return self

    def create_secret(self, **arguments: str) -> dict[str, Any]:
        self.created = arguments
        return {"ARN": "arn:of-the-secret"}


def test_both_variables_connect_and_nothing_that_is_started_inherits_the_key() -> None:
    environment = {"TOGETHER_BASE_URL": URL, "TOGETHER_API_KEY": "key-1\n", "MAKEFLAGS": " -- TOGETHER_API_KEY=key-1", "A": "b"}
    hosted = take_hosted(environment)

    assert hosted == Hosted(URL, "key-1")
    assert environment == {"TOGETHER_BASE_URL": URL, "A": "b"}
    assert "key-1" not in repr(hosted)


def test_a_key_alone_which_may_be_in_anybodys_shell_connects_to_nothing() -> None:
    assert take_hosted({"TOGETHER_API_KEY": "key-1"}) is None
    assert take_hosted({"TOGETHER_API_KEY": "key-1", "TOGETHER_BASE_URL": ""}) is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TOGETHER_BASE_URL": URL}, "without TOGETHER_API_KEY"),
        ({"TOGETHER_BASE_URL": "api.together.ai/v1", "TOGETHER_API_KEY": "key-1"}, "not a URL"),
        ({"TOGETHER_BASE_URL": "https://user:word@host/v1", "TOGETHER_API_KEY": "key-1"}, "not a URL"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_key(environment: dict[str, str], said: str) -> None:
    with pytest.raises(NotConnectedError, match=said) as raised:
        take_hosted(environment)
    assert "key-1" not in str(raised.value)
    assert "word" not in str(raised.value)


def test_the_stack_is_told_the_arn_of_the_key_alone() -> None:
    session = FakeSecrets()
    parameters = store_key(Hosted(URL, "key-1"), session)

    assert parameters == {"TogetherBaseUrl": URL, "TogetherApiKeyArn": "arn:of-the-secret"}
    assert session.created["SecretString"] == "key-1"


@pytest.mark.parametrize(("running", "asked"), [(None, URL), (URL, None), (URL, "http://other/v1")])
def test_a_cloud_that_is_up_is_not_taken_for_one_with_another_backend(running: str | None, asked: str | None) -> None:
    check_connection(running, running)
    with pytest.raises(NotConnectedError, match="make down"):
        check_connection(running, asked)


def test_the_demos_upstream_takes_its_key_alone_and_ends_with_its_block(tmp_path: Path) -> None:
    with start_fake_hosted(tmp_path / "hosted", engine_module="slacktide_local.scripted_engine") as fake:
        fake.wait()
        key, processes = fake.hosted.key, list(fake.processes.values())
        answers = [
            httpx.get(f"{fake.hosted.base_url}/batches", headers={"Authorization": f"Bearer {word}"}).status_code
            for word in (key, "another")
        ]
        command_lines = [Path(f"/proc/{process.pid}/cmdline").read_text() for process in processes]
        assert all(process.is_alive() for process in processes)

    assert answers == [200, 401]
    assert all(key not in line for line in command_lines)
    assert stat.S_IMODE((tmp_path / "hosted" / "script.json").stat().st_mode) == 0o600
    assert len(processes) == 2
    assert not any(process.is_alive() for process in processes)
