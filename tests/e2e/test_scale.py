"""Many lines through a local cloud whose container answers at once: a small `make scale`, and dead letters by the thousand."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from slacktide_local.cloud import LocalCloud
from slacktide_local.scale import PARAMETERS, check_run, run_bad_lines, run_file, take_letters
from slacktide_local.scale_file import ScaleFile

PATIENCE = 300  # seconds, on a busy machine
DEAD_LETTERS = 5_000


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("scale"), engine="instant", parameters=PARAMETERS) as cloud:
        yield cloud


def test_a_mixed_file_with_faults_of_all_kinds_is_accounted_for(cloud: LocalCloud, tmp_path: Path) -> None:
    """Every line once, in order, with its own id and answer or its own fault; no bad line is seen behind the stand-in.

    The first and the last line share a custom_id.
    """
    file = ScaleFile(lines=20_000, faults=200)
    file.write(tmp_path / "input.jsonl")
    run = run_file(tmp_path / "input.jsonl", cloud, name="mixed.jsonl", patience=PATIENCE)
    print(run.seconds)
    assert check_run(run, file, cloud, tmp_path) == []


def test_every_bad_line_has_its_dead_letter(cloud: LocalCloud, tmp_path: Path) -> None:
    """All are counted, and some read: to read all off the emulator's queue takes many times as long as to send them."""
    run, problems = run_bad_lines(DEAD_LETTERS, cloud, tmp_path, patience=PATIENCE)
    assert problems == []
    some = [letter["line"] for letter in islice(take_letters(cloud), 100) if letter["batch_id"] == run.latest["batch_id"]]
    assert len(set(some)) == 100
    assert set(some) <= set(range(1, DEAD_LETTERS + 1))
