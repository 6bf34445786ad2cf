"""API keys: made by the operator, shown once, kept as hashes, found by their ids."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from slacktide.errors import ConflictError, NotFoundError
from slacktide.items import from_item, only_failed_condition, query, to_item, update

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_KEY = re.compile(r"slk_([a-z2-7]{16})_([A-Za-z0-9_-]{43})")
_ALL = "key"  # gsi1: all keys
RATE_WINDOW = 10  # seconds in which calls are counted, so that a short burst is let through
_FORGET = 60  # seconds after which a count may be forgotten


class AccessKey(msgspec.Struct, frozen=True):
    """An API key as it is kept. `digest` is the SHA-256 of its secret part, which has 256 random bits."""

    key_id: str
    name: str
    owner: str  # what it makes belongs to them, and it sees what belongs to them
    digest: str
    created_at: int
    revoked_at: int | None = None
    requests_per_second: int | None = None  # None: the setting


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """The API keys in the table: (`key#` + key id, "key"); their counts of calls: (the same, `calls#` + time)."""

    table: Any

    def create(self, name: str, owner: str, now: int, *, requests_per_second: int | None = None) -> tuple[AccessKey, str]:
        """Make a key; answers its record, and the key itself, which is kept nowhere. Raises ConflictError for a name in use."""
        if any(key.name == name and key.revoked_at is None for key in self.all()):
            raise ConflictError(f"there is a key named {name} already")
        key_id = base64.b32encode(secrets.token_bytes(10)).decode().lower()
        secret = secrets.token_urlsafe(32)
        key = AccessKey(key_id, name, owner, _digest(secret), now, requests_per_second=requests_per_second)
        item = _item_key(key_id) | to_item(key) | {"gsi1pk": _ALL, "gsi1sk": f"{now:012d}#{key_id}"}
        self.table.put_item(Item=item, ConditionExpression=Attr("pk").not_exists())
        return key, f"slk_{key_id}_{secret}"

    def find(self, text: str) -> AccessKey | None:
        """The record of a key that somebody shows; None when there is none, or it was revoked."""
        match = _KEY.fullmatch(text)
        item = self.table.get_item(Key=_item_key(match[1]), ConsistentRead=True).get("Item") if match else None
        if match is None or item is None:
            return None
        key = from_item(item, AccessKey)
        # Compared in constant time, though what is compared is a hash already.
        is_right = hmac.compare_digest(key.digest, _digest(match[2]))
        return key if is_right and key.revoked_at is None else None

    def all(self) -> Iterator[AccessKey]:
        """All keys, the oldest first, revoked ones too."""
        for item in query(self.table, "gsi1", Key("gsi1pk").eq(_ALL)):
            yield from_item(item, AccessKey)

    def revoke(self, name: str, now: int) -> AccessKey:
        """End the key of a name; from the next call on it is unknown. Raises NotFoundError."""
        key = next((key for key in self.all() if key.name == name and key.revoked_at is None), None)
        if key is None:
            raise NotFoundError(f"there is no key named {name} that is not revoked already")
        return update(self.table, _item_key(key.key_id), AccessKey, Attr("pk").exists(), {"revoked_at": now})

    def count_call(self, key: AccessKey, now: int, default: int) -> int | None:
        """Count a call; answers None, or after how many seconds to come again where the key has used up its rate.

        `default` is the rate of a key that has none of its own, in calls a second; 0 is no limit.
        """
        rate = default if key.requests_per_second is None else key.requests_per_second
        if not rate:
            return None
        window = now // RATE_WINDOW
        ends = (window + 1) * RATE_WINDOW
        try:
            self.table.update_item(
                Key={"pk": f"key#{key.key_id}", "sk": f"calls#{window:012d}"},
                UpdateExpression="SET expires_at = :until ADD calls :one",
                ConditionExpression=Attr("calls").not_exists() | Attr("calls").lt(rate * RATE_WINDOW),
                ExpressionAttributeValues={":one": 1, ":until": ends + _FORGET},
            )
        except ClientError as error:
            only_failed_condition(error)
            return max(1, ends - now)
        return None


def _item_key(key_id: str) -> dict[str, str]:
    return {"pk": f"key#{key_id}", "sk": "key"}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
