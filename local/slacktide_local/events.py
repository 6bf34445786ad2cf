"""The local events queue: a rule on the stack's event bus feeds it, so that a person can look at the notifications."""

import json
from typing import Any

_NAME = "local-events"
_RETENTION = 14 * 86_400  # seconds; the longest that SQS keeps a message


def collect_events(session: Any, *, stack: str, bus: str) -> str:
    """Make the queue and the rule, and return the queue's URL. Not part of the template: nobody needs it on AWS."""
    sqs, events = session.client("sqs"), session.client("events")
    name = f"{stack}-{_NAME}"
    queue = sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": str(_RETENTION)})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps({"source": ["slacktide"]}))["RuleArn"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(_policy(arn, rule))})
    refused = events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": _NAME, "Arn": arn}])["FailedEntries"]
    if refused:
        raise RuntimeError(f"the events queue was refused as a target: {refused}")
    return queue


def _policy(queue: str, rule: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
