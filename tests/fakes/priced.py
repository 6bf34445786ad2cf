"""A world with a hosted backend whose prices are simple, and what tests of quotas and money do with it."""

import json
from collections.abc import Callable
from typing import Any

from fakes.world import World, jsonl, request
from slacktide.backends.protocol import Limits
from slacktide.batch import Job
from slacktide.limits import OwnerLimits
from slacktide.models import parse_models, shipped_models
from slacktide.quotas import Pool

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
OTHER = "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8"
BOUND = 360  # tokens that the prompt of a request below is bounded by: its body has 104 bytes
LINE = 370  # a few more
BOUND_COST = 13_790  # millionths of a dollar of one with max_tokens: 379 * 10 + 100 * 100
PRICED = f"""
[[models]]
id = "{MODEL}"
family = "llama"
context = 1000
endpoints = ["/v1/chat/completions"]
backends.together = {{ id = "m", terms = [{{ as_of = 2026-01-01, batch = {{ input = 10, output = 100 }}, source = "a test" }}] }}
backends.sagemaker = {{ id = "m" }}
route = ["together", "together", "sagemaker"]
"""
COST = 13_700  # of its answer, if it is `expensive`
DAY = 86_400


def lines(count: int, model: str = MODEL, prompt: str = "hello", **body: Any) -> bytes:
    return jsonl(*(request(f"r{number}", prompt, model=model, **body) for number in range(count)))


def hosted(pool: Pool | None = None, limits: OwnerLimits | None = None) -> World:
    """A world with a hosted backend first, and a model of simple prices."""
    models = parse_models(PRICED, shipped_models())
    world = World(has_hosted=True, models=models, limits=limits or OwnerLimits())
    world.pools.clear()
    world.pools |= {"together": pool} if pool else {}
    world.hosted.limits = Limits(object_lines=100, object_bytes=10**6)
    return world


def drop(world: World, content: bytes, path: str, **metadata: str) -> None:
    assert world.deliver(world.drop(content, path, **metadata))


def jobs(world: World) -> list[Job]:
    return [job for batch in world.batches() for job in world.records.jobs(batch.batch_id)]


def latest(world: World, path: str) -> dict[str, Any]:
    return json.loads(world.s3.data(f"output/{path}/latest.json"))


def codes(world: World) -> list[str]:
    """The codes of all lines of all error files."""
    found = [world.bucket.read(batch.results.errors) for batch in world.batches()]
    return [json.loads(line)["error"]["code"] for text in found for line in text.splitlines()]


def run_until(world: World, is_reached: Callable[[], bool]) -> None:
    while not is_reached():
        assert world.states.step(), "it never comes to that"


def expensive(told: dict[str, Any], _: int) -> list[bytes]:
    """An answer that takes all that its request is bounded by: 370 tokens and 100."""
    body = {"choices": [], "usage": {"prompt_tokens": 370, "completion_tokens": 100}}
    return [json.dumps({"custom_id": told["custom_id"], "response": {"status_code": 200, "body": body}}).encode()]


def untold(told: dict[str, Any], _: int) -> list[bytes]:
    """An answer whose tokens are not told."""
    return [json.dumps({"custom_id": told["custom_id"], "response": {"status_code": 200, "body": {"choices": []}}}).encode()]
