"""A batch as the HTTP API shows it, followed to its end."""

from collections.abc import Iterator

from slacktide_cli.answers import ApiBatch
from slacktide_cli.api import Api
from slacktide_cli.errors import UnavailableError
from slacktide_cli.outside import Outside
from slacktide_cli.pacing import growing_pauses

PATIENCE = 600  # seconds without an answer until following a batch is given up; its first look must succeed


def follow(api: Api, batch_id: str, outside: Outside) -> Iterator[ApiBatch]:
    """Yield the batch each time it has changed, up to its end. Raises ApiCallError."""
    seen, answered_at = None, outside.clock()
    for pause in growing_pauses():
        try:
            batch = api.batch(batch_id)
        except UnavailableError:
            if seen is None or outside.clock() - answered_at > PATIENCE:
                raise
        else:
            answered_at = outside.clock()
            if batch != seen:
                yield batch
            if batch.status.is_final:
                return
            seen = batch
        outside.wait(pause)
