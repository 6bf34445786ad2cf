"""Budgets that cannot be kept: said before anything is spent."""

from collections.abc import Iterable
from decimal import Decimal

from slacktide.batch import Batch, Failure, Group
from slacktide.bodies import EMBEDDINGS
from slacktide.codes import Code
from slacktide.models import Model
from slacktide.quotas import Quotas
from slacktide.routes import Routes


def refuse_budget(batch: Batch, groups: Iterable[Group], routes: Routes, quotas: Quotas) -> Failure | None:
    """Why a batch cannot keep its budgets: a price is not known, or the least that it costs is more than there may be."""
    if not quotas.has_budget(batch):
        return None
    least = Decimal(0)
    for group in groups:
        model = routes.models.find(group.model)
        if model is None:
            continue
        route = routes.route(model)
        unknown = next((backend for backend in route if not quotas.is_price_known(model, backend)), None)
        if unknown is not None:
            return _unknown_price(batch, model, unknown)
        least += min((_least_cost(group, model, backend) for backend in route), default=Decimal(0))
    budget = batch.options.max_cost_usd
    if budget is not None and least > budget:
        message = f"max-cost-usd is {budget}, but its requests cost at least {least}: one token each, and one of each answer."
        return Failure(Code.BUDGET_EXCEEDED, f"{message} Allow more, or drop fewer requests.")
    limit = quotas.limits_of(batch.owner).usd_per_month
    if limit is not None and least > limit:
        message = f"Its owner may spend {limit} USD in a month, but its requests cost at least {least}"
        return Failure(Code.BUDGET_EXCEEDED, f"{message}: one token each, and one of each answer.")
    return None


def _least_cost(group: Group, model: Model, backend: str) -> Decimal:
    """A prompt has a token at least, and so has an answer; what costs by the hour may take next to none of it."""
    price = model.batch_price(backend)
    return price.cost(group.lines, 0 if group.endpoint == EMBEDDINGS else group.lines) if price else Decimal(0)


def _unknown_price(batch: Batch, model: Model, backend: str) -> Failure:
    """In whose name the budget is decides about the code: an option can be left away."""
    told = f"the price of {model.id} at {backend} is not known, so a budget cannot be kept there."
    advice = "State it in config/models.toml (own GPUs: take an instance type of known price), or leave the backend out of route"
    if batch.options.max_cost_usd is not None:
        return Failure(Code.INVALID_OPTION, f"max-cost-usd cannot be followed: {told} {advice}.")
    return Failure(Code.BUDGET_EXCEEDED, f"Its owner has a monthly budget, but {told} {advice}.")
