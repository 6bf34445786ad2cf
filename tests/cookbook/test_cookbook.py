"""The walkthroughs of docs/cookbook run as they stand: every block of a page in order, on one local cloud for all of them."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from slacktide_cli.receipts import dollars, read_receipt
from slacktide_local.cloud import LocalCloud

pytestmark = pytest.mark.cloud

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "cookbook"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}
MOST_SECONDS = 300  # of one block
SIDE_BY_SIDE = 3  # pages


class Line(msgspec.Struct):
    """What of a result line is looked at."""

    custom_id: str | None = None
    error: dict[str, object] | None = None


@dataclass(frozen=True)
class Walk:
    """A page that was gone through: where, what its blocks told, and the block that failed, if one did."""

    page: Path
    folder: Path
    told: str
    failed: str | None

    @property
    def results(self) -> Path:
        return self.folder / "results" / "cookbook" / self.page.stem


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Walk]:
    """All pages side by side, since most of their time is waiting, on a local cloud with real inference."""
    folders = {page: make_clone(tmp_path_factory.mktemp(page.stem)) for page in PAGES}
    with LocalCloud.start(tmp_path_factory.mktemp("cloud"), engine="llama") as cloud:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLACKTIDE_"))}
        with ThreadPoolExecutor(SIDE_BY_SIDE) as walkers:
            found = walkers.map(lambda page: go_through(page, folders[page], {**kept, **cloud.environment}), PAGES)
            return {walk.page: walk for walk in found}


def make_clone(folder: Path) -> Path:
    """A folder that looks like the repository to a page, but for what earlier runs have left."""
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder


def go_through(page: Path, folder: Path, environment: dict[str, str]) -> Walk:
    """Run the blocks of a page in order, up to one that fails."""
    told = ""
    for kind, text in BLOCK.findall(page.read_text()):
        command = [*RUNNERS[kind], text]
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
        )
        if ended.returncode != 0:
            return Walk(page, folder, told, f"{text}\n{ended.stdout}\n{ended.stderr}")
        told += ended.stdout
    return Walk(page, folder, told, None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_walkthrough_runs_as_it_stands(page: Path, walks: dict[Path, Walk]) -> None:
    walk = walks[page]
    assert walk.failed is None, walk.failed
    assert {kind for kind, _ in BLOCK.findall(page.read_text())} == set(RUNNERS)
    first, second = (read_lines(walk.results / run / "errors.jsonl") for run in ("first", "second"))
    assert len(first) == 1, "the page shows what an error file looks like"
    assert str((first[0].error or {})["code"]) in page.read_text()
    assert second == [], "and a retry that mends it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_walkthrough_tells_its_costs_from_the_receipt(page: Path, walks: dict[Path, Walk]) -> None:
    costs = read_receipt(walks[page].results / "first" / "receipt.json").costs
    assert costs is not None
    assert costs.complete
    assert f"Cost: {dollars(costs.cost)}" in walks[page].told


def test_every_page_is_in_the_table() -> None:
    listed = re.findall(r"\]\((\w+\.md)\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == [page.name for page in PAGES]
    assert len(PAGES) == 5


def read_lines(path: Path) -> list[Line]:
    return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]
