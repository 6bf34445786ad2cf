"""Validate: a message of the input queue becomes a batch (or cancels some)."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from slacktide import wiring
from slacktide.log import logger

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle each record by itself; answers those that are to come again."""

    def handle(record: dict[str, Any]) -> None:
        wiring.deliveries().handle(record, invocation=context.aws_request_id)

    return dict(process_partial_response(event=event, record_handler=handle, processor=processor, context=context))
