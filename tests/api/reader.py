"""The reader of the input queue, paused: what is created then costs nothing but the call."""

from collections.abc import Generator
from contextlib import contextmanager

from e2e.stack import Stack


@contextmanager
def paused_reader(stack: Stack) -> Generator[None, None, None]:
    """Nobody reads the input queue; what came in the meantime is gone afterwards."""
    (mapping,) = stack.functions.list_event_source_mappings()["EventSourceMappings"]
    stack.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        stack.sqs.purge_queue(QueueUrl=stack.cloud.outputs["InputQueueUrl"])
        stack.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
