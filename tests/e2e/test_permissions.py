"""Every statement of every role is needed: without it something fails, or the table says why the local cloud lets it pass."""

import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial

import pytest

from e2e.permission_bench import CallFailedError, Switches, Workbench
from e2e.permission_cases import CASES, Call, Case, cases_of_role
from e2e.permissions import EXCUSED, ROLE, Removal, Roles, Statement, excused_removals, removals, written_statements
from e2e.stack import Stack, jsonl, request, requests
from slacktide_local.cloud import LocalCloud
from slacktide_local.start import STACK

STATEMENTS = written_statements()
ENFORCED = [it for it in STATEMENTS if any(removals(it))]
# With weights and keys, so that the statements that depend on them are deployed too. No line goes to a hosted backend.
NOWHERE = "http://127.0.0.1:9/v1"
PARAMETERS = {
    "TransformModelDataUri": "s3://weights/models",
    "TogetherApiKeyArn": "arn:aws:secretsmanager:us-east-1:000000000000:secret:together",
    "TogetherBaseUrl": NOWHERE,
    "OpenaiApiKeyArn": "arn:aws:secretsmanager:us-east-1:000000000000:secret:openai",
    "OpenaiBaseUrl": NOWHERE,
    # So many that none waits, unless a case wants it.
    "TransformConcurrentJobs": "10000",
    "DropConcurrentBatches": "100000",
}
# Of AWS's own policies only this one, with which API Gateway writes logs.
API_LOGS = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
DENIED = re.compile(r"not authorized to perform: ([\w-]+:\w+)")
FORBIDDEN_HEAD = "(403) when calling the HeadObject operation"  # its answer has no body, so no action

pytestmark = pytest.mark.cloud

Physical = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with LocalCloud.start(tmp_path_factory.mktemp("cloud"), engine="scripted", parameters=PARAMETERS) as cloud:
        yield Stack(cloud)


@pytest.fixture(scope="module")
def physical(stack: Stack) -> Physical:
    """The names of what is deployed: by type, then by logical id."""
    found: Physical = {}
    for it in stack.cloud.session.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]:
        found.setdefault(it["ResourceType"], {})[it["LogicalResourceId"]] = it["PhysicalResourceId"]
    return found


@pytest.fixture(scope="module")
def roles(stack: Stack, physical: Physical) -> Roles:
    return Roles(stack.cloud.session.client("iam"), physical[ROLE])


@pytest.fixture(scope="module")
def switches(stack: Stack) -> Switches:
    switches = Switches.of(stack)
    switches.turn_off()
    return switches


@pytest.fixture(scope="module")
def bench(switches: Switches, physical: Physical) -> Workbench:
    return Workbench.set_up(switches.stack, physical["AWS::Lambda::Function"])


def test_the_statements_are_those_of_the_expanded_template_and_of_the_deployed_roles(stack: Stack, roles: Roles) -> None:
    cloudformation = stack.cloud.session.client("cloudformation")
    expanded = cloudformation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
    deployed = {role["RoleName"] for role in stack.cloud.session.client("iam").list_roles()["Roles"]}

    assert sorted(written_statements(expanded), key=str) == sorted(STATEMENTS, key=str)
    assert sorted(roles.deployed_statements(), key=str) == sorted(STATEMENTS, key=str)
    assert roles.attached_policies() == [API_LOGS]
    assert deployed == set(roles.names.values()), "a role that the template does not write"


@pytest.mark.parametrize("statement", ENFORCED, ids=str)
def test_a_function_fails_without_a_statement_of_its_role(statement: Statement, bench: Workbench, roles: Roles) -> None:
    for removal in removals(statement):
        call = find_red(removal, bench, roles)
        call()  # with the permission again: it was the permission


def find_red(removal: Removal, bench: Workbench, roles: Roles) -> Call:
    """The call of the first case that is refused without a permission, for the want of just that."""
    for case in cases_of_role(removal.statement.role):
        call = case.prepare(bench)
        with roles.without(removal):
            failure = failure_of(call)
        if failure is not None:
            assert is_denial(failure, removal), f"{removal}: {case.name}: {failure}"
            return call
    pytest.fail(f"{removal}: nothing fails without it. Is it needed? Then add a case, or an excuse where it is not enforced.")


def failure_of(call: Call) -> str | None:
    try:
        call()
    except CallFailedError as error:
        return str(error)
    return None


def is_denial(failure: str, removal: Removal) -> bool:
    """Whether a failure is a refusal of an action that was taken away."""
    denied = DENIED.findall(failure) or (["s3:GetObject", "s3:GetObjectVersion"] if FORBIDDEN_HEAD in failure else [])
    return any(fnmatchcase(name, action) for name in denied for action in removal.actions)


def test_the_table_of_excuses_names_what_is_written_and_each_once() -> None:
    names = [str(it) for it in STATEMENTS] + [f"{it} {action}" for it in STATEMENTS for action in it.actions]
    repeated = [
        entry for entry, count in Counter(EXCUSED).items() if count > 1 or entry.partition(" ")[0] in set(EXCUSED) - {entry}
    ]

    assert set(EXCUSED) - set(names) == set(), "a stale entry: no statement or action of that name is written"
    assert repeated == []


def test_without_anything_that_is_excused_every_function_works(bench: Workbench, roles: Roles) -> None:
    """An excuse for something that the local cloud does enforce would show here."""
    with roles.without(*excused_removals(STATEMENTS)):
        failures = {case.name: failure_of(partial(run_case, case, bench)) for case in CASES}

    assert [f"{name}: {failure}" for name, failure in failures.items() if failure] == []


def run_case(case: Case, bench: Workbench) -> None:
    call = case.prepare(bench)
    call()


def test_without_anything_that_is_excused_a_batch_runs_to_its_end(switches: Switches, bench: Workbench, roles: Roles) -> None:
    bench.forget()
    with switches.on(), roles.without(*excused_removals(STATEMENTS)):
        lines = [*requests(3), "rubbish", request("refused", "[[status 400]] no")]
        batch, results = bench.stack.run("excused.jsonl", jsonl(lines))

    assert batch.status == "completed"
    assert results.answers.keys() == {1, 2, 3}
