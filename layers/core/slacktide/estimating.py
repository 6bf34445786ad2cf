"""Estimate: what a file would cost by each backend of its models' routes, before anything is spent.

Prompts are counted by the model's own tokenizer where the caller has it, on a sample if the file is big, and bounded otherwise;
answers are bounded by what the requests ask for. So a cost has two ends: the prompts alone, and the most that it can be.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Annotated

import msgspec
from msgspec import Meta

from slacktide.batch import Failure, Options
from slacktide.compression import Limits
from slacktide.inputs import open_input
from slacktide.instances import is_too_big, price_hours
from slacktide.models import OWN_GPUS, Model, ModelTable
from slacktide.prices import Hours, Price, Terms
from slacktide.prompts import Vocabulary
from slacktide.receipts import written
from slacktide.refusals import refuse_lines
from slacktide.tallies import Tallies, Tally
from slacktide.validation import Checker

START_SECONDS = 600  # until instances have the image and the weights, which is paid for; assumed, at the high end
COUNTED, SAMPLED, BOUND = "counted", "sampled", "bound"
NO_SPEED = "The model table has no speed of it on this instance type."
TOO_BIG = "It does not fit this instance type."

# What the command line's manual says of the fields with these names.
_TOKENS = (
    "of prompts and answers. `method`: `counted`; `sampled`, so `prompt` is off by `error` at most in 95 of 100 samples; or "
    "`bound`. `prompt_most` and `output_most` are the most of both"
)
_REAL_TIME = "the same in real time, by list prices"
_MOST = "of the `prompts` alone, and the `most` that it can be; null is not known. On own GPUs `most` is all"


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of all prompts, and the most of prompts and answers.

    `method`: counted; sampled, so off by `error` at most in 95 of 100 samples; or a bound.
    """

    method: str
    prompt: int
    error: int
    prompt_most: int
    output_most: int


class Range(msgspec.Struct, frozen=True):
    """USD as texts: the prompts alone, and the most that it can be; null is not known."""

    prompts: str | None
    most: str | None


class BackendCost(msgspec.Struct, frozen=True):
    """A group at one backend of its route. For own GPUs `most` is all, and `instance` what they are."""

    backend: str
    cost: Annotated[Range, Meta(description=_MOST)]
    as_of: Annotated[str | None, Meta(description="the day of the price; null where there is none")]
    source: Annotated[str | None, Meta(description="where it was read")]
    batchable: Annotated[bool | None, Meta(description="whether the backend says that it runs the model in batches")] = None
    batch_discount: Annotated[str | None, Meta(description="the share off its real-time price")] = None
    ends: Annotated[str | None, Meta(description="the last day of the model there")] = None
    instance: Annotated[str | None, Meta(description="the instance type of own GPUs")] = None
    note: Annotated[str | None, Meta(description="why something is not known, or what else counts")] = None


class GroupEstimate(msgspec.Struct, frozen=True):
    """The good lines of one model and endpoint; `backends` are those of its route, in order."""

    model: str
    endpoint: str
    lines: Annotated[int, Meta(description="its good lines")]
    tokens: Annotated[Tokens, Meta(description=_TOKENS)]
    backends: Annotated[list[BackendCost], Meta(description="those of its route, in order")]
    real_time: Annotated[Range, Meta(description=_REAL_TIME)]


class Alternative(msgspec.Struct, frozen=True):
    """The same lines on another model, by its first backend that has a price."""

    model: str
    backend: str
    cost: Range


class Estimate(msgspec.Struct, frozen=True):
    """What a file would cost: `cost` by the first backend of each route, `real_time` for comparison.

    `seconds` is how long it may take; null, as long as there is no history to tell it from.
    """

    total: Annotated[int, Meta(description="lines")]
    invalid: Annotated[int, Meta(description="lines with faults, which cost nothing")]
    codes: Annotated[dict[str, int], Meta(description="bad lines by code, the commonest first")]
    failure: Annotated[Failure | None, Meta(description="of the failed batch, if the file would be refused; else null")]
    groups: Annotated[list[GroupEstimate], Meta(description="one for each model and endpoint")]
    cost: Annotated[Range, Meta(description="of all, by the first backend of each route: the `prompts` alone, and the `most`")]
    real_time: Annotated[Range, Meta(description=_REAL_TIME)]
    alternatives: Annotated[list[Alternative], Meta(description="if asked for: all of it on other models, the cheapest first")]
    seconds: Annotated[int | None, Meta(description="how long it may take; null: not known")] = None
    currency: str = "USD"


def no_vocabulary(_: Model) -> None:
    """For callers without tokenizers: prompts are bounded."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates files. `find_vocabulary` answers a model's tokenizer or None; the instances are those of the stack."""

    models: ModelTable
    route: Callable[[Model], list[str]]
    find_vocabulary: Callable[[Model], Vocabulary | None] = no_vocabulary
    instance_type: str = "ml.g6.xlarge"
    instance_count: int = 1
    limits: Limits = field(default_factory=Limits)

    def estimate(
        self, blocks: Iterable[bytes], *, name: str | None, size: int | None, options: Options, compare: bool = False
    ) -> Estimate:
        """Estimate a file that comes in blocks; `compare`: on the other models of the table too."""
        file = open_input(blocks, name=name, size=size, limits=self.limits)
        if file.refusal:
            return _nothing(file.refusal)
        with TemporaryFile() as ids:
            tallies = Tallies(self.models, ids)
            checker = Checker(self.models.find, self.route, options.endpoint, only_model=options.only_model)
            scan = tallies.scan(checker, file.blocks)
        invalid = len(scan.invalid)
        counts = {group.name: len(group.members - scan.invalid) for group in scan.groups}
        groups = [self._group(tally, counts[group]) for group, tally in tallies.groups.items() if counts[group]]
        return Estimate(
            total=scan.total,
            invalid=invalid,
            codes={str(code): count for code, count in tallies.codes.most_common()},
            failure=file.failure or refuse_lines(scan.total, invalid, options),
            groups=groups,
            cost=_sum([_first_cost(group) for group in groups]),
            real_time=_sum([group.real_time for group in groups]),
            alternatives=list(self._compare(list(tallies.groups.values()))) if compare else [],
        )

    def _group(self, tally: Tally, lines: int) -> GroupEstimate:
        tokens = self._count(tally, tally.model)
        terms = tally.model.real_time_terms(OWN_GPUS)
        return GroupEstimate(
            model=tally.model.id,
            endpoint=tally.endpoint,
            lines=lines,
            tokens=tokens,
            backends=[self._at(backend, tally.model, tokens) for backend in dict.fromkeys(self.route(tally.model))],
            real_time=_range(terms and terms.real_time, tokens),
        )

    def _count(self, tally: Tally, model: Model) -> Tokens:
        bound = tally.bound
        counted = tally.count_prompts(model, self.find_vocabulary(model))
        if counted is None:
            return Tokens(BOUND, bound.prompt, 0, bound.prompt, bound.output)
        method = COUNTED if tally.sample.is_whole else SAMPLED
        return Tokens(method, counted.value, counted.error, min(bound.prompt, counted.value + counted.error), bound.output)

    def _at(self, backend: str, model: Model, tokens: Tokens) -> BackendCost:
        if backend == OWN_GPUS:
            return self._on_gpus(model, tokens)
        terms = model.terms(backend)
        if terms is None:
            return BackendCost(backend, Range(None, None), None, None)
        return BackendCost(
            backend=backend,
            cost=_range(terms.batch_price, tokens),
            as_of=terms.as_of.isoformat(),
            source=terms.source,
            batchable=terms.batchable,
            batch_discount=None if terms.batch_discount is None else written(terms.batch_discount),
            ends=None if terms.ends is None else terms.ends.isoformat(),
            note=_describe_terms(terms),
        )

    def _on_gpus(self, model: Model, tokens: Tokens) -> BackendCost:
        hours = price_hours(self.instance_type, self.instance_count)
        upstream = model.upstream(OWN_GPUS)
        speed = upstream.speeds.get(self.instance_type) if upstream else None
        note = TOO_BIG if is_too_big(model, self.instance_type) else None if speed else NO_SPEED
        most = _cost_gpus(hours, speed, tokens) if speed and not note else None
        return BackendCost(
            backend=OWN_GPUS,
            cost=Range(None, None if most is None else written(most)),
            as_of=hours.as_of.isoformat(),
            source=hours.source,
            instance=self.instance_type,
            note=note,
        )

    def _compare(self, tallies: list[Tally]) -> Iterator[Alternative]:
        """All lines on each other model that has their endpoints and a price, the cheapest first."""
        asked = {tally.model.id for tally in tallies}
        endpoints = {tally.endpoint for tally in tallies}
        found: list[tuple[Decimal, Alternative]] = []
        for model in self.models.rows:
            backend = next((name for name in self.route(model) if model.batch_price(name)), None)
            if not model.enabled or backend is None or not endpoints <= set(model.endpoints) or asked == {model.id}:
                continue
            ranges = [_range(model.batch_price(backend), self._count(tally, model)) for tally in tallies]
            total = _sum(ranges)
            found.append((Decimal(total.most or 0), Alternative(model.id, backend, total)))
        yield from (alternative for _, alternative in sorted(found, key=lambda item: (item[0], item[1].model)))


def _nothing(failure: Failure) -> Estimate:
    none = Range("0", "0")
    return Estimate(0, 0, {}, failure, [], none, none, [])


def _describe_terms(terms: Terms) -> str | None:
    if terms.batchable is False:
        return f"By its terms of {terms.as_of} it is not run in batches there."
    return None if terms.ends is None else f"By its terms of {terms.as_of} its last day there is {terms.ends}."


def _range(price: Price | None, tokens: Tokens) -> Range:
    if price is None:
        return Range(None, None)
    return Range(written(price.cost(tokens.prompt, 0)), written(price.cost(tokens.prompt_most, tokens.output_most)))


def _cost_gpus(hours: Hours, speed: int, tokens: Tokens) -> Decimal | None:
    """The most: all tokens one after the other on all instances, and the start, which each of them pays for."""
    seconds = START_SECONDS + -(-(tokens.prompt_most + tokens.output_most) // (speed * hours.instances))
    return hours.cost(seconds)


def _first_cost(group: GroupEstimate) -> Range:
    return group.backends[0].cost if group.backends else Range(None, None)


def _sum(ranges: list[Range]) -> Range:
    return Range(_add([entry.prompts for entry in ranges]), _add([entry.most for entry in ranges]))


def _add(amounts: list[str | None]) -> str | None:
    known = [Decimal(amount) for amount in amounts if amount is not None]
    return written(sum(known, Decimal(0))) if len(known) == len(amounts) else None
