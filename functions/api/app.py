"""API: Together's and OpenAI's Batch API over HTTP."""

from typing import Any

from slacktide.api import wiring
from slacktide.log import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers an event of API Gateway."""
    return wiring.api().resolve(event, context)
