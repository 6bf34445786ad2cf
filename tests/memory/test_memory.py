"""Memory stays flat for a million lines: what is resident above the imports, in processes of their own, over objects on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = 1_000_000
MB = 1_000_000
VALIDATION = 40 * MB + 12 * LINES
RESULTS = 256 * MB


def run(stage: str, folder: Path) -> dict[str, Any]:
    """Carry a stage out in a fresh interpreter; answers the most memory that it took, in bytes, and the lines that it saw."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-m", "memory.stages", stage, str(folder), str(LINES)]
    environment = os.environ | {"PYTHONPATH": paths, "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=600)
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"{stage}: {told['memory'] / MB:.1f} MB, {told['seconds']:.1f} s")
    return told


@pytest.mark.parametrize("stage", ["look", "look at repeats", "look at faults"])
def test_a_million_lines_are_looked_at_in_little_memory(tmp_path: Path, stage: str) -> None:
    """`slacktide validate`: lines as they mostly are; each id twice; every other line bad."""
    told = run(stage, tmp_path)
    assert told["count"] == LINES
    assert told["memory"] < VALIDATION


def test_a_million_lines_go_through_the_pipeline_in_little_memory(tmp_path: Path) -> None:
    """Validated with splitting, answered (which is not ours), collected, assembled."""
    run("write", tmp_path)
    validated = run("validate", tmp_path)
    assert validated["count"] == LINES
    assert validated["memory"] < VALIDATION
    assert run("answer", tmp_path)["count"] == LINES
    for stage in ("collect", "assemble"):
        told = run(stage, tmp_path)
        assert told["count"] == LINES
        assert told["memory"] < RESULTS
