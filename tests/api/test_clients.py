"""The official clients, unmodified, in their own environments: only their address and key are Slacktide's."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.caller import create_key, url_of
from e2e.stack import MODEL, PATIENCE, Stack

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).with_name("clients")
SHARED = ROOT / "tests" / "fake_together" / "clients"
MINUTES = 180  # seconds that a client may take, on a busy machine
# The official client reports its use and looks for newer versions unless told not to.
QUIET = {"TOGETHER_TELEMETRY_DISABLED": "1", "TOGETHER_DISABLE_VERSION_CHECK": "1", "TOGETHER_NO_BANNER": "1"}

pytestmark = pytest.mark.cloud


def environment_of(stack: Stack, folder: Path, venv: str) -> dict[str, str]:
    """A client's environment: the home directory may hold a log-in, so it has one of its own."""
    _, key = create_key(stack, f"client-{folder.name}")
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SHARED), **QUIET}
    variables |= {"TOGETHER_API_KEY": key, "OPENAI_API_KEY": key, "SLACKTIDE_API_KEY": key, "SLACKTIDE_API_URL": url_of(stack)}
    return variables | ({"TOGETHER_BASE_URL": f"{url_of(stack)}/v1"} if venv == "together1" else {})


def python_of(venv: str) -> str:
    return str(ROOT / ".slacktide" / "venvs" / venv / "bin" / "python")


def run(command: list[str], environment: dict[str, str], folder: Path = ROOT) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder, timeout=MINUTES)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout


@pytest.mark.parametrize(
    ("venv", "script", "least"),
    [
        ("together1", "together1", 24),
        ("together", "together3", 32),
        ("together", "together3_parts", 8),
        ("together", "tg", 18),
        ("openai", "openai_files", 42),
        ("openai", "openai_batches", 49),
        ("openai", "openai_async", 12),
    ],
)
def test_an_official_client_works_unchanged(venv: str, script: str, least: int, stack: Stack, tmp_path: Path) -> None:
    command = [python_of(venv), str(CLIENTS / f"{script}.py"), url_of(stack), MODEL, str(tmp_path), str(PATIENCE)]
    rows: dict[str, Any] = json.loads(run(command, environment_of(stack, tmp_path, venv)))
    assert {name: fact for name, fact in rows.items() if fact["assumed"] != fact["observed"]} == {}
    assert len(rows) >= least


def examples() -> dict[str, str]:
    """The programs of the README, by the client that they use."""
    text = (ROOT / "README.md").read_text()
    return dict(re.findall(r"^```python (together|openai)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def test_the_readme_shows_both_clients_in_ten_lines() -> None:
    assert examples().keys() == {"together", "openai"}
    assert all(len(program.strip().splitlines()) <= 10 for program in examples().values())


@pytest.mark.parametrize("venv", ["together", "openai"])
def test_the_lines_of_the_readme_run(venv: str, stack: Stack, tmp_path: Path) -> None:
    output = run([python_of(venv), "-c", examples()[venv]], environment_of(stack, tmp_path, venv))
    wanted = [json.loads(line)["custom_id"] for line in (ROOT / "examples" / "evaluation.jsonl").read_text().splitlines()]
    assert [json.loads(line)["custom_id"] for line in output.splitlines() if line] == wanted
