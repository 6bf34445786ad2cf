"""A local cloud with a scripted engine, shared by all tests of this folder, and keys of two owners."""

from collections.abc import Iterator

import pytest

from api.caller import Caller
from e2e.stack import Stack
from slacktide_local.cloud import LocalCloud


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with LocalCloud.start(tmp_path_factory.mktemp("cloud"), engine="scripted") as cloud:
        yield Stack(cloud)


@pytest.fixture(scope="session")
def caller(stack: Stack) -> Iterator[Caller]:
    """Somebody with a key."""
    with Caller.new(stack, "somebody") as caller:
        yield caller


@pytest.fixture(scope="session")
def stranger(stack: Stack) -> Iterator[Caller]:
    """Somebody else with a key."""
    with Caller.new(stack, "stranger") as caller:
        yield caller
