"""Assemble: output file, error file, receipt and manifest."""

from typing import Any

import msgspec

from slacktide import wiring
from slacktide.log import logger
from slacktide.steps import read_step


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers whether the manifest is written, or where to go on."""
    step = read_step(event)
    logger.append_keys(batch_id=step.batch_id, job_id=step.job_id)
    clock = wiring.clock(context)
    answer = wiring.assembler().assemble(step.batch_id, cursor=step.cursor, is_late=lambda: clock.is_late, gave_up=step.gave_up)
    return msgspec.to_builtins(answer)
