"""The walkthroughs of docs/cookbook run as they stand: every block of a page in order, on one local cloud for all of them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slacktide_cli.receipts import read_receipt
from slacktide_local.cloud import LocalCloud

pytestmark = pytest.mark.cloud

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "cookbook"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}
MOST_SECONDS = 120  # of one block


class Line(msgspec.Struct):
    """What of a result line is looked at."""

    custom_id: str | None = None
    error: dict[str, object] | None = None


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud with real inference, as `make up` starts it."""
    with LocalCloud.start(tmp_path_factory.mktemp("cloud"), engine="llama") as running:
        yield running


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that looks like the repository to a page, but for what earlier runs have left."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_walkthrough_runs_as_it_stands(page: Path, clone: Path, cloud: LocalCloud) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLACKTIDE_"))}
    blocks = BLOCK.findall(page.read_text())
    assert {kind for kind, _ in blocks} == set(RUNNERS)
    told = ""
    for kind, text in blocks:
        ended = subprocess.run(
            [*RUNNERS[kind], text],
            cwd=clone,
            env={**environment, **cloud.environment},
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"
        told += ended.stdout
    results = clone / "results" / "cookbook" / page.stem
    first, second = (read_lines(results / run / "errors.jsonl") for run in ("first", "second"))
    assert len(first) == 1, "the page shows what an error file looks like"
    code = str((first[0].error or {})["code"])
    assert code in page.read_text()
    assert second == [], "and a retry that mends it"
    costs = read_receipt(results / "first" / "receipt.json").costs
    assert costs is not None
    assert costs.complete
    assert "Cost: $" in told
    assert "completed" in told


def test_every_page_is_in_the_table() -> None:
    listed = re.findall(r"\]\((\w+\.md)\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == [page.name for page in PAGES]
    assert len(PAGES) == 5


def read_lines(path: Path) -> list[Line]:
    return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]
