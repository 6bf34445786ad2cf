"""An estimate as a person reads it."""

from collections.abc import Iterator

from slacktide.estimating import BOUND, SAMPLED, Alternative, BackendCost, Estimate, GroupEstimate, Range, Tokens
from slacktide_cli.receipts import dollars


def render_estimate(file: str, estimate: Estimate) -> Iterator[str]:
    """The lines of an estimate for a terminal."""
    good = estimate.total - estimate.invalid
    yield f"{file}: {estimate.total:,} lines, {good:,} good, {estimate.invalid:,} bad"
    if estimate.failure:
        yield f"  Nothing of it would run: {estimate.failure.code}: {estimate.failure.message}"
    for code, count in estimate.codes.items():
        yield f"  {count:,} {code}"
    for group in estimate.groups:
        yield from _render_group(group)
    if estimate.groups:
        yield f"In all, by the first backend of each route: {_render_range(estimate.cost)}"
        yield f"In all, in real time: {_render_range(estimate.real_time)}"
        yield "How long it takes is not known: there is no history of such batches here."
    if estimate.alternatives:
        yield "The same file on other models, if they are good enough for it:"
        yield from (_render_alternative(alternative) for alternative in estimate.alternatives)


def _render_group(group: GroupEstimate) -> Iterator[str]:
    yield f"{group.model} {group.endpoint}: {group.lines:,} requests"
    yield f"  {_render_tokens(group.tokens)}"
    for at in group.backends:
        yield f"  {at.backend}: {_render_backend(at)}"
        if at.note:
            yield f"    {at.note}"
    yield f"  in real time: {_render_range(group.real_time)}"


def _render_tokens(tokens: Tokens) -> str:
    how = {BOUND: "at most", SAMPLED: "some"}.get(tokens.method, "counted")
    error = f" (+- {tokens.error:,}, from a sample)" if tokens.method == SAMPLED else ""
    return f"tokens: prompts {how} {tokens.prompt:,}{error}; answers at most {tokens.output_most:,}"


def _render_backend(at: BackendCost) -> str:
    if at.instance is not None:
        return f"{_render_range(at.cost)} on {at.instance}, the start included"
    discount = "" if at.batch_discount is None else f", {float(at.batch_discount):.0%} off real time"
    as_of = "" if at.as_of is None else f" (as of {at.as_of})"
    return f"{_render_range(at.cost)}{discount}{as_of}"


def _render_range(cost: Range) -> str:
    if cost.most is None:
        return "not known"
    return f"at most {dollars(cost.most)}" + ("" if cost.prompts is None else f", of which prompts {dollars(cost.prompts)}")


def _render_alternative(alternative: Alternative) -> str:
    return f"  {alternative.model} at {alternative.backend}: {_render_range(alternative.cost)}"
