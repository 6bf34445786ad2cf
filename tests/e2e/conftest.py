"""A local cloud with a scripted engine, shared by all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.stack import Stack
from slacktide_local.cloud import LocalCloud


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    # A validator that was killed is followed by another after 21 s, not after 16 minutes.
    parameters = {"ValidateTimeoutSeconds": "5", "InputVisibilitySeconds": "21"}
    with LocalCloud.start(directory, engine="scripted", parameters=parameters) as cloud:
        yield Stack(cloud)
