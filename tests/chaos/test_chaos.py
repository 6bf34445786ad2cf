"""Random users, a random upstream, random deaths: by seed, so that a run can be seen again (`make chaos SEED=17`)."""

import pytest

from chaos.checks import check
from chaos.run import Run


def test_every_batch_ends_whole_and_nothing_is_paid_for_twice(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {seed}: make chaos SEED={seed}")
    run = Run(seed, monkeypatch)
    run.play()
    check(run)
