"""Which backend runs a model, round after round."""

from collections.abc import Mapping
from dataclasses import dataclass

from slacktide.backends.protocol import Backend
from slacktide.models import Model, ModelTable


@dataclass(frozen=True, slots=True)
class Routes:
    """The model table seen through the backends that this stack has."""

    models: ModelTable
    backends: Mapping[str, Backend]

    def route(self, model: Model) -> list[str]:
        """The backends of a model, in order, without those that cannot run it here."""
        return [name for name in model.route if self._runs(name, model)]

    def _runs(self, name: str, model: Model) -> bool:
        upstream, backend = model.upstream(name), self.backends.get(name)
        if upstream is None or backend is None or not upstream.batchable:
            return False
        return backend.upstream_model(model) is not None
