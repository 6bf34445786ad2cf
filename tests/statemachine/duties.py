"""Rules of time and of roles: each time-out outlasts what it waits for, each role grants what the machine does and no more."""

from collections.abc import Iterator

from slacktide import wiring
from template.document import FUNCTION, Document, as_list, resources, statements, target, text_of, timeout
from template.intake import settings

from .machine import START, called, placeholder, properties, tasks

# The actions of a machine's log delivery (AWS Step Functions Developer Guide, Logging to CloudWatch Logs).
LOG_DELIVERY = {
    f"logs:{action}"
    for action in (
        "CreateLogDelivery",
        "GetLogDelivery",
        "UpdateLogDelivery",
        "DeleteLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
        "DescribeResourcePolicies",
        "DescribeLogGroups",
    )
}

OUTAGE_SECONDS = 900  # of a service of AWS, or of functions for want of concurrency, that a batch outlives


def one_call_seconds() -> float:
    """How long one call of AWS may take, with all its tries and without the back-off between them."""
    return (wiring.CONNECT_SECONDS + wiring.READ_SECONDS) * wiring.TRIES


def time_outs_are_nested(contract: Document) -> Iterator[str]:
    """Of the state > of the function > of one call: the inner one speaks first, and its error has a name."""
    for name, state in tasks(contract):
        function = called(contract, state)
        inner = timeout(contract["template"], resources(contract["template"], FUNCTION)[function]) if function else 0
        if not one_call_seconds() < inner < state.get("TimeoutSeconds", 0):
            yield f"{name}: {one_call_seconds()} s < {inner} s < {state.get('TimeoutSeconds', 0)} s does not hold"


def machine_outlives_its_batch(contract: Document) -> Iterator[str]:
    """The machine's own time-out is above the longest window, with a day for the end; sweep hears of it if it comes."""
    if contract["definition"].get("TimeoutSeconds", 0) < settings().window_longest + 86_400:
        yield "the machine ends before the longest batch"


def giving_up_is_patient(contract: Document) -> Iterator[str]:
    """A service that is out for a while fails no batch whose jobs run on. With full jitter half of all waits is waited."""
    for name, state in tasks(contract):
        if all(catcher["Next"] != "Give up" for catcher in state.get("Catch", [])):
            continue
        retry = state["Retry"][-1]
        waits = [retry["IntervalSeconds"] * retry["BackoffRate"] ** number for number in range(retry["MaxAttempts"])]
        if sum(min(wait, retry["MaxDelaySeconds"]) for wait in waits) / 2 < OUTAGE_SECONDS:
            yield f"{name}: gives its batch up in less than {OUTAGE_SECONDS} s"


def role_is_what_is_done(contract: Document) -> Iterator[str]:
    """Each integration is granted, log delivery is, and nothing else."""
    substitutions = properties(contract)["DefinitionSubstitutions"]
    wanted = {("lambda:InvokeFunction", f"${{{called(contract, state)}.Arn}}") for _, state in tasks(contract)}
    for _, state in tasks(contract, START):
        machine = substitutions.get(placeholder(state["Arguments"]["StateMachineArn"]))
        wanted.add(("states:StartExecution", f"${{{target(machine)}}}"))
    if properties(contract).get("Logging"):
        wanted |= {(action, "*") for action in LOG_DELIVERY}
    granted = {
        (action, text_of(resource))
        for statement in statements(contract["template"], target(properties(contract)["Role"]) or "")
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    for action, resource in sorted(wanted - granted):
        yield f"{action} on {resource} is done and not granted"
    for action, resource in sorted(granted - wanted):
        yield f"{action} on {resource} is granted and not done"


RULES = [time_outs_are_nested, machine_outlives_its_batch, giving_up_is_patient, role_is_what_is_done]
