"""Fixtures of the local cloud's tests: an S3 on a loopback port, and the SageMaker stand-in in front of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sagemaker_stand_in import CREDENTIALS, StandIn, start_stand_in


@dataclass(frozen=True)
class Storage:
    """An S3 endpoint, a client for it, and a bucket."""

    url: str
    client: Any
    bucket: str = "data"


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    """S3 by moto."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    storage = Storage(f"http://{host}:{port}", boto3.client("s3", endpoint_url=f"http://{host}:{port}", **CREDENTIALS))
    storage.client.create_bucket(Bucket=storage.bucket)
    yield storage
    server.stop()


@pytest.fixture
def start(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., StandIn]]:
    """Start a stand-in of the test's own, with further options."""
    with ExitStack() as stack:

        def open_one(*options: str) -> StandIn:
            log = tmp_path_factory.mktemp("stand-in") / "log"
            return stack.enter_context(start_stand_in(storage.url, storage.client, storage.bucket, *options, log=log))

        yield open_one


@pytest.fixture(scope="session")
def stand_in(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The stand-in that most tests share: names are never used twice."""
    log = tmp_path_factory.mktemp("stand-in") / "log"
    with start_stand_in(storage.url, storage.client, storage.bucket, log=log) as running:
        yield running
