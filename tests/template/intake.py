"""Rules of the way in: the event rule, the queues and their policy, and the function that reads them (docs/architecture.md)."""

import re
from collections.abc import Iterator
from typing import Any

from slacktide.keys import DROP_SUFFIXES, INPUT_PREFIX, MARKER_SUFFIXES
from slacktide.settings import Settings

from .document import FUNCTION, Document, as_list, default, resources, target, timeout

QUEUE = "AWS::SQS::Queue"
DAY = 86_400
LONGEST_RETENTION = 14 * DAY  # what SQS allows at most
NO_REDRIVE = {
    "InputFailuresQueue": "is the end of the way itself: a person looks at it",
    "DeadLetterQueue": "nothing in the stack reads it: it is a result for the user",
}
BUCKET_NAME = "some-bucket"
TAKEN = [
    *(f"{INPUT_PREFIX}{name}{suffix}" for name in ("a", "deep/er/a", "ä b+c%41") for suffix in DROP_SUFFIXES + MARKER_SUFFIXES),
]
LEFT = [
    "output/a.jsonl/batch_x/output.jsonl",
    "batches/batch_x/rounds/1/r1-j1/input/000000001-000000002.jsonl",
    "uploads/file-x/a.jsonl",
    "inputs/a.jsonl",
    "input/a.json",
    "input/a.jsonl.bak",
    "input/a.cancel",
    "input/a.gz",
    "input/a.gz.cancel",
    "old/input/a.jsonl",
]


def matches(pattern: Any, event: Any) -> bool:
    """Whether an event matches a pattern; `*` takes any characters (Amazon EventBridge User Guide, Comparison operators)."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(key in event and matches(rest, event[key]) for key, rest in pattern.items())
    return any(_equals(choice, event) for choice in pattern)


def _equals(choice: Any, value: Any) -> bool:
    if isinstance(choice, dict) and "wildcard" in choice:
        return re.fullmatch(".*".join(map(re.escape, choice["wildcard"].split("*"))), value, re.DOTALL) is not None
    return choice in (value, {"Ref": "Bucket"}) if value == BUCKET_NAME else choice == value


def event_of(key: str, **other: str) -> Document:
    """The event that S3 sends for a new object, as far as a pattern looks at it."""
    detail = {"bucket": {"name": other.get("bucket", BUCKET_NAME)}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": other.get("kind", "Object Created"), "detail": detail}


def rule_takes_input_files(template: Document) -> Iterator[str]:
    """The event rule takes what the library reads below the drop zone, and nothing else."""
    pattern = template["Resources"]["InputRule"]["Properties"]["EventPattern"]
    for key in TAKEN:
        if not matches(pattern, event_of(key)):
            yield f"InputRule does not take {key}"
    for key in LEFT:
        if matches(pattern, event_of(key)):
            yield f"InputRule takes {key}"
    for other in ({"kind": "Object Deleted"}, {"bucket": "another-bucket"}):
        if matches(pattern, event_of(TAKEN[0], **other)):
            yield f"InputRule takes an event with {other}"


def rule_targets_give_up_safely(template: Document) -> Iterator[str]:
    """A target that cannot be reached is tried for a day, and then its event is kept."""
    for name, rule in resources(template, "AWS::Events::Rule").items():
        for goal in rule["Targets"]:
            if target(goal.get("DeadLetterConfig", {}).get("Arn")) not in resources(template, QUEUE):
                yield f"{name}: target {goal['Id']} has no dead-letter queue"
            if goal.get("RetryPolicy") != {"MaximumEventAgeInSeconds": DAY, "MaximumRetryAttempts": 185}:
                yield f"{name}: target {goal['Id']} has no retry policy of a day"


def queues_of_rules_let_them_in(template: Document) -> Iterator[str]:
    """Each queue that a rule sends to has a policy for that rule alone; EventBridge uses no role for SQS."""
    allowed: set[tuple[str | None, str | None]] = set()
    for name, policy in resources(template, "AWS::SQS::QueuePolicy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            source = target(statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn"))
            if source is None:
                yield f"{name}: {statement.get('Sid')} names no aws:SourceArn"
            if statement["Principal"] != {"Service": "events.amazonaws.com"} or statement["Action"] != "sqs:SendMessage":
                yield f"{name}: {statement.get('Sid')} lets in more than EventBridge's messages"
            held = {target(queue) for queue in policy["Queues"]}
            allowed |= {(source, target(queue)) for queue in as_list(statement["Resource"]) if target(queue) in held}
    for name, rule in resources(template, "AWS::Events::Rule").items():
        for goal in rule["Targets"]:
            for queue in (goal["Arn"], goal.get("DeadLetterConfig", {}).get("Arn")):
                if (name, target(queue)) not in allowed:
                    yield f"{target(queue)} does not let {name} in"


def queues_are_encrypted(template: Document) -> Iterator[str]:
    """With SQS' own key: EventBridge cannot send to a queue under the key alias/aws/sqs."""
    for name, queue in resources(template, QUEUE).items():
        if queue.get("SqsManagedSseEnabled") is not True or "KmsMasterKeyId" in queue:
            yield f"{name} is not encrypted with SSE-SQS"


def queues_keep_messages_for_14_days(template: Document) -> Iterator[str]:
    """Nothing may be lost over a holiday."""
    for name, queue in resources(template, QUEUE).items():
        if queue.get("MessageRetentionPeriod") != LONGEST_RETENTION:
            yield f"{name} does not keep its messages for 14 days"


def queues_redrive(template: Document) -> Iterator[str]:
    """A message that is received too often goes to another queue, after as many receives as the library counts."""
    queues = resources(template, QUEUE)
    for name, queue in queues.items():
        redrive = queue.get("RedrivePolicy")
        if (redrive is None) != (name in NO_REDRIVE):
            yield f"{name}: either a redrive policy or a reason for none"
        if redrive and target(redrive["deadLetterTargetArn"]) not in queues.keys() - {name}:
            yield f"{name}: redrives to no other queue"
        if redrive and redrive["maxReceiveCount"] != settings().receive_limit:
            yield f"{name}: maxReceiveCount differs from the receive limit of the settings"
    for name in NO_REDRIVE.keys() - queues.keys():
        yield f"{name} is a reasoned exception, and is not there"


def messages_come_one_by_one(template: Document) -> Iterator[str]:
    """One input file to an invocation, its failure told by itself, and not too many at once."""
    for name, source in _sources(template):
        if source.get("BatchSize") != 1:
            yield f"{name}: BatchSize is not 1"
        if source.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name}: does not report failures item by item"
        if not 2 <= source.get("ScalingConfig", {}).get("MaximumConcurrency", 0) <= 1_000:
            yield f"{name}: MaximumConcurrency is not between 2 and 1,000"
    if not list(_sources(template)):
        yield "no function reads a queue"


def messages_stay_with_their_reader(template: Document) -> Iterator[str]:
    """Visibility > lease > time-out: a message comes again only when its reader is dead and its claim is over."""
    for name, source in _sources(template):
        function = template["Resources"][name]["Properties"]
        visibility = default(template, template["Resources"][target(source["Queue"])]["Properties"].get("VisibilityTimeout", 30))
        lease = settings(function_timeout=timeout(template, function)).lease
        if not timeout(template, function) < lease < visibility:
            yield f"{name}: time-out {timeout(template, function)} < lease {lease} < visibility {visibility} does not hold"
    if (
        template["Parameters"]["ValidateTimeoutSeconds"]["Default"],
        template["Parameters"]["InputVisibilitySeconds"]["Default"],
    ) != (
        900,
        960,
    ):
        yield "a big input needs the longest time-out, 900 s, and a visibility of 960 s"


def settings(**fields: Any) -> Settings:
    """The settings of a function for which nothing special is set."""
    return Settings(bucket="b", table="t", event_bus="e", **fields)


def _sources(template: Document) -> Iterator[tuple[str, Document]]:
    for name, function in resources(template, FUNCTION).items():
        for event in function.get("Events", {}).values():
            if event["Type"] == "SQS":
                yield name, event["Properties"]


RULES = [
    rule_takes_input_files,
    rule_targets_give_up_safely,
    queues_of_rules_let_them_in,
    queues_are_encrypted,
    queues_keep_messages_for_14_days,
    queues_redrive,
    messages_come_one_by_one,
    messages_stay_with_their_reader,
]
