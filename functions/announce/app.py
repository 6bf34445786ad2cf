"""Announce: the batch takes its final status, and the world is told."""

from typing import Any

import msgspec

from slacktide import wiring
from slacktide.log import logger
from slacktide.steps import Announcement, read_step


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers the final status."""
    step = read_step(event)
    logger.append_keys(batch_id=step.batch_id, job_id=step.job_id)
    answer = Announcement(wiring.announcer().conclude(step.batch_id).status)
    return msgspec.to_builtins(answer)
