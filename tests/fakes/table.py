"""A DynamoDB table as a dict: boto3's conditions are evaluated, the two forms of update that Slacktide uses are carried out."""
# ruff: noqa: N803 - the names of arguments are boto3's

import re
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from fakes.conditions import holds_text
from fakes.wire import Wire, external, refuse

Item = dict[str, Any]
_APPEND = re.compile(r"list_append\((#?\w+), (:\w+)\)")
MISSING = object()
MOST_WRITES = 100  # of one transaction


@dataclass
class FakeTable:
    """Items by key `pk, sk`; what the real one refuses fails here too."""

    wire: Wire
    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    page: int = 1_000
    name: str = "table"

    @external
    def put_item(self, *, Item: Item, ConditionExpression: Any = None) -> None:
        key = Item["pk"], Item["sk"]
        self._require(ConditionExpression, self.items.get(key, {}))
        self.items[key] = _stored(Item)

    @external
    def get_item(self, *, Key: Item, ConsistentRead: bool = False) -> dict[str, Any]:
        assert ConsistentRead, "a stale read decides wrongly"
        item = self.items.get((Key["pk"], Key["sk"]))
        return {"Item": item} if item is not None else {}

    @external
    def delete_item(self, *, Key: Item, ConditionExpression: Any = None) -> None:
        key = Key["pk"], Key["sk"]
        self._require(ConditionExpression, self.items.get(key, {}))
        self.items.pop(key, None)

    @external
    def transact_write_items(self, *, TransactItems: list[dict[str, Item]]) -> None:
        """All of them or none; boto3 takes conditions as texts here."""
        writes = [next(iter(entry.items())) for entry in TransactItems]
        keys = [_key_of(write) for _, write in writes]
        assert len(writes) <= MOST_WRITES, "DynamoDB refuses so many"
        assert len({*keys}) == len(keys), "DynamoDB refuses two writes of one item"
        assert all(write["TableName"] == self.name for _, write in writes)
        reasons = [_reason(write, self.items.get(key, {})) for key, (_, write) in zip(keys, writes, strict=True)]
        if any(reason != "None" for reason in reasons):
            refuse("TransactionCanceledException", "TransactWriteItems", CancellationReasons=[{"Code": code} for code in reasons])
        for key, (kind, write) in zip(keys, writes, strict=True):
            match kind:
                case "Put":
                    self.items[key] = _stored(write["Item"])
                case "Delete":
                    self.items.pop(key, None)
                case "Update":
                    self.items[key] = _stored(write["Key"] | _updated(self.items.get(key, {}), write))

    @property
    def meta(self) -> Any:
        """Where boto3's tables have their client."""
        return SimpleNamespace(client=self)

    @external
    def update_item(
        self,
        *,
        Key: Item,
        UpdateExpression: str,
        ExpressionAttributeValues: Item,
        ExpressionAttributeNames: dict[str, str] | None = None,
        ConditionExpression: Any = None,
        ReturnValues: str = "NONE",
    ) -> dict[str, Any]:
        key = Key["pk"], Key["sk"]
        item = dict(self.items.get(key, {}))
        self._require(ConditionExpression, item)
        arguments = {"UpdateExpression": UpdateExpression, "ExpressionAttributeValues": ExpressionAttributeValues}
        arguments["ExpressionAttributeNames"] = ExpressionAttributeNames or {}
        self.items[key] = _stored(dict(Key) | _updated(item, arguments))
        return {"Attributes": self.items[key]} if ReturnValues == "ALL_NEW" else {}

    @external
    def query(
        self,
        *,
        KeyConditionExpression: Any,
        ScanIndexForward: bool = True,
        IndexName: str | None = None,
        ConsistentRead: bool = False,
        ExclusiveStartKey: Item | None = None,
        Limit: int | None = None,
    ) -> dict[str, Any]:
        assert ConsistentRead == (IndexName is None), "only the table itself can be read consistently"
        sort_key = f"{IndexName}sk" if IndexName else "sk"
        found = [item for item in self.items.values() if sort_key in item and _holds(KeyConditionExpression, item)]
        found.sort(key=lambda item: item[sort_key], reverse=not ScanIndexForward)
        start = int(ExclusiveStartKey["start"]) if ExclusiveStartKey else 0
        end = start + min(self.page, Limit or self.page)
        answer: dict[str, Any] = {"Items": found[start:end]}
        if end < len(found):
            answer["LastEvaluatedKey"] = {"start": end}
        return answer

    def _require(self, condition: Any, item: Item) -> None:
        if condition is not None and not _holds(condition, item):
            refuse("ConditionalCheckFailedException", "Write")


def _key_of(write: Item) -> tuple[str, str]:
    key = write.get("Key") or write["Item"]
    return key["pk"], key["sk"]


def _reason(write: Item, item: Item) -> str:
    """Why a write of a transaction cannot be made, as DynamoDB says it."""
    text = write.get("ConditionExpression")
    names, values = write.get("ExpressionAttributeNames", {}), write.get("ExpressionAttributeValues", {})
    return "None" if text is None or holds_text(text, item, names, values) else "ConditionalCheckFailed"


def _updated(item: Item, write: Item) -> Item:
    """An item after an update."""
    item = dict(item)
    names, values, expression = write["ExpressionAttributeNames"], write["ExpressionAttributeValues"], write["UpdateExpression"]
    if expression.startswith("ADD "):
        for part in expression.removeprefix("ADD ").split(", "):
            name, value = part.split(" ")
            item[names[name]] = item.get(names[name], 0) + values[value]
        return item
    sets, _, removes = expression.removeprefix("SET ").partition(" REMOVE ")
    for part in re.split(r", (?![^(]*\))", sets):
        name, _, value = part.partition(" = ")
        item[names.get(name, name)] = _value(value, item, names, values)
    for name in filter(None, removes.split(", ")):
        item.pop(names.get(name, name), None)
    return item


def _stored(value: Any) -> Any:
    """A copy as DynamoDB keeps it: numbers are decimals, and boto3 refuses floats."""
    if isinstance(value, dict):
        return {name: _stored(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_stored(entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    assert value is None or isinstance(value, (str, bool, Decimal)), f"boto3 refuses a {type(value).__name__}"
    return value


def _value(text: str, item: Item, names: dict[str, str], values: Item) -> Any:
    match = _APPEND.fullmatch(text)
    return [*item[names.get(match[1], match[1])], *values[match[2]]] if match else values[text]


def _holds(condition: Any, item: Item) -> bool:
    """Whether a condition of boto3.dynamodb.conditions holds for an item; anything but a literal is not known here."""
    expression = condition.get_expression()
    operator, (first, *rest) = expression["operator"], expression["values"]
    if operator in {"AND", "OR", "NOT"}:
        truths = [_holds(part, item) for part in (first, *rest)]
        return {"AND": all(truths), "OR": any(truths), "NOT": not truths[0]}[operator]
    value = item.get(first.name, MISSING)
    if operator == "attribute_exists":
        return value is not MISSING
    if operator == "attribute_not_exists":
        return value is MISSING
    if value is MISSING:
        return False
    return _compare(operator, value, rest[0])


def _compare(operator: str, value: Any, other: Any) -> bool:
    match operator:
        case "=":
            return value == other
        case "<":
            return value < other
        case "<=":
            return value <= other
        case "IN":
            return value in other
        case "begins_with":
            return value.startswith(other)
        case _:
            raise AssertionError(f"the fake table does not know {operator}")
