"""Which instance types with GPUs there are for transform jobs, and which models fit them: computed, not tried."""

import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated

import msgspec
from msgspec import Meta

from slacktide.models import Model, Weights
from slacktide.prices import Hours

GB = 1_000_000_000
ENGINE_SHARE = Decimal("0.9")  # of a GPU's memory, which vLLM takes (its default of --gpu-memory-utilization)
WORKSPACE_BYTES = GB  # of each GPU, for what the engine computes with
LEAST_CACHE = 8_192  # tokens of all requests that are answered at once; with fewer, a GPU idles
LEAST_CAPABILITY = Decimal("7.0")  # compute capability that vLLM wants


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instance type: its GPUs, the memory of each in 10^9 bytes, and its price; None is unknown."""

    name: str
    gpu: str
    gpus: Annotated[int, Meta(ge=1)]
    memory_gb: Annotated[int, Meta(ge=1)]
    capability: Decimal
    usd_per_hour: Decimal | None = None

    @property
    def family(self) -> str:
        """For example `g6e`."""
        return self.name.split(".")[1]


class InstanceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instance types, and when and where their prices were read."""

    as_of: date
    source: str
    instances: list[Instance]

    def find(self, name: str) -> Instance | None:
        """The instance type of a name; None when it is not known."""
        return next((instance for instance in self.instances if instance.name == name), None)


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on an instance type: how many of its GPUs share it, and the tokens of cache that are left."""

    instance: Instance
    gpus: int
    cache_tokens: int


@cache
def shipped_instances() -> InstanceTable:
    """The table that comes with the layer (`instances.toml`)."""
    text = resources.files("slacktide").joinpath("instances.toml").read_text()
    return msgspec.convert(tomllib.loads(text, parse_float=Decimal), InstanceTable)


def fit(weights: Weights, instance: Instance) -> Fit | None:
    """How a model lies on an instance type; None when it does not fit.

    Each GPU that shares the model holds its part of the parameters and of the cache. One instance holds a model whole: transform
    jobs do not connect their instances.
    """
    if instance.capability < LEAST_CAPABILITY:
        return None
    gpus = max(count for count in range(1, instance.gpus + 1) if weights.heads is None or weights.heads % count == 0)
    room = gpus * (int(instance.memory_gb * GB * ENGINE_SHARE) - WORKSPACE_BYTES) - weights.bytes
    tokens = room // weights.cache_bytes
    return Fit(instance, gpus, tokens) if tokens >= LEAST_CACHE else None


def find_fits(model: Model, table: InstanceTable) -> list[Fit] | None:
    """Where a model fits, in the order of the table; None when its weights are not known."""
    if model.weights is None:
        return None
    fits = (fit(model.weights, instance) for instance in table.instances)
    return [found for found in fits if found is not None]


def is_too_big(model: Model, instance_type: str) -> bool:
    """Whether it is known that a model does not fit an instance type. What is not known is given a try."""
    instance = shipped_instances().find(instance_type)
    return instance is not None and model.weights is not None and fit(model.weights, instance) is None


def price_hours(instance_type: str, count: int) -> Hours:
    """What instances of a type cost by the hour."""
    table = shipped_instances()
    instance = table.find(instance_type)
    return Hours(instance_type, count, instance and instance.usd_per_hour, table.as_of, table.source)
