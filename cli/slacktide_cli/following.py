"""A batch as the HTTP API shows it, followed to its end."""

from collections.abc import Callable, Iterator

from slacktide_cli.answers import ApiBatch
from slacktide_cli.api import Api
from slacktide_cli.errors import UnavailableError
from slacktide_cli.pacing import growing_pauses

PATIENCE = 600  # seconds without an answer until following a batch is given up; its first look must succeed


def follow(api: Api, batch_id: str, *, wait: Callable[[float], None]) -> Iterator[ApiBatch]:
    """Yield the batch each time it has changed, up to its end. Raises ApiCallError."""
    seen, silent = None, 0.0
    for pause in growing_pauses():
        try:
            batch = api.batch(batch_id)
        except UnavailableError:
            silent += pause
            if seen is None or silent > PATIENCE:
                raise
        else:
            silent = 0.0
            if batch != seen:
                yield batch
            if batch.status.is_final:
                return
            seen = batch
        wait(pause)
