"""The table as template.yaml has it, for emulators that make it without the template."""

from typing import Any

INDEXES = ("gsi1", "gsi2", "gsi3")


def create_table(client: Any) -> None:
    """Make the table, named `table`; `client` is boto3's of DynamoDB."""
    names = ["pk", "sk", *(f"{index}{key}" for index in INDEXES for key in ("pk", "sk"))]
    client.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=_keys("pk", "sk"),
        GlobalSecondaryIndexes=[
            {"IndexName": index, "KeySchema": _keys(f"{index}pk", f"{index}sk"), "Projection": {"ProjectionType": "ALL"}}
            for index in INDEXES
        ],
    )


def _keys(pk: str, sk: str) -> list[dict[str, str]]:
    return [{"AttributeName": pk, "KeyType": "HASH"}, {"AttributeName": sk, "KeyType": "RANGE"}]
