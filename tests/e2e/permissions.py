"""The statements of the roles that `template.yaml` writes, what the local cloud does not enforce of them, and their removal."""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from template.document import Document, as_list, read_template, resources, statements

ROLE = "AWS::IAM::Role"


@dataclass(frozen=True)
class Statement:
    """One statement of a role, by its Sid, with the full names of its actions and the number of its resources."""

    role: str
    sid: str
    actions: tuple[str, ...]
    resources: int

    def __str__(self) -> str:
        return f"{self.role}.{self.sid}"


@dataclass(frozen=True)
class Removal:
    """What is taken away of a statement: one action, one resource (by its place), or, with neither, all of it."""

    statement: Statement
    action: str | None = None
    resource: int | None = None

    def __str__(self) -> str:
        what = [] if self.action is None else [self.action]
        what += [] if self.resource is None else [f"resource {self.resource + 1}"]
        return " ".join([str(self.statement), *what])

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that are gone, for some resource."""
        return self.statement.actions if self.action is None else (self.action,)

    def apply(self, statement: Document) -> Document | None:
        """What is left of a deployed statement; None when nothing is."""
        if statement["Sid"] != self.statement.sid:
            return statement
        actions = [action for action in as_list(statement["Action"]) if action != self.action]
        rest = [it for place, it in enumerate(as_list(statement["Resource"])) if place != self.resource]
        is_whole = self.action is None and self.resource is None
        return None if is_whole or not actions or not rest else {**statement, "Action": actions, "Resource": rest}


# What the local cloud lets pass, by the reason: statements as `role.Sid`, or one action of such a statement.
EXCUSES: dict[str, tuple[str, ...]] = {
    "The emulator keeps the log of a function itself; on AWS Lambda writes it with the function's role.": (
        "ValidateRole.WriteLog",
        "PlanRole.WriteLog",
        "FollowRole.WriteLog",
        "AssembleRole.WriteLog",
        "DeadLetterRole.WriteLog",
        "AnnounceRole.WriteLog",
        "SubmitRole.WriteLog",
        "PollRole.WriteLog",
        "CollectRole.WriteLog",
        "SweepRole.WriteLog",
        "ApiRole.WriteLog",
    ),
    "The emulator answers 404 for a missing object to everybody; S3 answers 403 to a role that may not list the bucket.": (
        "ValidateRole.TellMissingObjects",
        "PlanRole.TellMissingObjects",
        "FollowRole.TellMissingObjects",
        "AssembleRole.TellMissingObjects",
        "AnnounceRole.TellMissingObjects",
    ),
    "The emulator takes messages off the input queue itself; on AWS Lambda does it with the function's role.": (
        "ValidateRole.TakeMessages sqs:ReceiveMessage",
        "ValidateRole.TakeMessages sqs:DeleteMessage",
        "ValidateRole.TakeMessages sqs:GetQueueAttributes",
    ),
    "The emulator runs an execution without the role of its machine.": (
        "BatchStateMachineRole.RunFunctions",
        "BatchStateMachineRole.StartJobs",
        "BatchStateMachineRole.DeliverLogs",
        "JobStateMachineRole.RunFunctions",
        "JobStateMachineRole.DeliverLogs",
    ),
    "The stack of these tests has no hosted backend: nobody reads its key or its results.": (
        "SubmitRole.TogetherKey",
        "SubmitRole.OpenaiKey",
        "PollRole.TogetherKey",
        "PollRole.OpenaiKey",
        "CollectRole.WriteFetched",
        "CollectRole.TogetherKey",
        "CollectRole.OpenaiKey",
        "SweepRole.TogetherKey",
        "SweepRole.OpenaiKey",
    ),
    "The SageMaker stand-in asks for no policies of those who call it.": (
        "SubmitRole.Models",
        "SubmitRole.TransformJobs",
        "SubmitRole.PassTransformRole",
        "PollRole.TransformJobs",
        "SweepRole.TransformJobs",
    ),
    "The SageMaker stand-in runs a job as itself, and pulls no image; on AWS a job does all of it with its role.": (
        "TransformRole.ReadInput",
        "TransformRole.WriteResults",
        "TransformRole.ListWork",
        "TransformRole.PullImage",
        "TransformRole.LogInToRegistry",
        "TransformRole.WriteLog",
        "TransformRole.WriteMetrics",
        "TransformRole.ReadWeights",
    ),
}
EXCUSED = [entry for entries in EXCUSES.values() for entry in entries]


def written_statements(template: Document | None = None) -> list[Statement]:
    """Every statement of every role of a template; by default of the one that we write."""
    template = template or read_template()
    return [read_statement(role, it) for role in resources(template, ROLE) for it in statements(template, role)]


def read_statement(role: str, statement: Document) -> Statement:
    return Statement(role, statement["Sid"], tuple(as_list(statement["Action"])), len(as_list(statement["Resource"])))


def is_excused(statement: Statement, action: str) -> bool:
    return str(statement) in EXCUSED or f"{statement} {action}" in EXCUSED


def removals(statement: Statement) -> Iterator[Removal]:
    """The whole statement; then each of its actions that the local cloud enforces; then each of its resources."""
    enforced = [action for action in statement.actions if not is_excused(statement, action)]
    if not enforced:
        return
    yield Removal(statement)
    if len(statement.actions) > 1:
        yield from (Removal(statement, action=action) for action in enforced)
    if statement.resources > 1:
        yield from (Removal(statement, resource=place) for place in range(statement.resources))


def excused_removals(written: Iterable[Statement]) -> list[Removal]:
    """Every action that the table excuses."""
    return [Removal(it, action=action) for it in written for action in it.actions if is_excused(it, action)]


@dataclass(frozen=True)
class Roles:
    """The roles of a deployed stack; `iam` is boto3's client, `names` their names by logical id."""

    iam: Any
    names: dict[str, str]

    def deployed_statements(self) -> list[Statement]:
        """Every statement of every inline policy, as IAM tells it."""
        return [
            read_statement(role, statement)
            for role, name in self.names.items()
            for document in self._policies(name).values()
            for statement in document["Statement"]
        ]

    def attached_policies(self) -> list[str]:
        """Managed policies, which would grant more than the statements that we write."""
        attached = [self.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] for name in self.names.values()]
        return [policy["PolicyArn"] for policies in attached for policy in policies]

    @contextmanager
    def without(self, *taken: Removal) -> Generator[None, None, None]:
        """Take permissions away for the length of a block."""
        with ExitStack() as restored:
            for role in sorted({removal.statement.role for removal in taken}):
                restored.enter_context(self._reduced(role, [removal for removal in taken if removal.statement.role == role]))
            yield

    @contextmanager
    def _reduced(self, role: str, taken: list[Removal]) -> Generator[None, None, None]:
        name = self.names[role]
        policies = self._policies(name)
        try:
            for policy, document in policies.items():
                self._put(name, policy, reduce_document(document, taken))
            yield
        finally:
            for policy, document in policies.items():
                self._put(name, policy, document)

    def _policies(self, name: str) -> dict[str, Document]:
        policies = self.iam.list_role_policies(RoleName=name)["PolicyNames"]
        return {policy: self.iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in policies}

    def _put(self, name: str, policy: str, document: Document) -> None:
        if document["Statement"]:
            self.iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        else:
            self.iam.delete_role_policy(RoleName=name, PolicyName=policy)


def reduce_document(document: Document, taken: list[Removal]) -> Document:
    """A policy without what is taken away."""
    left: list[Document] = document["Statement"]
    for removal in taken:
        left = [rest for statement in left if (rest := removal.apply(statement)) is not None]
    assert left != document["Statement"], f"{', '.join(map(str, taken))}: the policy has no such statement"
    return {**document, "Statement": left}
