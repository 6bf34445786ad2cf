"""Values as items of a DynamoDB table, and back."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from boto3.dynamodb.conditions import ConditionBase
from botocore.exceptions import ClientError

from slacktide.bucket import error_code
from slacktide.errors import ConflictError

T = TypeVar("T")


def to_item(value: msgspec.Struct) -> dict[str, Any]:
    """A record as an item, without its keys."""
    return cast("dict[str, Any]", to_attribute(value))


def to_attribute(value: object) -> Any:
    """A value as boto3 takes it: DynamoDB has decimals, not floats."""
    plain = msgspec.to_builtins(value)
    return msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(plain))


def from_item(item: Mapping[str, Any], kind: type[T]) -> T:
    """The record in an item; attributes that are none of its fields are left out."""
    return msgspec.convert(_from_attribute(item), kind)


def _from_attribute(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _from_attribute(entry) for name, entry in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_from_attribute(entry) for entry in cast("list[Any]", value)]
    return value


def only_failed_condition(error: ClientError) -> None:
    """Raise everything that is not the failure of a write's condition."""
    if error_code(error) != "ConditionalCheckFailedException":
        raise error


def update(
    table: Any,
    key: dict[str, str],
    kind: type[T],
    condition: ConditionBase,
    fields: Mapping[str, object],
    *,
    append: Mapping[str, object] | None = None,
    remove: tuple[str, ...] = (),
) -> T:
    """Set fields of an item; answers the item as it is then. Raises ConflictError where the condition does not hold."""
    appended = dict(append or {})
    sets = [f"#{name} = :{name}" for name in fields]
    sets += [f"#{name} = list_append(#{name}, :{name})" for name in appended]
    expression = "SET " + ", ".join(sets) + ("" if not remove else " REMOVE " + ", ".join(remove))
    values = {f":{name}": to_attribute(value) for name, value in {**fields, **appended}.items()}
    try:
        answer = table.update_item(
            Key=key,
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in (*fields, *appended)},
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        only_failed_condition(error)
        raise ConflictError(f"{key['pk']} {key['sk']} has been changed by somebody else") from error
    return from_item(answer["Attributes"], kind)


def query(
    table: Any, index: str | None, condition: ConditionBase, *, forward: bool = True, page: int | None = None
) -> Iterator[dict[str, Any]]:
    """All items of a query, page by page; of the table itself as they are now.

    `page` is how many one call reads, for those who need a few: without it, it is 1 MB, and is paid for.
    """
    arguments: dict[str, Any] = {"KeyConditionExpression": condition, "ScanIndexForward": forward}
    arguments |= {"IndexName": index} if index else {"ConsistentRead": True}
    arguments |= {"Limit": page} if page else {}
    while True:
        answer = table.query(**arguments)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
