"""The handlers as Lambda loads them, over moto's AWS, with a scripted backend and the real machines in process."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from fakes.backend import FakeBackend
from fakes.machines import FakeStates
from fakes.messaging import FakeEvents
from fakes.world import BUCKET, World
from slacktide import wiring
from slacktide.api import wiring as api_wiring

FUNCTIONS = Path(__file__).parents[2] / "functions"
VERBS = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))


@dataclass
class Context:
    """What Lambda tells a handler."""

    function_name: str
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:1:function:f"
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


def load(verb: str) -> ModuleType:
    """The module functions/<verb>/app.py."""
    spec = importlib.util.spec_from_file_location(f"function_{verb}", FUNCTIONS / verb / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clear_caches() -> None:
    for thing in [*vars(wiring).values(), *vars(api_wiring).values()]:
        if hasattr(thing, "cache_clear"):
            thing.cache_clear()


@dataclass
class Stack:
    """The deployed functions."""

    handlers: dict[str, Callable[[dict[str, Any], Any], dict[str, Any]]]
    s3: Any
    sqs: Any
    table: Any
    letters_url: str
    backend: FakeBackend
    states: FakeStates
    bus: FakeEvents

    def call(self, verb: str, event: dict[str, Any]) -> dict[str, Any]:
        return self.handlers[verb](event, Context(verb))

    def drop(self, content: bytes, path: str = "a.jsonl") -> dict[str, Any]:
        """Put a file into the drop zone; answers the event that Lambda would get from the input queue."""
        put = self.s3.put_object(Bucket=BUCKET, Key=f"input/{path}", Body=content)
        return self.message(World().event(f"input/{path}", put["ETag"], put["VersionId"]))

    def message(self, event: dict[str, Any] | str) -> dict[str, Any]:
        record = World().record({})
        return {"Records": [record | {"body": event if isinstance(event, str) else json.dumps(event)}]}

    def run(self) -> None:
        while self.states.step():
            pass

    def results(self, name: str) -> bytes:
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="output/")["Contents"]
        (key,) = (entry["Key"] for entry in listed if entry["Key"].endswith(name))
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def letters(self) -> list[str]:
        """The bodies of the dead letters."""
        bodies: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=self.letters_url, MaxNumberOfMessages=10).get("Messages"):
            bodies += [message["Body"] for message in messages]
        return bodies
