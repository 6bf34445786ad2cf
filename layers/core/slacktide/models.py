"""The model table: data, not code."""

import tomllib
from dataclasses import dataclass
from importlib import resources

import msgspec

from slacktide.errors import ModelTableError

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: a model, where it can run, and in which order. `context` is in tokens; None is unknown."""

    id: str
    family: str
    endpoints: list[str]
    route: list[str]
    aliases: list[str] = []
    context: int | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    models: list[Model]


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The models by id and by alias."""

    models: dict[str, Model]

    def find(self, name: str) -> Model | None:
        """The model of an id or an alias; None when there is none."""
        return self.models.get(name)

    @property
    def ids(self) -> list[str]:
        """The ids, without aliases, in the order of the table."""
        return list(dict.fromkeys(model.id for model in self.models.values()))


def parse_models(text: str) -> ModelTable:
    """The table in a TOML document. Raises ModelTableError, which says where it is wrong."""
    try:
        document = msgspec.convert(tomllib.loads(text), _Document)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ModelTableError(f"the model table is not well-formed: {error}") from error
    models: dict[str, Model] = {}
    for model in document.models:
        for endpoint in model.endpoints:
            if endpoint not in ENDPOINTS:
                raise ModelTableError(f"model {model.id}: {endpoint} is not one of {', '.join(ENDPOINTS)}")
        for name in (model.id, *model.aliases):
            if name in models:
                raise ModelTableError(f"model {model.id}: the name {name} stands in the table twice")
            models[name] = model
    return ModelTable(models)


def shipped_models() -> ModelTable:
    """The table that comes with the layer (`models.toml`)."""
    return parse_models(resources.files("slacktide").joinpath("models.toml").read_text())
