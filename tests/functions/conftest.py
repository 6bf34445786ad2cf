"""Functions are tested without a network, over moto's AWS."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from fakes.backend import FakeBackend
from fakes.clock import SettableClock
from fakes.machines import FakeStates
from fakes.messaging import FakeEvents
from fakes.stack import VERBS, Context, Stack, clear_caches, load
from fakes.wire import Wire
from fakes.world import BUCKET, MACHINE
from slacktide import wiring
from slacktide.bucket import Bucket


@pytest.fixture(autouse=True)
def closed(no_sockets: None) -> None:
    """Every test of this folder runs without a network."""


@pytest.fixture
def stack(s3: Any, table: Any, queue_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """All functions with the environment that template.yaml gives them."""
    sqs = boto3.client("sqs")
    environment = {
        "BUCKET": BUCKET,
        "TABLE": table.name,
        "EVENT_BUS": "bus",
        "DEAD_LETTER_QUEUE_URL": queue_url,
        "INPUT_QUEUE_URL": sqs.create_queue(QueueName="input")["QueueUrl"],
        "BATCH_STATE_MACHINE": MACHINE + "batch",
        "JOB_STATE_MACHINE": MACHINE + "job",
        "FUNCTION_TIMEOUT": "300",
        "PROGRESS_INTERVAL": "0",
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"SLACKTIDE_{name}", value)
    clear_caches()
    wire, clock = Wire(), SettableClock()
    handlers = {verb: load(verb).handler for verb in VERBS}
    states = FakeStates(wire, clock, {verb: lambda event, verb=verb: handlers[verb](event, Context(verb)) for verb in VERBS})
    bus, backend = FakeEvents(wire), FakeBackend(wire, Bucket(s3, BUCKET))
    clients = {"stepfunctions": states, "events": bus, "sqs": sqs}
    monkeypatch.setattr(wiring, "_client", clients.__getitem__)
    monkeypatch.setattr(wiring, "backends", lambda: {"sagemaker": backend})
    monkeypatch.setattr(wiring, "now", clock)
    yield Stack(handlers, s3, sqs, table, queue_url, backend, states, bus)
    clear_caches()
