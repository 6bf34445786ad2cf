"""Rules of the roles: one for each, with the fewest resources. What each statement is for is tried on the local cloud."""

import re
from collections.abc import Iterator

from slacktide.keys import INPUT_PREFIX

from .document import FUNCTION, MACHINE, Document, as_list, resources, statements, target, text_of

ROLE = "AWS::IAM::Role"
# A resource that takes in everything of its kind, by role and statement, and why it does.
WIDE = {
    ("BatchStateMachineRole", "DeliverLogs"): "log delivery knows no resources (Step Functions, Logging to CloudWatch Logs)",
    ("JobStateMachineRole", "DeliverLogs"): "log delivery knows no resources (Step Functions, Logging to CloudWatch Logs)",
    ("TransformRole", "LogInToRegistry"): "ecr:GetAuthorizationToken knows no resources (Service Authorization Reference)",
    ("TransformRole", "WriteMetrics"): "cloudwatch:PutMetricData knows no resources; a condition holds it to one namespace",
    ("TransformRole", "PullImage"): "the repository is only known inside the image's URI; images are read, and of this account",
}
# An action that stands for several, by role and statement, and why it does.
SEVERAL = {
    (
        "DeadLetterRole",
        "SendDeadLetters",
    ): "AWS asks for sqs:SendMessage for a whole SendMessageBatch, emulators for an action that AWS lacks",
}
# A policy of AWS's own, by role, and why it is taken.
MANAGED = {
    "ApiAccountRole": "what API Gateway writes logs with, for all APIs of the account: it cannot be narrowed to one of them",
}
# What may delete objects, by role and statement, and what it deletes. Their versions stay.
DELETES = {
    ("SweepRole", "RemoveUploads"): "uploads that were not completed in time, and files that have expired",
    ("SweepRole", "RemoveResults"): "output and error files that have expired",
    ("ApiRole", "Uploads"): "files that their owners delete, and uploads that they give up",
    ("ApiRole", "Results"): "output and error files that their owners delete",
}
API_ACCOUNT = "AWS::ApiGateway::Account"
LISTS = {"s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"}  # actions on a bucket, not on its objects
_EVERY_OF_A_KIND = re.compile(r"^\*$|:\*/?\*?$|:[a-z-]+[:/]\*$|^\$\{Bucket\.Arn\}/?\*$")


def is_wide(resource: str) -> bool:
    """Whether a resource is everything, everything of a kind (`…:model/*`), or every object of the bucket."""
    scoped = re.search(r"\$\{\w+\.Name\}:\*$", resource)  # the executions of one machine
    return not scoped and _EVERY_OF_A_KIND.search(resource) is not None


def resources_are_narrow(template: Document) -> Iterator[str]:
    """No statement is about everything without a reason, and no reason is left over."""
    wide: set[tuple[str, str]] = set()
    for role in resources(template, ROLE):
        for statement in statements(template, role):
            texts = [text_of(resource) for resource in as_list(statement["Resource"])]
            wide |= {(role, statement["Sid"]) for text in texts if is_wide(text)}
            objects = {action for action in as_list(statement["Action"]) if action.startswith("s3:")} - LISTS
            if objects and "${Bucket.Arn}" in texts:
                yield f"{role}, {statement['Sid']}: {', '.join(sorted(objects))} is of objects, not of the bucket"
    for role, sid in sorted(wide - WIDE.keys()):
        yield f"{role}, {sid}: a resource that is everything of its kind, without a reason"
    for role, sid in sorted(WIDE.keys() - wide):
        yield f"{role}, {sid}: a reason for a wide resource that is not there"


def actions_are_named(template: Document) -> Iterator[str]:
    """Each action by its full name or with a reason, each statement by a name of its own; nothing is allowed by leaving out."""
    several: set[tuple[str, str]] = set()
    for role in resources(template, ROLE):
        names = [statement.get("Sid") for statement in statements(template, role)]
        if None in names or len(set(names)) != len(names):
            yield f"{role}: its statements have not each a name"
        for statement in statements(template, role):
            if statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"} or statement["Effect"] != "Allow":
                yield f"{role}, {statement.get('Sid')}: not a plain Allow"
            for action in as_list(statement.get("Action")):
                if not re.fullmatch(r"[a-z0-9]+:[A-Za-z0-9]+", action):
                    several.add((role, str(statement.get("Sid"))))
    managed = {role for role, it in resources(template, ROLE).items() if "ManagedPolicyArns" in it}
    for role in sorted(managed ^ MANAGED.keys()):
        yield f"{role}: either a managed policy, which grants more than is used, and a reason, or neither"
    for role, sid in sorted(several ^ SEVERAL.keys()):
        yield f"{role}, {sid}: either several actions by one name and a reason, or neither"


def roles_are_not_shared(template: Document) -> Iterator[str]:
    """A role for each function and each machine, taken by nobody else; SAM makes none of its own."""
    users: dict[str | None, list[str]] = {role: [] for role in resources(template, ROLE)}
    users["TransformRole"] = ["the transform jobs"]
    for kind in (FUNCTION, MACHINE):
        for name, it in resources(template, kind).items():
            users.setdefault(target(it.get("Role")), []).append(name)
            if "Policies" in it:
                yield f"{name}: policies outside its role"
    for name, it in resources(template, API_ACCOUNT).items():
        users.setdefault(target(it.get("CloudWatchRoleArn")), []).append(name)
    for role, names in users.items():
        if role is None:
            yield f"{', '.join(names)}: no role of this template"
        elif len(names) != 1:
            yield f"{role}: used by {', '.join(names) or 'nobody'}"


def roles_trust_one_service(template: Document) -> Iterator[str]:
    """Only the service that runs it takes a role."""
    services = {"TransformRole": "sagemaker.amazonaws.com"}
    for kind, service in ((FUNCTION, "lambda.amazonaws.com"), (MACHINE, "states.amazonaws.com")):
        services |= {target(it.get("Role")) or "": service for it in resources(template, kind).values()}
    for it in resources(template, API_ACCOUNT).values():
        services[target(it.get("CloudWatchRoleArn")) or ""] = "apigateway.amazonaws.com"
    for role, properties in resources(template, ROLE).items():
        trust = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": services.get(role)}}]
        if properties["AssumeRolePolicyDocument"]["Statement"] != trust:
            yield f"{role}: trusts others than {services.get(role)}"


def roles_are_passed_to_one_service(template: Document) -> Iterator[str]:
    """iam:PassRole names the role and the service that it is passed to."""
    passed = False
    for role in resources(template, ROLE):
        for statement in statements(template, role):
            if "iam:PassRole" in as_list(statement["Action"]):
                passed = True
                wanted = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
                if statement.get("Condition") != wanted or target(statement["Resource"]) != "TransformRole":
                    yield f"{role}: passes more than TransformRole to SageMaker"
                if as_list(statement["Action"]) != ["iam:PassRole"]:
                    yield f"{role}: iam:PassRole shares its statement"
    if not passed:
        yield "nobody passes TransformRole"


def drop_zone_is_only_read(template: Document) -> Iterator[str]:
    """Nothing of ours writes below the drop zone, or a batch could start batches; and what deletes objects has a reason."""
    deleting: set[tuple[str, str]] = set()
    for role in resources(template, ROLE):
        for statement in statements(template, role):
            actions = as_list(statement["Action"])
            writes = any(re.match(r"s3:(Put|Delete|Restore|Replicate)", action) for action in actions)
            prefixes = [text_of(resource).removeprefix("${Bucket.Arn}/") for resource in as_list(statement["Resource"])]
            if writes and any(INPUT_PREFIX.startswith(it.partition("*")[0][: len(INPUT_PREFIX)]) for it in prefixes):
                yield f"{role}, {statement['Sid']}: may write below {INPUT_PREFIX}"
            if any(action.startswith("s3:Delete") for action in actions):
                deleting.add((role, statement["Sid"]))
    for role, sid in sorted(deleting ^ DELETES.keys()):
        yield f"{role}, {sid}: either deletes objects, and a reason, or neither"


def functions_write_their_own_log(template: Document) -> Iterator[str]:
    """Into their own log group, which is there: none may make another."""
    for name, function in resources(template, FUNCTION).items():
        role, group = target(function.get("Role")), target(function.get("LoggingConfig", {}).get("LogGroup"))
        logs = [it for it in statements(template, role or "") if any(a.startswith("logs:") for a in as_list(it["Action"]))]
        granted = [(sorted(as_list(it["Action"])), [text_of(resource) for resource in as_list(it["Resource"])]) for it in logs]
        if granted != [(["logs:CreateLogStream", "logs:PutLogEvents"], [f"${{{group}.Arn}}"])]:
            yield f"{name}: may write to other logs than {group}"


RULES = [
    resources_are_narrow,
    actions_are_named,
    roles_are_not_shared,
    roles_trust_one_service,
    roles_are_passed_to_one_service,
    drop_zone_is_only_read,
    functions_write_their_own_log,
]
