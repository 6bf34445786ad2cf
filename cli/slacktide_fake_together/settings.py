"""How the fake behaves when nothing is scripted."""

from typing import Annotated

import msgspec

NotNegative = Annotated[float, msgspec.Meta(ge=0)]
DEFAULT_KEY = "fake-together-key"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Defaults are those of a service that is infinitely fast. Times are in seconds, sizes in bytes."""

    keys: tuple[str, ...] = (DEFAULT_KEY,)
    latency_seconds: NotNegative = 0
    validating_seconds: NotNegative = 0
    lines_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None  # of each batch; None: all at once
    aggregating_seconds: NotNegative = 0
    cancelling_seconds: NotNegative = 0
    window_seconds: NotNegative | None = None  # instead of the completion window that is asked for
    answer: str = "{prompt}"  # {prompt} is the text of the request
    models: tuple[str, ...] | None = None  # None: every model is known
    endpoints: tuple[str, ...] = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
    content_redirect: bool = False  # whether a file's content is a 302 to storage
    max_requests: int = 50_000  # Together's docs, "Batch inference", of 2026
    max_bytes: int = 100_000_000  # the same
    max_line_bytes: int = 10_000_000  # the same; not checked when a batch is validated
