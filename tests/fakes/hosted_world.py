"""The real client of Together in a world, over the fake Together."""

import json
from typing import Any

import httpx

from fakes.hosted_bench import KEY, URLS, FakeSecrets
from fakes.world import World
from slacktide.backends.api_keys import ApiKey
from slacktide.backends.dialects import TOGETHER
from slacktide.backends.hosted import HostedBatches
from slacktide.backends.upstream import Upstream
from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.transport import FakeTransport

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # its route: together, together, sagemaker


class StrictTransport(FakeTransport):
    """A service that answers 404 to the create of a file that it does not have."""

    def __init__(self, fake: FakeTogether, **more: Any) -> None:
        super().__init__(fake, **more)
        self.service = fake.service

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if (request.method, request.url.path) == ("POST", "/v1/batches"):
            file_id = json.loads(request.read())["input_file_id"]
            if file_id not in self.service.account.files:
                return httpx.Response(404)
        return super().handle_request(request)


class WiredTransport(StrictTransport):
    """The same, and each call goes over the wire of the world as `Http.<method>`."""

    def __init__(self, fake: FakeTogether, world: World, **more: Any) -> None:
        super().__init__(fake, **more)
        self.wire = world.wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.wire.before(f"Http.{request.method}")
        try:
            return super().handle_request(request)
        finally:
            self.wire.after()


def connect(world: World, requests: int = 5, **settings: Any) -> FakeTogether:
    """Put the real client in the place of `together`, on the world's bucket, clock and wire."""

    def sleep(seconds: float) -> None:
        world.clock.advance(int(seconds))

    fake = FakeTogether(Settings(keys=(KEY,), **settings), clock=world.clock, seed=7)
    key = ApiKey(FakeSecrets, "arn:secret")
    upstream = Upstream(TOGETHER.name, URLS[TOGETHER.name], key, WiredTransport(fake, world, sleep=sleep), sleep, world.clock)
    world.backends["together"] = HostedBatches(TOGETHER, upstream, world.bucket, requests, world.clock)
    return fake


def line_of(custom_id: str) -> str:
    """The line of a request; a later round of it is the same line."""
    return custom_id.rpartition(".")[2]
