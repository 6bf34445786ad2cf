"""What the tests themselves rely on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
GROUPED = """
import os
import pytest

@pytest.mark.parametrize("number", range(8))
def test_where_it_runs(number):
    with open("workers", "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], file=file)
"""


def test_tests_of_a_folder_that_shares_a_cloud_stay_in_one_process(tmp_path: Path) -> None:
    """Otherwise each process starts a local cloud of its own."""
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "e2e").mkdir()
    (tmp_path / "e2e" / "test_grouped.py").write_text(GROUPED)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", "-q"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    workers = (tmp_path / "workers").read_text().split()
    assert len(workers) == 8
    assert len(set(workers)) == 1
