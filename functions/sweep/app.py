"""Sweep: no batch is ever left behind. Runs on a schedule, and when an execution failed, timed out or was aborted."""

from typing import Any

from slacktide import wiring
from slacktide.events import read_execution
from slacktide.log import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Answers the counts of what was done."""
    counts = wiring.sweeper().sweep(read_execution(event))
    logger.info("swept", counts=counts)
    return counts
