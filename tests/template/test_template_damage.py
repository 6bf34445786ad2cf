"""Every rule of the template complains when the template is damaged."""

from typing import Any

import pytest

from . import functions, intake, parameters, permissions, storage
from .damage import Damage, Rule, plus
from .document import read_template
from .test_template import RULES

PATTERN = "Resources/InputRule/Properties/EventPattern"
TARGET = "Resources/InputRule/Properties/Targets/0"
LETTER = "Resources/InputQueuePolicy/Properties/PolicyDocument/Statement/0"
QUEUE = "Resources/InputQueue/Properties"
SOURCE = "Resources/ValidateFunction/Properties/Events/Input/Properties"
BUCKET = "Resources/Bucket/Properties"
LIFECYCLE = f"{BUCKET}/LifecycleConfiguration/Rules"
TLS = "Resources/BucketPolicy/Properties/PolicyDocument/Statement/0"
TABLE = "Resources/Table/Properties"
MACHINE = "Resources/BatchStateMachine/Properties"
API = "Resources/Api/Properties"
PLAN = "Resources/PlanFunction/Properties"
SHARED = "Globals/Function"
VARIABLES = f"{SHARED}/Environment/Variables"
DEATH = "Resources/SweepFunction/Properties/Events/DeadExecution/Properties/Pattern"


def policy(role: str) -> str:
    return f"Resources/{role}/Properties/Policies/0/PolicyDocument/Statement"


def statement(sid: str, action: str, resource: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}


INTAKE = [
    *(Damage(intake.rule_takes_input_files, f"{PATTERN}/detail/object/key/{number}") for number in range(4)),
    Damage(intake.rule_takes_input_files, f"{PATTERN}/detail/object/key/0/wildcard", "*.jsonl"),
    Damage(intake.rule_takes_input_files, f"{PATTERN}/detail/object/key/0/wildcard", "input/*.json*"),
    Damage(intake.rule_takes_input_files, f"{PATTERN}/detail-type"),
    Damage(intake.rule_takes_input_files, f"{PATTERN}/detail/bucket"),
    Damage(intake.rule_targets_give_up_safely, f"{TARGET}/DeadLetterConfig"),
    Damage(intake.rule_targets_give_up_safely, f"{TARGET}/RetryPolicy"),
    Damage(intake.queues_of_rules_let_them_in, f"{LETTER}/Condition"),
    Damage(intake.queues_of_rules_let_them_in, f"{LETTER}/Principal", "*"),
    Damage(intake.queues_of_rules_let_them_in, f"{LETTER}/Resource/1"),
    Damage(intake.queues_of_rules_let_them_in, "Resources/InputQueuePolicy/Properties/Queues/0"),
    Damage(intake.queues_are_encrypted, f"{QUEUE}/SqsManagedSseEnabled"),
    Damage(intake.queues_are_encrypted, QUEUE, plus({"KmsMasterKeyId": "alias/aws/sqs"})),
    Damage(intake.queues_keep_messages_for_14_days, "Resources/DeadLetterQueue/Properties/MessageRetentionPeriod"),
    Damage(intake.queues_keep_messages_for_14_days, f"{QUEUE}/MessageRetentionPeriod", 345_600),
    Damage(intake.queues_redrive, f"{QUEUE}/RedrivePolicy"),
    Damage(intake.queues_redrive, f"{QUEUE}/RedrivePolicy/maxReceiveCount", 3),
    Damage(intake.queues_redrive, f"{QUEUE}/RedrivePolicy/deadLetterTargetArn", {"Fn::GetAtt": ["InputQueue", "Arn"]}),
    Damage(
        intake.queues_redrive,
        "Resources/DeadLetterQueue/Properties",
        plus({"RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["InputQueue", "Arn"]}, "maxReceiveCount": 5}}),
    ),
    Damage(intake.messages_come_one_by_one, f"{SOURCE}/BatchSize", 10),
    Damage(intake.messages_come_one_by_one, f"{SOURCE}/FunctionResponseTypes"),
    Damage(intake.messages_come_one_by_one, f"{SOURCE}/ScalingConfig"),
    Damage(intake.messages_come_one_by_one, "Resources/ValidateFunction/Properties/Events"),
    Damage(intake.messages_stay_with_their_reader, f"{QUEUE}/VisibilityTimeout"),
    Damage(intake.messages_stay_with_their_reader, "Parameters/InputVisibilitySeconds/Default", 910),
    Damage(intake.messages_stay_with_their_reader, "Parameters/ValidateTimeoutSeconds/Default", 300),
]

STORAGE = [
    Damage(storage.bucket_is_private, f"{BUCKET}/PublicAccessBlockConfiguration/BlockPublicPolicy", False),
    Damage(storage.bucket_is_private, f"{BUCKET}/PublicAccessBlockConfiguration"),
    Damage(storage.bucket_is_private, f"{BUCKET}/OwnershipControls"),
    Damage(storage.bucket_is_private, "Resources/BucketPolicy"),
    Damage(storage.bucket_is_private, f"{TLS}/Effect", "Allow"),
    Damage(storage.bucket_is_private, f"{TLS}/Resource/1"),
    Damage(storage.bucket_is_private, "Parameters/RequireTls/Default", "false"),
    Damage(storage.bucket_keeps_versions, f"{BUCKET}/VersioningConfiguration/Status", "Suspended"),
    Damage(storage.bucket_keeps_versions, f"{BUCKET}/BucketEncryption"),
    Damage(storage.bucket_keeps_versions, f"{BUCKET}/NotificationConfiguration"),
    Damage(storage.bucket_forgets, f"{LIFECYCLE}/0"),
    Damage(storage.bucket_forgets, f"{LIFECYCLE}/1/NoncurrentVersionExpiration"),
    Damage(storage.bucket_forgets, f"{LIFECYCLE}/1/NoncurrentVersionExpiration/NoncurrentDays", 7),
    Damage(storage.bucket_forgets, f"{LIFECYCLE}/1/AbortIncompleteMultipartUpload"),
    Damage(storage.bucket_forgets, f"{LIFECYCLE}/1", plus({"ExpirationInDays": 90})),
    Damage(storage.bucket_forgets, f"{LIFECYCLE}/2/Status", "Disabled"),
    Damage(storage.bucket_forgets, "Parameters/WorkRetentionDays/MinValue", 7),
    Damage(storage.data_outlives_the_stack, "Resources/Bucket/DeletionPolicy"),
    Damage(storage.data_outlives_the_stack, "Resources/Table/UpdateReplacePolicy", "Delete"),
    Damage(storage.table_has_its_keys, f"{TABLE}/KeySchema/1"),
    Damage(storage.table_has_its_keys, f"{TABLE}/GlobalSecondaryIndexes/2"),
    Damage(storage.table_has_its_keys, f"{TABLE}/GlobalSecondaryIndexes/0/Projection/ProjectionType", "KEYS_ONLY"),
    Damage(storage.table_has_its_keys, f"{TABLE}/AttributeDefinitions/3/AttributeType", "N"),
    Damage(storage.table_is_safe, f"{TABLE}/PointInTimeRecoverySpecification"),
    Damage(storage.table_is_safe, f"{TABLE}/SSESpecification/SSEEnabled", False),
    Damage(storage.table_is_safe, f"{TABLE}/TimeToLiveSpecification"),
    Damage(storage.table_is_safe, f"{TABLE}/BillingMode", "PROVISIONED"),
    Damage(storage.logs_end, "Resources/PollLogGroup/Properties/RetentionInDays"),
    Damage(storage.logs_have_their_own_group, f"{PLAN}/LoggingConfig"),
    Damage(storage.logs_have_their_own_group, f"{PLAN}/LoggingConfig/LogGroup/Ref", "PollLogGroup"),
    Damage(storage.logs_have_their_own_group, "Resources/PlanLogGroup"),
    Damage(storage.logs_have_their_own_group, f"{MACHINE}/Logging/Destinations"),
    Damage(storage.logs_have_their_own_group, f"{API}/AccessLogSetting"),
    Damage(storage.logs_have_their_own_group, f"{API}/AccessLogSetting/Fn::If/1/DestinationArn/Fn::GetAtt/0", "PlanLogGroup"),
    Damage(storage.machine_logs_hold_no_data, f"{MACHINE}/Logging/IncludeExecutionData", True),
    Damage(storage.machine_logs_hold_no_data, f"{MACHINE}/Logging/Level", "ALL"),
    Damage(storage.machine_logs_hold_no_data, "Resources/BatchStateMachineLogGroup/Properties/LogGroupName/Fn::Sub", "/batch"),
    Damage(storage.definitions_are_files, f"{MACHINE}/DefinitionUri", "statemachine/other.asl.json"),
]

FUNCTIONS = [
    Damage(functions.functions_have_folders, "Resources/PlanFunction"),
    Damage(functions.functions_have_folders, f"{PLAN}/CodeUri", "functions/poll"),
    Damage(functions.functions_share_what_is_global, f"{SHARED}/Handler", "main.handler"),
    Damage(functions.functions_share_what_is_global, f"{SHARED}/Layers"),
    Damage(functions.functions_share_what_is_global, f"{SHARED}/Timeout", 901),
    Damage(functions.functions_share_what_is_global, PLAN, plus({"Handler": "app.main"})),
    Damage(functions.functions_share_what_is_global, "Resources/CoreLayer/Properties/CompatibleRuntimes/0"),
    Damage(functions.settings_are_set, f"{VARIABLES}/SLACKTIDE_TABLE"),
    Damage(functions.settings_are_set, f"{PLAN}/Environment"),
    Damage(functions.settings_are_set, "Resources/DeadLetterFunction/Properties/Environment"),
    Damage(functions.settings_are_set, "Resources/ValidateFunction/Properties/Environment/Variables/SLACKTIDE_INPUT_QUEUE_URL"),
    Damage(functions.settings_are_set, "Resources/SweepFunction/Properties/Environment/Variables/SLACKTIDE_BATCH_STATE_MACHINE"),
    Damage(functions.settings_are_set, VARIABLES, plus({"SLACKTIDE_BUKET": "b"})),
    Damage(
        functions.settings_are_set, f"{PLAN}/Environment/Variables", plus({"SLACKTIDE_INPUT_QUEUE_URL": {"Ref": "InputQueue"}})
    ),
    Damage(functions.settings_name_their_source, f"{VARIABLES}/SLACKTIDE_BUCKET/Ref", "Table"),
    Damage(functions.settings_name_their_source, f"{VARIABLES}/SLACKTIDE_WAIT_FIRST/Ref", "LongestWaitSeconds"),
    Damage(functions.settings_name_their_source, "Resources/ValidateFunction/Properties/Timeout", 300),
    Damage(functions.parameters_fit_settings, "Parameters/FirstWaitSeconds/MinValue", 0),
    Damage(functions.parameters_fit_settings, "Parameters/ValidateTimeoutSeconds/MaxValue", 901),
    Damage(functions.parameters_fit_settings, "Parameters/LongestWaitSeconds/Default", 60),
    Damage(functions.sweep_is_called, "Resources/SweepFunction/Properties/Events/Regularly"),
    Damage(functions.sweep_is_called, "Resources/SweepFunction/Properties/Events/DeadExecution"),
    Damage(functions.sweep_is_called, f"{DEATH}/detail/status/1"),
    Damage(functions.sweep_is_called, f"{DEATH}/detail/stateMachineArn/1"),
    Damage(functions.sweep_is_called, f"{DEATH}/source", ["aws.lambda"]),
]

PERMISSIONS = [
    Damage(permissions.resources_are_narrow, f"{policy('PlanRole')}/0/Resource", "*"),
    Damage(permissions.resources_are_narrow, f"{policy('PlanRole')}/0/Resource/Fn::Sub", "${Bucket.Arn}/*"),
    Damage(permissions.resources_are_narrow, f"{policy('PlanRole')}/0/Resource", {"Fn::GetAtt": ["Bucket", "Arn"]}),
    Damage(permissions.resources_are_narrow, f"{policy('PollRole')}/2/Resource/Fn::Sub", "arn:aws:sagemaker:r:a:transform-job/*"),
    Damage(permissions.resources_are_narrow, f"{policy('PlanRole')}/5/Resource/Fn::Sub", "arn:aws:states:r:a:execution:*"),
    Damage(permissions.resources_are_narrow, f"{policy('JobStateMachineRole')}/1"),
    Damage(permissions.actions_are_named, f"{policy('PlanRole')}/0/Action", "s3:Get*"),
    Damage(permissions.actions_are_named, f"{policy('DeadLetterRole')}/2/Action", "sqs:SendMessage"),
    Damage(permissions.actions_are_named, f"{policy('PlanRole')}/0/Sid"),
    Damage(permissions.actions_are_named, f"{policy('PlanRole')}/0/Sid", "WritePlan"),
    Damage(permissions.actions_are_named, f"{policy('PlanRole')}/0/Effect", "Deny"),
    Damage(permissions.actions_are_named, f"{policy('PlanRole')}/0", plus({"NotAction": "s3:PutObject"})),
    Damage(permissions.actions_are_named, "Resources/PlanRole/Properties", plus({"ManagedPolicyArns": ["arn:x"]})),
    Damage(permissions.actions_are_named, "Resources/ApiAccountRole/Properties/ManagedPolicyArns"),
    Damage(permissions.roles_are_not_shared, "Resources/ApiAccount"),
    Damage(permissions.roles_are_not_shared, "Resources/ApiAccount/Properties/CloudWatchRoleArn/Fn::GetAtt/0", "ApiRole"),
    Damage(permissions.roles_are_not_shared, f"{PLAN}/Role/Fn::GetAtt/0", "PollRole"),
    Damage(permissions.roles_are_not_shared, f"{PLAN}/Role"),
    Damage(permissions.roles_are_not_shared, PLAN, plus({"Policies": ["AmazonS3FullAccess"]})),
    Damage(
        permissions.roles_trust_one_service,
        "Resources/ApiAccountRole/Properties/AssumeRolePolicyDocument/Statement/0/Principal/Service",
        "lambda.amazonaws.com",
    ),
    Damage(
        permissions.roles_trust_one_service,
        "Resources/PlanRole/Properties/AssumeRolePolicyDocument/Statement/0/Principal",
        {"AWS": "*"},
    ),
    Damage(permissions.roles_are_passed_to_one_service, f"{policy('SubmitRole')}/5/Fn::If/1/Condition"),
    Damage(permissions.roles_are_passed_to_one_service, f"{policy('SubmitRole')}/5/Fn::If/1/Resource", "*"),
    Damage(
        permissions.roles_are_passed_to_one_service, f"{policy('SubmitRole')}/5/Fn::If/1/Action", ["iam:PassRole", "iam:GetRole"]
    ),
    Damage(permissions.roles_are_passed_to_one_service, f"{policy('SubmitRole')}/5"),
    Damage(permissions.drop_zone_is_only_read, f"{policy('PlanRole')}/1/Resource/Fn::Sub", "${Bucket.Arn}/in*"),
    Damage(permissions.drop_zone_is_only_read, f"{policy('PlanRole')}/1/Resource/Fn::Sub", "${Bucket.Arn}/input/x/*"),
    Damage(permissions.drop_zone_is_only_read, f"{policy('PlanRole')}/1/Action", ["s3:PutObject", "s3:DeleteObject"]),
    Damage(permissions.drop_zone_is_only_read, f"{policy('SweepRole')}/5/Action", "s3:GetObject"),
    Damage(permissions.functions_write_their_own_log, f"{policy('PlanRole')}/6/Resource/Fn::Sub", "${PollLogGroup.Arn}"),
    Damage(permissions.functions_write_their_own_log, f"{policy('PlanRole')}/6/Action", plus("logs:CreateLogGroup")),
    Damage(permissions.functions_write_their_own_log, policy("PlanRole"), plus(statement("More", "logs:PutLogEvents", "*"))),
]

PARAMETERS = [
    Damage(parameters.parameters_are_described, "Parameters/LogLevel/Description"),
    Damage(parameters.parameters_are_described, "Parameters/LogLevel/Default"),
    Damage(parameters.parameters_are_bounded, "Parameters/LogLevel/AllowedValues"),
    Damage(parameters.parameters_are_bounded, "Parameters/FirstWaitSeconds/MaxValue"),
    Damage(parameters.parameters_are_bounded, "Parameters/SweepSchedule/Default", "hourly"),
    Damage(parameters.parameters_are_bounded, "Parameters/TransformImageUri", plus({"AllowedPattern": ".*"})),
    Damage(parameters.parameters_are_bounded, "Parameters/TransformModels"),
    Damage(parameters.large_numbers_are_texts, "Parameters/TogetherEnqueuedTokens/Default", 30_000_000_000),
    Damage(parameters.parameters_are_shown_and_used, "Metadata/AWS::CloudFormation::Interface/ParameterGroups/0/Parameters/0"),
    Damage(
        parameters.parameters_are_shown_and_used,
        "Metadata/AWS::CloudFormation::Interface/ParameterGroups/0/Parameters",
        plus("LogLevel"),
    ),
    Damage(parameters.parameters_are_shown_and_used, f"{VARIABLES}/POWERTOOLS_LOG_LEVEL"),
    Damage(parameters.conditions_are_used, "Conditions", plus({"HasNothing": {"Fn::Equals": ["a", "b"]}})),
    Damage(parameters.conditions_are_used, "Resources/TransformRole/Condition", "HasTransfrom"),
    Damage(parameters.references_are_there, f"{policy('PlanRole')}/0/Resource/Fn::Sub", "${Buket.Arn}/batches/*"),
    Damage(parameters.references_are_there, f"{PLAN}/Role/Fn::GetAtt/0", "PlanRoll"),
    Damage(parameters.references_are_there, "Outputs/TableName/Value/Ref", "Tabel"),
    Damage(parameters.outputs_are_described, "Outputs/TableName/Description"),
    Damage(parameters.outputs_are_described, "Outputs/TableName/Value/Ref", "LogLevel"),
    Damage(parameters.outputs_are_described, "Outputs/ApiUrl/Value/Fn::Sub", "https://${AWS::Region}.example.com"),
]

DAMAGES = [*INTAKE, *STORAGE, *FUNCTIONS, *PERMISSIONS, *PARAMETERS]


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_the_damage_is_seen(damage: Damage) -> None:
    assert list(damage.rule(damage.apply(read_template())))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_has_been_seen_to_complain(rule: Rule) -> None:
    assert any(damage.rule is rule for damage in DAMAGES)
