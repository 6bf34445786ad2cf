"""Which backend runs a model, round after round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slacktide.backends.protocol import Backend
from slacktide.models import Model, ModelTable


@dataclass(frozen=True, slots=True)
class Routes:
    """The model table seen through the backends that this stack has."""

    models: ModelTable
    backends: Mapping[str, Backend]
    override: Sequence[str] | None = None  # of a batch, in place of each model's own route

    def route(self, model: Model) -> list[str]:
        """The backends of a model, in order, without those that cannot run it here."""
        return [name for name in self.override or model.route if self._runs(name, model)]

    def _runs(self, name: str, model: Model) -> bool:
        upstream, backend = model.upstream(name), self.backends.get(name)
        if upstream is None or backend is None or not upstream.batchable:
            return False
        return backend.upstream_model(model) is not None


def choose_step(route: Sequence[str], taken: int, *, is_cut_off: bool) -> int | None:
    """The step of a route that comes next after the first `taken`, counted from 0; None when the route is used up.

    After the cut-off the steps that have a fallback are passed over: it is its time.
    """
    step = taken
    while is_cut_off and find_fallback(route, step) is not None:
        step += 1
    return step if step < len(route) else None


def find_fallback(route: Sequence[str], step: int) -> str | None:
    """The first other backend that a route has behind a step; None where there is none."""
    return next((name for name in route[step + 1 :] if name != route[step]), None)
