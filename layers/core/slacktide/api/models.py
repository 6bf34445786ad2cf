"""The models that can be run in batches here."""

from dataclasses import dataclass

from slacktide.api.errors import UnavailableError
from slacktide.errors import ModelTableError
from slacktide.model_tables import ModelTables
from slacktide.models import Model
from slacktide.routes import Routes


@dataclass(frozen=True, slots=True)
class RunnableModel:
    """A model, and the backends that run it here, in the order in which they are tried."""

    model: Model
    backends: list[str]


@dataclass(frozen=True, slots=True)
class ModelService:
    """What can be known of models."""

    tables: ModelTables

    def runnable(self) -> list[RunnableModel]:
        """The enabled models that some backend of this stack can run, in the order of the table."""
        routes = self.routes()
        models = [RunnableModel(model, list(dict.fromkeys(routes.route(model)))) for model in routes.models.rows if model.enabled]
        return [entry for entry in models if entry.backends]

    def routes(self) -> Routes:
        """The stack's table as it is now, seen through its backends. Raises UnavailableError where it is wrong."""
        try:
            return self.tables.routes(self.tables.newest())
        except ModelTableError as error:
            raise UnavailableError(f"The stack's model table cannot be followed: {error}.", code="invalid_model_table") from None
