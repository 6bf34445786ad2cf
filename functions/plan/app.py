"""Plan round: which jobs run next."""

from typing import Any

import msgspec

from slacktide import wiring
from slacktide.log import logger
from slacktide.steps import read_step


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers the executions to start."""
    step = read_step(event)
    logger.append_keys(batch_id=step.batch_id, job_id=step.job_id)
    answer = wiring.planner().plan(step.batch_id)
    return msgspec.to_builtins(answer)
