"""Collect: what a job finished is fetched, checked and sorted."""

from typing import Any

import msgspec

from slacktide import wiring
from slacktide.log import logger
from slacktide.steps import read_step


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers whether the job is settled, or where to go on."""
    step = read_step(event)
    logger.append_keys(batch_id=step.batch_id, job_id=step.job_id)
    answer = wiring.jobs().collect(
        step.batch_id, step.job, clock=wiring.clock(context), cursor=step.cursor, wait_seconds=step.wait_seconds
    )
    return msgspec.to_builtins(answer)
