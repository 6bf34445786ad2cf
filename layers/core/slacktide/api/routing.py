"""A row of the table of calls: what it takes, what it answers, and who answers it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from slacktide.api.batches import BatchService
from slacktide.api.calls import Reply
from slacktide.api.estimates import EstimateService
from slacktide.api.files import FileService
from slacktide.api.models import ModelService
from slacktide.api.parts import PartService
from slacktide.api.uploads import UploadService


@dataclass(frozen=True, slots=True)
class Api:
    """The services behind all calls."""

    files: FileService
    uploads: UploadService
    batches: BatchService
    parts: PartService
    models: ModelService
    estimates: EstimateService


Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form; `is_file` is the one that holds the file."""

    name: str
    description: str
    is_required: bool = True
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One call. `answer` is the type of its body, None where it has none, as with a redirect; `body` that of the request's."""

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type | None = None
    status: HTTPStatus = HTTPStatus.OK
    body: type | None = None
    form: tuple[FormField, ...] = ()
    query: dict[str, str] = field(default_factory=dict[str, str])  # name to description
