"""What every part of the tests may use: a clock, AWS in process, a whole Slacktide in process."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest
from hypothesis import HealthCheck, settings
from moto import mock_aws

from fakes.clock import SettableClock
from fakes.schema import create_table
from fakes.world import BUCKET, World
from slacktide.bucket import Bucket
from slacktide.records import Records

# No deadlines: others share the processor. `long` is for the night: HYPOTHESIS_PROFILE=long (CONTRIBUTING.md).
settings.register_profile("short", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("short"), max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

# What shares a local cloud, or a server, that is started once for all of it.
TOGETHER = ("api", "cookbook", "e2e", "fake_together", "local", "transform")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes (`-n 2`) the tests of such a folder stay in one of them, in their order."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(folder))


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything fails."""

    def refuse(_: socket.socket, address: object) -> NoReturn:
        raise AssertionError(f"a unit test connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, clock: SettableClock) -> Iterator[boto3.Session]:
    """AWS as moto plays it, with the test's clock on its objects."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("moto.s3.models.utcnow", lambda: clock.utc().replace(tzinfo=None))
    with mock_aws():
        yield boto3.Session()


@pytest.fixture
def s3(aws: boto3.Session) -> Any:
    """S3's client, with a versioned bucket."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3, BUCKET)


@pytest.fixture
def table(aws: boto3.Session) -> Any:
    """The table as template.yaml has it."""
    create_table(aws.client("dynamodb"))
    return aws.resource("dynamodb").Table("table")


@pytest.fixture
def records(table: Any) -> Records:
    return Records(table)


@pytest.fixture
def queue_url(aws: boto3.Session) -> str:
    """A queue."""
    return aws.client("sqs").create_queue(QueueName="dead-letters")["QueueUrl"]


@pytest.fixture
def bus(aws: boto3.Session) -> str:
    """An event bus, by name."""
    aws.client("events").create_event_bus(Name="slacktide")
    return "slacktide"
