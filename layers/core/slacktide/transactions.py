"""Several writes to the table at once: all of them are made, or none. Each may have a condition."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from botocore.exceptions import ClientError

from slacktide.bucket import error_code
from slacktide.errors import ConflictError
from slacktide.items import to_attribute

Write = dict[str, dict[str, Any]]  # as TransactWriteItems takes it, without the name of the table
MOST_WRITES = 100  # of one transaction, says DynamoDB
TRIES = 6  # of a transaction that met another one at the same item: it was not carried out, so it can be tried again
LONGEST_PAUSE = 0.8  # seconds
_CONDITION, _CONFLICT = "ConditionalCheckFailed", "TransactionConflict"


def put(item: dict[str, Any], when: ConditionBase | None = None) -> Write:
    """Write an item."""
    return {"Put": {"Item": item} | _condition(when, {}, {})}


def delete(key: dict[str, str], when: ConditionBase | None = None) -> Write:
    """Remove an item."""
    return {"Delete": {"Key": key} | _condition(when, {}, {})}


def change(key: dict[str, str], fields: Mapping[str, object], when: ConditionBase | None = None) -> Write:
    """Set fields of an item."""
    names = {f"#{name}": name for name in fields}
    values = {f":{name}": to_attribute(value) for name, value in fields.items()}
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in fields)
    return {"Update": {"Key": key, "UpdateExpression": expression} | _condition(when, names, values)}


def add(key: dict[str, str], amounts: Mapping[str, int], when: ConditionBase | None = None) -> Write:
    """Add to numbers of an item; what is not there is 0."""
    names = {f"#{name}": name for name in amounts}
    values = {f":{name}": amount for name, amount in amounts.items()}
    expression = "ADD " + ", ".join(f"#{name} :{name}" for name in amounts)
    return {"Update": {"Key": key, "UpdateExpression": expression} | _condition(when, names, values)}


def commit(table: Any, writes: Sequence[Write], *, sleep: Callable[[float], object] = time.sleep) -> list[int]:
    """Make all writes; answers the places of those whose conditions do not hold, and then none was made.

    Raises ConflictError when others were at the same items for all of its tries.
    """
    items = [{kind: {"TableName": table.name} | arguments for kind, arguments in write.items()} for write in writes]
    for number in range(TRIES):
        try:
            table.meta.client.transact_write_items(TransactItems=items)
        except ClientError as error:
            failed = _failed(error)
            if failed:
                return failed
            sleep(random.uniform(0, LONGEST_PAUSE / 2 ** (TRIES - 1 - number)))  # noqa: S311 - jitter, no secret
        else:
            return []
    raise ConflictError("others were changing the same records at the same time")


def _failed(error: ClientError) -> list[int]:
    """The places of failed conditions; none when all that was in the way is another transaction. Raises everything else."""
    reasons: Any = error.response.get("CancellationReasons", [])
    codes = [reason.get("Code") for reason in reasons]
    if error_code(error) == "TransactionCanceledException" and {*codes} <= {"None", None, _CONDITION, _CONFLICT}:
        return [place for place, code in enumerate(codes) if code == _CONDITION]
    raise error


def _condition(when: ConditionBase | None, names: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    """The condition of a write, with the names and values of its update: boto3 does not build those inside of transactions."""
    arguments: dict[str, Any] = {}
    if when is not None:
        built = ConditionExpressionBuilder().build_expression(when)
        arguments["ConditionExpression"] = built.condition_expression
        names, values = names | built.attribute_name_placeholders, values | built.attribute_value_placeholders
    if names:
        arguments["ExpressionAttributeNames"] = names
    if values:
        arguments["ExpressionAttributeValues"] = values
    return arguments
