"""The model table: data, not code. Rows of one's own are laid over the shipped ones, field by field."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from slacktide.errors import ModelTableError
from slacktide.prices import Price, Terms

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
OWN_GPUS = "sagemaker"  # the backend that costs by the hour
BACKENDS = ("together", "openai", OWN_GPUS)
MOST_TABLE_BYTES = 1_000_000
MOST_PROBLEMS = 5  # in one message

Name = Annotated[str, Meta(min_length=1)]

# What the command line's manual says of the fields with these names.
_SPEEDS = "tokens a second, in and out, of one instance, by instance type"
_WEIGHTS = "what a GPU has to hold of it: `cache_bytes` for each token; `heads` of attention, which GPUs share; null is unknown"
_TOKENIZER = (
    "how its prompts are counted: `request`, `message` and `system` are tokens of the chat template; `letters` are the most "
    "letters and digits of ASCII in one token"
)


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model at one backend: its id there, whether it is run in batches there, and what that costs by terms of several days."""

    id: Annotated[Name, Meta(description="its name there")]
    batchable: Annotated[bool, Meta(description="whether it is run in batches there")] = True
    terms: Annotated[list[Terms], Meta(description="of several days; the newest count")] = []
    speeds: Annotated[dict[str, Annotated[int, Meta(ge=1)]], Meta(description=_SPEEDS)] = {}

    @property
    def newest_terms(self) -> Terms | None:
        """The terms that count; None where none are known."""
        return max(self.terms, key=lambda terms: terms.as_of, default=None)


class Upstreams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model at each backend; None where the backend does not have it."""

    together: Upstream | None = None
    openai: Upstream | None = None
    sagemaker: Upstream | None = None


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a model a GPU has to hold: parameters, bytes of each, and bytes of cache for each token.

    `heads` are attention heads: as many GPUs as divide them can share the model. None: any number.
    """

    parameters: Annotated[int, Meta(ge=1)]
    cache_bytes: Annotated[int, Meta(ge=1)]
    bytes_per_parameter: Decimal = Decimal(2)
    heads: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        if not (self.bytes_per_parameter.is_finite() and self.bytes_per_parameter > 0):
            raise ValueError("bytes_per_parameter is a number above 0")

    @property
    def bytes(self) -> int:
        """The size of all parameters."""
        return int(self.parameters * self.bytes_per_parameter)


class Tokenizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vocabulary, and the tokens of the chat template: for each request, each message, and a system message that it puts in.

    `letters`: the most letters and digits of ASCII that one token of the vocabulary stands for; None is unknown.
    """

    vocabulary: Name
    request: Annotated[int, Meta(ge=0)] = 0
    message: Annotated[int, Meta(ge=0)] = 0
    system: Annotated[int, Meta(ge=0)] = 0
    letters: Annotated[int, Meta(ge=1)] | None = None


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: a model, where it can run, and in which order. `context` is in tokens; None is unknown.

    `parameters` is for people ("70B"). A model that is not `enabled` is known, and refused.
    """

    id: Name
    family: Name
    endpoints: Annotated[list[str], Meta(min_length=1)]
    route: Annotated[list[str], Meta(min_length=1, description="the backends, round after round")]
    backends: Annotated[Upstreams, Meta(description="those that have it")]
    aliases: Annotated[list[Name], Meta(description="other names that requests may have for it")] = []
    parameters: Annotated[str | None, Meta(description='for people, as "70B"')] = None
    context: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="tokens of its window; null is unknown")] = None
    weights: Annotated[Weights | None, Meta(description=_WEIGHTS)] = None
    tokenizer: Annotated[Tokenizer | None, Meta(description=_TOKENIZER)] = None
    enabled: Annotated[bool, Meta(description="false: it is known, and refused")] = True

    def upstream(self, backend: str) -> Upstream | None:
        """The model at a backend; None when the backend does not have it."""
        return getattr(self.backends, backend, None)

    def terms(self, backend: str) -> Terms | None:
        """The newest terms at a backend; None where none are known, as on own GPUs, which cost by the hour."""
        upstream = self.upstream(backend)
        return None if upstream is None else upstream.newest_terms

    def real_time_terms(self, backend: str) -> Terms | None:
        """Terms with a price in real time: a backend's own, or else those of the first that has one; None where none has."""
        terms = [self.terms(name) for name in (backend, *BACKENDS)]
        return next((entry for entry in terms if entry is not None and entry.real_time is not None), None)

    def batch_price(self, backend: str) -> Price | None:
        """What tokens cost in batches at a backend, by the newest terms; None where that is not known."""
        terms = self.terms(backend)
        return None if terms is None else terms.batch_price


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    models: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The models by id and by alias."""

    models: dict[str, Model]

    def find(self, name: str) -> Model | None:
        """The model of an id or an alias; None when there is none."""
        return self.models.get(name)

    @property
    def rows(self) -> list[Model]:
        """The models in the order of the table, each once."""
        return list({model.id: model for model in self.models.values()}.values())

    @property
    def ids(self) -> list[str]:
        """The ids, without aliases, in the order of the table."""
        return [model.id for model in self.rows]


def parse_models(text: str, base: ModelTable | None = None) -> ModelTable:
    """The table in a TOML document, laid over `base`: a row of an id that `base` has changes the fields that it names.

    Raises ModelTableError, which says in which rows and fields the document is wrong.
    """
    models = {model.id: model for model in base.rows} if base else {}
    problems: list[str] = []
    given: set[str] = set()
    for number, row in enumerate(_read_rows(text), 1):
        name = row.get("id")
        if not isinstance(name, str) or not name:
            problems.append(f"row {number}: id is missing, or not a text")
            continue
        problems += [f"row {number} ({name}): stands in the table twice"] if name in given else []
        given.add(name)
        former = msgspec.to_builtins(models[name]) if name in models else {}
        try:
            models[name] = msgspec.convert(former | row, Model)
        except msgspec.ValidationError as error:
            problems.append(f"row {number} ({name}): {str(error).replace('$.', '')}")
        else:
            problems += [f"row {number} ({name}): {problem}" for problem in _find_problems(models[name])]
    names, repeated = _index_names(models)
    problems += repeated
    if problems:
        more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise ModelTableError("; ".join(problems[:MOST_PROBLEMS]) + more)
    return ModelTable(names)


def read_override(data: bytes, shipped: ModelTable) -> ModelTable:
    """The shipped table with a file of one's own laid over it. Raises ModelTableError, which says what is wrong with the file."""
    if len(data) > MOST_TABLE_BYTES:
        raise ModelTableError(f"the model table has more than {MOST_TABLE_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ModelTableError(f"the model table is not UTF-8 at byte {error.start + 1}") from error
    return parse_models(text, shipped)


@cache
def shipped_models() -> ModelTable:
    """The table that comes with the layer (`models.toml`)."""
    return parse_models(resources.files("slacktide").joinpath("models.toml").read_text())


def _read_rows(text: str) -> list[dict[str, Any]]:
    try:
        return msgspec.convert(tomllib.loads(text, parse_float=Decimal), _Document).models
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ModelTableError(f"the model table is not well-formed: {error}") from error


def _find_problems(model: Model) -> Iterator[str]:
    for endpoint in model.endpoints:
        if endpoint not in ENDPOINTS:
            yield f"endpoints: {endpoint} is not one of {', '.join(ENDPOINTS)}"
    for backend in dict.fromkeys(model.route):
        if backend not in BACKENDS:
            yield f"route: {backend} is not one of {', '.join(BACKENDS)}"
        elif model.upstream(backend) is None:
            yield f"route: {backend} is not among its backends; add backends.{backend} with the model's id there"


def _index_names(models: dict[str, Model]) -> tuple[dict[str, Model], list[str]]:
    """The models by id and alias, and the names that stand for two."""
    names: dict[str, Model] = {}
    problems: list[str] = []
    for model in models.values():
        for name in (model.id, *model.aliases):
            if name in names:
                problems.append(f"model {model.id}: the name {name} stands in the table twice")
            names[name] = model
    return names, problems
