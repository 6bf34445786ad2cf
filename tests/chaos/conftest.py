"""Which seeds are run: `--seeds 1000` for the first thousand, `--seed 17` for that one alone."""

import pytest

SEEDS = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=SEEDS, help="how many runs of chaos")
    parser.addoption("--seed", type=int, help="one run of chaos, to see it again")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        # Not there where the whole suite is run from the top: pytest reads this file too late for options of its own.
        seed: int | None = metafunc.config.getoption("--seed", None)
        count: int = metafunc.config.getoption("--seeds", SEEDS) or SEEDS
        metafunc.parametrize("seed", range(1, count + 1) if seed is None else [seed])


@pytest.fixture(autouse=True)
def closed(no_sockets: None) -> None:
    """Chaos runs without a network."""
