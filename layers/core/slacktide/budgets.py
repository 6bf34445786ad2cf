"""Budgets that cannot be kept: said before anything is spent."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from slacktide.batch import Batch, Failure, LineIndex
from slacktide.bitmap import Bitmap
from slacktide.bodies import EMBEDDINGS
from slacktide.bucket import Bucket
from slacktide.codes import Code
from slacktide.models import Model
from slacktide.prompts import least_tokens
from slacktide.quotas import Quotas
from slacktide.receipts import written
from slacktide.routes import Routes
from slacktide.stored_lines import read_lines
from slacktide.undone import members_of

MOST_READ = 1_000_000_000  # bytes of requests that are looked at, in some ten seconds; each of the others counts as one token
_BODY = msgspec.json.Decoder(dict)


@dataclass(frozen=True, slots=True)
class _Least:
    """The least that a batch can use, if every request is answered."""

    prompt: int
    output: int
    cost: Decimal

    def __add__(self, other: "_Least") -> "_Least":
        return _Least(self.prompt + other.prompt, self.output + other.output, self.cost + other.cost)


_NOTHING = _Least(0, 0, Decimal(0))


def refuse_budget(bucket: Bucket, batch: Batch, index: LineIndex, routes: Routes, quotas: Quotas) -> Failure | None:
    """Why a batch cannot keep its budgets: a price is not known, or the least that it costs is more than there may be.

    `index` is what validation has found, and has written but for itself.
    """
    if not quotas.has_budget(batch):
        return None
    models = [model for group in index.groups if (model := routes.models.find(group.model)) is not None]
    for model in models:
        unknown = next((backend for backend in routes.route(model) if not quotas.is_price_known(model, backend)), None)
        if unknown is not None:
            return _unknown_price(batch, model, unknown)
    least = sum(_find_least(bucket, msgspec.structs.replace(batch, total=index.total), index, routes), _NOTHING)
    budget = batch.options.max_cost_usd
    if budget is not None and least.cost > budget:
        return Failure(Code.BUDGET_EXCEEDED, f"max-cost-usd is {budget}, {_tell(least)} Allow more, or drop fewer requests.")
    limit = quotas.limits_of(batch.owner).usd_per_month
    if limit is not None and least.cost > limit:
        return Failure(Code.BUDGET_EXCEEDED, f"Its owner may spend {limit} USD in a month, {_tell(least)}")
    return None


def _find_least(bucket: Bucket, batch: Batch, index: LineIndex, routes: Routes) -> Iterator[_Least]:
    """The least of each group, by the cheapest backend of its route; what costs by the hour may take next to none of it."""
    invalid, room = Bitmap(batch.total, bucket.read(batch.keys.invalid)), MOST_READ
    for group in index.groups:
        model = routes.models.find(group.model)
        if model is None:
            continue
        members = members_of(bucket, batch, group.group)
        lines = members - invalid
        bodies = (body for line, body in read_lines(bucket, group, members, 1, batch.total) if line in lines)
        more, room = _look_at(bodies, group.endpoint, model, room)
        prompt, output = len(lines) + more, 0 if group.endpoint == EMBEDDINGS else len(lines)
        prices = [model.batch_price(backend) for backend in routes.route(model)]
        costs = [price.cost(prompt, output) if price else Decimal(0) for price in prices]
        yield _Least(prompt, output, min(costs, default=Decimal(0)))


def _look_at(bodies: Iterator[bytes], endpoint: str, model: Model, room: int) -> tuple[int, int]:
    """By how many tokens the first `room` bytes of requests are more than one each; answers what is left of the room too."""
    more = 0
    for body in bodies if model.tokenizer else ():
        room -= len(body)
        if room < 0:
            break
        more += least_tokens(_BODY.decode(body), endpoint, model) - 1
    return more, max(0, room)


def _tell(least: _Least) -> str:
    tokens = f"{least.prompt} of their prompts and {least.output} of their answers"
    return f"but its requests cost at least {written(least.cost)}, for as many tokens as there must be: {tokens}."


def _unknown_price(batch: Batch, model: Model, backend: str) -> Failure:
    """In whose name the budget is decides about the code: an option can be left away."""
    told = f"the price of {model.id} at {backend} is not known, so a budget cannot be kept there."
    advice = "State it in config/models.toml (own GPUs: take an instance type of known price), or leave the backend out of route"
    if batch.options.max_cost_usd is not None:
        return Failure(Code.INVALID_OPTION, f"max-cost-usd cannot be followed: {told} {advice}.")
    return Failure(Code.BUDGET_EXCEEDED, f"Its owner has a monthly budget, but {told} {advice}.")
