"""Rules of what is kept: the bucket, the table, the logs (docs/architecture.md)."""

from collections.abc import Iterator
from typing import Any

from .document import FUNCTION, MACHINE, REST_API, ROOT, Document, default, resources, target
from .intake import DAY, settings

BUCKET = "AWS::S3::Bucket"
TABLE = "AWS::DynamoDB::Table"
LOG_GROUP = "AWS::Logs::LogGroup"
INDEXES = ("gsi1", "gsi2", "gsi3")


def longest_window_days() -> float:
    """The longest completion window that the settings allow."""
    return settings().window_longest / DAY


def bucket_is_private(template: Document) -> Iterator[str]:
    """No public access by any way, no access lists, and no request without TLS."""
    for name, bucket in resources(template, BUCKET).items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        switches = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        for switch in switches:
            if block.get(switch) is not True:
                yield f"{name}: {switch} is off"
        if bucket.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}:
            yield f"{name}: access lists are on"
        if name not in set(_tls_buckets(template)):
            yield f"{name}: takes requests without TLS"
    if template["Parameters"]["RequireTls"]["Default"] != "true":
        yield "TLS is not required by default"


def _tls_buckets(template: Document) -> Iterator[str | None]:
    for policy in resources(template, "AWS::S3::BucketPolicy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            fences = {(statement[key] if isinstance(statement[key], str) else "") for key in ("Effect", "Principal", "Action")}
            whole = [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]
            plain = {"Bool": {"aws:SecureTransport": "false"}}
            if fences == {"Deny", "*", "s3:*"} and statement["Resource"] == whole and statement.get("Condition") == plain:
                yield target(policy["Bucket"])


def bucket_keeps_versions(template: Document) -> Iterator[str]:
    """Versioned, encrypted, kept when the stack goes, and its events go to EventBridge."""
    for name, bucket in resources(template, BUCKET).items():
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name} is not versioned"
        encryption = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        if not any(it.get("ServerSideEncryptionByDefault", {}).get("SSEAlgorithm") in {"AES256", "aws:kms"} for it in encryption):
            yield f"{name} is not encrypted"
        sent = bucket.get("NotificationConfiguration", {}).get("EventBridgeConfiguration", {})
        if sent.get("EventBridgeEnabled") is not True:
            yield f"{name} sends no events"


def bucket_forgets(template: Document) -> Iterator[str]:
    """Nothing is paid for for ever: working data, old versions, broken uploads and delete markers end; none before its batch."""
    for name, bucket in resources(template, BUCKET).items():
        rules = [it for it in bucket.get("LifecycleConfiguration", {}).get("Rules", []) if it["Status"] == "Enabled"]
        whole = [it for it in rules if not {"Prefix", "Filter", "TagFilters"} & it.keys()]
        old = [_days(template, it, "NoncurrentVersionExpiration", "NoncurrentDays") for it in whole]
        broken = [_days(template, it, "AbortIncompleteMultipartUpload", "DaysAfterInitiation") for it in whole]
        working = [default(template, it.get("ExpirationInDays", 0)) for it in rules if it.get("Prefix") == "batches/"]
        for what, days in (("old versions", old), ("broken uploads", broken), ("working data", working)):
            if not any(days):
                yield f"{name}: {what} are kept for ever"
            elif min(filter(None, days)) <= longest_window_days():
                yield f"{name}: {what} go before the longest batch ends"
        if not any(it.get("ExpiredObjectDeleteMarker") is True for it in whole):
            yield f"{name}: delete markers are kept for ever"
        if any("ExpirationInDays" in it for it in whole):
            yield f"{name}: results and inputs end by themselves"
    if template["Parameters"]["WorkRetentionDays"]["MinValue"] <= longest_window_days():
        yield "WorkRetentionDays may be shorter than the longest completion window"


def _days(template: Document, rule: Document, key: str, unit: str) -> int:
    return int(default(template, rule.get(key, {}).get(unit, 0)))


def data_outlives_the_stack(template: Document) -> Iterator[str]:
    """Deleting the stack, or a change that replaces them, leaves the bucket and the table."""
    for name, it in template["Resources"].items():
        if it["Type"] in {BUCKET, TABLE}:
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                if it.get(policy) != "Retain":
                    yield f"{name}: {policy} is not Retain"


def table_has_its_keys(template: Document) -> Iterator[str]:
    """`pk, sk` and three generic indexes from the first deployment: CloudFormation adds one index per update."""
    for name, table in resources(template, TABLE).items():
        if table["KeySchema"] != _keys("pk", "sk"):
            yield f"{name}: the keys are not pk and sk"
        wanted = [_index(index) for index in INDEXES]
        if table.get("GlobalSecondaryIndexes") != wanted:
            yield f"{name}: the indexes are not gsi1, gsi2 and gsi3 over all attributes"
        names = ["pk", "sk", *(f"{index}{end}" for index in INDEXES for end in ("pk", "sk"))]
        if table["AttributeDefinitions"] != [{"AttributeName": it, "AttributeType": "S"} for it in names]:
            yield f"{name}: the attributes are not exactly the keys, as strings"


def _keys(partition: str, order: str) -> list[Document]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": order, "KeyType": "RANGE"}]


def _index(index: str) -> Document:
    return {"IndexName": index, "KeySchema": _keys(f"{index}pk", f"{index}sk"), "Projection": {"ProjectionType": "ALL"}}


def table_is_safe(template: Document) -> Iterator[str]:
    """Encrypted, restorable to any second, paid by request, and items may end by themselves."""
    wanted: dict[str, Any] = {
        "BillingMode": "PAY_PER_REQUEST",
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }
    for name, table in resources(template, TABLE).items():
        for key, value in wanted.items():
            if table.get(key) != value:
                yield f"{name}: {key} is not {value}"


def logs_end(template: Document) -> Iterator[str]:
    """Each log group keeps its logs for as long as the parameter says."""
    for name, group in resources(template, LOG_GROUP).items():
        if group.get("RetentionInDays") != {"Ref": "LogRetentionDays"}:
            yield f"{name} keeps its logs for ever"


def logs_have_their_own_group(template: Document) -> Iterator[str]:
    """Each function, each machine and each API writes to a log group of its own, and no group is without a writer."""
    writers: dict[str | None, list[str]] = {name: [] for name in resources(template, LOG_GROUP)}
    for name, function in resources(template, FUNCTION).items():
        writers.setdefault(target(function.get("LoggingConfig", {}).get("LogGroup")), []).append(name)
    for name, machine in resources(template, MACHINE).items():
        destinations = machine.get("Logging", {}).get("Destinations", [])
        groups = [target(it["CloudWatchLogsLogGroup"]["LogGroupArn"]) for it in destinations]
        writers.setdefault(groups[0] if groups else None, []).append(name)
    for name, api in resources(template, REST_API).items():
        log = api.get("AccessLogSetting", {})
        log = log["Fn::If"][1] if "Fn::If" in log else log
        writers.setdefault(target(log.get("DestinationArn")), []).append(name)
    for group, names in writers.items():
        if group not in resources(template, LOG_GROUP):
            yield f"{', '.join(names)}: no log group of this template"
        elif len(names) != 1:
            yield f"{group}: written by {', '.join(names) or 'nobody'}"


def machine_logs_hold_no_data(template: Document) -> Iterator[str]:
    """Errors are logged without the data of the execution; groups under /aws/vendedlogs/ need no resource policy to grow."""
    for name, machine in resources(template, MACHINE).items():
        if machine.get("Logging", {}).get("IncludeExecutionData") is not False or machine["Logging"].get("Level") != "ERROR":
            yield f"{name}: its log is not of errors without data"
        for it in machine.get("Logging", {}).get("Destinations", []):
            group = template["Resources"].get(target(it["CloudWatchLogsLogGroup"]["LogGroupArn"]), {}).get("Properties", {})
            if not str(group.get("LogGroupName", {}).get("Fn::Sub", "")).startswith("/aws/vendedlogs/states/"):
                yield f"{name}: its log group is not below /aws/vendedlogs/states/"


def definitions_are_files(template: Document) -> Iterator[str]:
    """One file in `statemachine/` for each machine, and no other."""
    named = sorted(str(machine.get("DefinitionUri")) for machine in resources(template, MACHINE).values())
    there = sorted(f"statemachine/{path.name}" for path in (ROOT / "statemachine").iterdir())
    if named != there:
        yield f"the machines are {named}, the files are {there}"


RULES = [
    bucket_is_private,
    bucket_keeps_versions,
    bucket_forgets,
    data_outlives_the_stack,
    table_has_its_keys,
    table_is_safe,
    logs_end,
    logs_have_their_own_group,
    machine_logs_hold_no_data,
    definitions_are_files,
]
