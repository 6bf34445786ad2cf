"""The official clients and the questions about the service, put to the fake; `make smoke-together` puts them to the real one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients.facts import Facts, Target
from server_process import KEY, Server, run_server
from service_checks import QUESTIONS, check_service
from smoke import main, report, run_client

from slacktide_fake_together import Settings

MODEL = "m"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    """A fake that knows one model, and takes a moment over each batch, so that there is something to cancel."""
    with run_server(Settings(models=(MODEL,), validating_seconds=0.3)) as server:
        yield server


def differences(rows: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {name: fact for name, fact in rows.items() if fact["assumed"] != fact["observed"]}


def files_of_batches(server: Server) -> list[str]:
    return [batch["input_file_id"] for batch in server.steer("GET", "ledger")["batches"]]


@pytest.mark.parametrize(("script", "least", "batches"), [("client3.py", 20, 3), ("client1.py", 12, 1)])
def test_an_official_client_cannot_tell(script: str, least: int, batches: int, strict_server: Server, tmp_path: Path) -> None:
    before = files_of_batches(strict_server)
    rows = run_client(script, Target([strict_server.url, MODEL, str(tmp_path), "30"]), KEY)
    assert differences(rows) == {}
    assert len(rows) >= least
    made = files_of_batches(strict_server)[len(before) :]
    assert len(set(made)) == len(made) == batches


def test_the_fake_answers_every_question_as_it_assumes(strict_server: Server, tmp_path: Path) -> None:
    facts = Facts()
    with strict_server.connect() as http:
        check_service(http, Target([strict_server.url, MODEL, str(tmp_path), "30"]), facts)
    assert differences(facts.rows) == {}
    assert list(facts.rows) == [question.name for question in QUESTIONS]


def test_a_service_that_is_different_is_found_out(
    strict_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict_server.steer("POST", "settings", {"content_redirect": True})
    facts = Facts()
    try:
        with strict_server.connect() as http:
            check_service(http, Target([strict_server.url, MODEL, str(tmp_path), "30"]), facts)
    finally:
        strict_server.steer("POST", "settings", {"content_redirect": False})
    assert list(differences(facts.rows)) == ["the content of a file"]
    assert not report(facts.rows)
    assert "DIFFERENT   the content of a file: assumed 200, observed 302" in capsys.readouterr().out


def test_a_client_that_breaks_is_reported(tmp_path: Path) -> None:
    rows = run_client("client3.py", Target(["http://127.0.0.1:9", MODEL, str(tmp_path), "1"]), KEY)
    assert "APIConnectionError" in str(differences(rows)["client3.py runs"]["observed"])


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    assert main([]) == 2
    assert "TOGETHER_API_KEY=<your key>" in capsys.readouterr().err


def test_every_question_is_in_the_documentation_and_no_other() -> None:
    page = (ROOT / "docs" / "fake-together.md").read_text()
    section = page.partition("## What is not known")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", section, re.MULTILINE)[1:]
    documented = [(name, assumed) for name, assumed in rows if not name.startswith("-")]
    assert documented == [(question.name, question.assumed.replace("|", "\\|")) for question in QUESTIONS]
