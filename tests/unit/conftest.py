"""Unit tests open no socket."""

import pytest


@pytest.fixture(autouse=True)
def closed(no_sockets: None) -> None:
    """Every test of this folder runs without a network."""
