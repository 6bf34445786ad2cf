"""Every rule of the state machines holds, and complains when a machine is damaged."""

import inspect
from typing import Any

import pytest

from slacktide import wiring
from template.damage import Damage, Rule, plus
from template.document import FUNCTION, ROOT, Document, resources
from template.functions import directory_of

from . import duties, payloads, shape
from .machine import CALLED, MACHINES, answer_type, called, read_contract, tasks

RULES: list[Rule] = [*shape.RULES, *payloads.RULES, *duties.RULES]
RETRY = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 6, "MaxDelaySeconds": 60}
TEMPLATE = "template/Resources/BatchStateMachine/Properties"
ROLE = "template/Resources/BatchStateMachineRole/Properties/Policies/0/PolicyDocument/Statement"
INNER = "definition/States/Start jobs/ItemProcessor/States"


def of(state: str) -> str:
    return f"definition/States/{state}"


def a_pass(**fields: Any) -> dict[str, Any]:
    return {"Lost": {"Type": "Pass", "Comment": "Nobody comes here.", **fields}}


# All but the last few are of the machine "batch": the rules are the same for both.
DAMAGES = [
    Damage(shape.machine_speaks_jsonata, "definition/QueryLanguage"),
    Damage(shape.machine_speaks_jsonata, of("Plan round"), plus({"ResultPath": "$.plan"})),
    Damage(shape.machine_speaks_jsonata, of("Wait"), plus({"SecondsPath": "$.wait"})),
    Damage(shape.machine_speaks_jsonata, f"{of('Wait')}/Seconds", "{% $floor($wait_seconds) %}"),
    Damage(shape.machine_speaks_jsonata, f"{of('Plan round')}/TimeoutSeconds", "{% $wait_seconds %}"),
    Damage(shape.machine_speaks_jsonata, f"{of('Any jobs?')}/Choices/0", plus({"Variable": "$.jobs"})),
    Damage(shape.machine_is_standard, f"{TEMPLATE}/Type", "EXPRESS"),
    Damage(shape.targets_are_there, f"{of('Wait')}/Next", "Folow round"),
    Damage(shape.targets_are_there, f"{of('Any jobs?')}/Default", "Assembly"),
    Damage(shape.targets_are_there, f"{of('Any jobs?')}/Choices/0/Next", "Wait for it"),
    Damage(shape.targets_are_there, f"{of('Assemble')}/Catch/0/Next", "Stuck"),
    Damage(shape.targets_are_there, "definition/StartAt", "Begin"),
    Damage(shape.targets_are_there, f"{INNER}/Start job/Catch/0/Next", "Give up"),
    Damage(shape.states_are_reached, "definition/States", plus(a_pass(Next="Assemble"))),
    Damage(shape.states_are_reached, INNER, plus(a_pass(End=True))),
    Damage(shape.states_are_reached, f"{of('Round settled?')}/Choices/0/Next", "Wait"),
    Damage(shape.states_are_reached, f"{of('Assembled?')}/Choices/0/Next", "Assemble"),
    Damage(shape.ends_are_meant, f"{of('Batch stuck')}/Type", "Succeed"),
    Damage(shape.ends_are_meant, of("Announce"), plus({"End": True})),
    Damage(shape.ends_are_meant, f"{of('Wait')}/Next"),
    Damage(shape.ends_are_meant, f"{INNER}/Job not started", {"Type": "Fail", "Comment": "x."}),
    Damage(shape.failures_say_why, f"{of('Batch failed')}/Cause"),
    Damage(shape.failures_say_why, f"{of('Batch stuck')}/Cause", "{% $status %}"),
    Damage(shape.states_are_commented, f"{of('Wait')}/Comment"),
    Damage(shape.states_are_commented, f"{INNER}/Start job/Comment", ""),
    Damage(shape.states_are_commented, "definition/Comment"),
    Damage(shape.states_are_named, INNER, plus({"Wait": {"Type": "Wait", "Comment": "x.", "Seconds": 1, "End": True}})),
    Damage(shape.states_are_named, "definition/States", plus({"Any more": {"Type": "Choice", "Choices": []}})),
    Damage(shape.choices_have_a_default, f"{of('All sent?')}/Default"),
    Damage(shape.choices_have_a_default, f"{of('All sent?')}/Choices", []),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/TimeoutSeconds"),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Catch"),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Retry"),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Catch/0/ErrorEquals", ["States.Timeout"]),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Retry/0/JitterStrategy"),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Retry/0/BackoffRate", 1),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Retry/0/MaxAttempts", 0),
    Damage(shape.steps_are_guarded, f"{of('Follow round')}/Retry/0/MaxDelaySeconds"),
    Damage(shape.steps_are_guarded, f"{of('Start jobs')}/Catch"),
    Damage(shape.steps_are_guarded, f"{INNER}/Start job/Retry/1"),
    Damage(payloads.payloads_are_ids, f"{of('Plan round')}/Arguments/Payload", plus({"body": "{% $jobs %}"})),
    Damage(payloads.payloads_are_ids, f"{INNER}/Start job/Arguments/Input", plus({"prompt": "x"})),
    Damage(payloads.payloads_are_ids, f"{of('Follow round')}/Assign", plus({"answers": "{% $states.result.Payload.settled %}"})),
    Damage(payloads.payloads_are_ids, of("Follow round"), plus({"Output": "{% $states.result %}"})),
    Damage(payloads.placeholders_are_substituted, f"{TEMPLATE}/DefinitionSubstitutions/PlanFunction"),
    Damage(payloads.placeholders_are_substituted, f"{TEMPLATE}/DefinitionSubstitutions", plus({"PollFunction": {"Ref": "x"}})),
    Damage(payloads.placeholders_are_substituted, f"{of('Plan round')}/Arguments/FunctionName", "${PlanFunktion}"),
    Damage(
        payloads.placeholders_are_substituted, f"{TEMPLATE}/DefinitionSubstitutions/PlanFunction/Fn::GetAtt/0", "PollFunction"
    ),
    Damage(payloads.functions_get_their_step, f"{of('Assemble')}/Arguments/Payload/gave_up"),
    Damage(payloads.functions_get_their_step, f"{of('Announce')}/Arguments/Payload", plus({"attempt": 1})),
    Damage(payloads.functions_get_their_step, f"{of('Announce')}/Arguments", plus({"Qualifier": "1"})),
    Damage(payloads.functions_get_their_step, f"{of('Announce')}/Arguments/FunctionName", "${FollowFunction}"),
    Damage(payloads.answers_have_what_is_read, f"{of('Announce')}/Assign/status", "{% $states.result.Payload.state %}"),
    Damage(payloads.answers_have_what_is_read, f"{of('Announce')}/Assign/status", "{% $states.result.status %}"),
    Damage(payloads.answers_have_what_is_read, f"{of('Dead-letter')}/Assign/cursor"),
    Damage(payloads.started_jobs_get_their_input, f"{INNER}/Start job/Arguments/Name", "{% $states.input.job_id %}"),
    Damage(payloads.started_jobs_get_their_input, f"{INNER}/Start job/Arguments/Input/attempt"),
    Damage(payloads.started_jobs_get_their_input, f"{INNER}/Start job/Arguments/StateMachineArn", "${BatchStateMachine}"),
    Damage(
        payloads.inputs_have_what_is_read,
        f"{of('Announce')}/Arguments/Payload/batch_id",
        "{% $states.context.Execution.Input.job_id %}",
    ),
    Damage(
        payloads.inputs_have_what_is_read, f"{of('Announce')}/Arguments/Payload/batch_id", "{% $states.context.Execution.Id %}"
    ),
    Damage(payloads.variables_are_assigned_first, f"{of('Plan round')}/Assign/gave_up"),
    Damage(payloads.variables_are_assigned_first, f"{of('Give up')}/Assign/cursor"),
    Damage(payloads.variables_are_assigned_first, f"{of('Plan round')}/Assign/jobs"),
    Damage(payloads.variables_are_assigned_first, f"{INNER}/Start job/Arguments/Input/job_id", "{% $job_id %}"),
    Damage(payloads.conditions_are_decisions, f"{of('Any jobs?')}/Choices/0/Condition", "{% $jobs %}"),
    Damage(payloads.conditions_are_decisions, f"{of('Batch failed?')}/Choices/0/Condition", "{% $status = 'fail' %}"),
    Damage(payloads.integrations_are_known, f"{of('Announce')}/Resource", "arn:aws:states:::aws-sdk:s3:getObject"),
    Damage(payloads.integrations_are_known, f"{of('Announce')}/Arguments/FunctionName", "announce"),
    Damage(duties.time_outs_are_nested, f"{of('Assemble')}/TimeoutSeconds", 900),
    Damage(duties.time_outs_are_nested, "template/Resources/AssembleFunction/Properties/Timeout", 75),
    Damage(duties.time_outs_are_nested, "template/Globals/Function/Timeout", 331),
    Damage(duties.machine_outlives_its_batch, "definition/TimeoutSeconds", 604_800),
    Damage(duties.machine_outlives_its_batch, "definition/TimeoutSeconds"),
    Damage(duties.giving_up_is_patient, f"{of('Plan round')}/Retry/0/MaxAttempts", 10),
    Damage(duties.giving_up_is_patient, f"{of('Follow round')}/Retry/0/MaxDelaySeconds", 30),
    Damage(duties.role_is_what_is_done, f"{ROLE}/0/Resource/0"),
    Damage(duties.role_is_what_is_done, f"{ROLE}/0/Resource", plus({"Fn::GetAtt": ["PollFunction", "Arn"]})),
    Damage(duties.role_is_what_is_done, f"{ROLE}/1"),
    Damage(duties.role_is_what_is_done, f"{ROLE}/1/Action", ["states:StartExecution", "states:StopExecution"]),
    Damage(duties.role_is_what_is_done, f"{ROLE}/2/Action/0"),
    Damage(duties.role_is_what_is_done, f"{TEMPLATE}/Logging"),
]


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_machine_follows(rule: Rule, name: str) -> None:
    assert list(rule(read_contract(name))) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_the_damage_is_seen(damage: Damage) -> None:
    assert list(damage.rule(damage.apply(read_contract("batch"))))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_has_been_seen_to_complain(rule: Rule) -> None:
    assert any(damage.rule is rule for damage in DAMAGES)


def invoking(contract: Document) -> set[str]:
    return {called(contract, state) for _, state in tasks(contract)}


def test_each_function_of_a_step_is_invoked_by_one_machine() -> None:
    """All functions but those that events and calls start."""
    both = [invoking(read_contract(name)) for name in MACHINES]
    assert not both[0] & both[1]
    functions = resources(read_contract("batch")["template"], FUNCTION)
    assert both[0] | both[1] == functions.keys() - {"ValidateFunction", "SweepFunction", "ApiFunction"} == CALLED.keys()


@pytest.mark.parametrize("function", CALLED)
def test_each_handler_answers_what_the_rules_take_for_its_answer(function: str) -> None:
    directory = directory_of(resources(read_contract("batch")["template"], FUNCTION)[function])
    source = (ROOT / "functions" / directory / "app.py").read_text()
    assert f"{CALLED[function].__name__}(" in source
    assert "v" in answer_type(function).__struct_fields__


def test_every_client_has_the_time_outs_that_are_counted_with() -> None:
    config: Any = wiring.CONFIG
    assert (config.connect_timeout, config.read_timeout) == (wiring.CONNECT_SECONDS, wiring.READ_SECONDS)
    assert config.retries == {"mode": "standard", "total_max_attempts": wiring.TRIES}
    source = inspect.getsource(wiring)
    made = source.count(".client(") + source.count(".resource(")
    assert made == source.count("config=CONFIG")
