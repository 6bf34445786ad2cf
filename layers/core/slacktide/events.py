"""What starts a batch: messages of the input queue, a versioned union. And what sweep hears of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import unquote_plus

import msgspec

from slacktide import keys
from slacktide.errors import EventError
from slacktide.ids import BATCH_ID, batch_of_execution


@dataclass(frozen=True, slots=True)
class Dropped:
    """An object was written. S3's EventBridge events carry the key as it is; `version_id` is missing on some emulators."""

    bucket: str
    key: str
    etag: str
    version_id: str | None
    time: str

    @property
    def seconds(self) -> int:
        """The time of the event, Unix seconds."""
        return int(datetime.fromisoformat(self.time).timestamp())


@dataclass(frozen=True, slots=True)
class Created:
    """A batch was created by a call of the HTTP API; its record is there."""

    batch_id: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that is none of our business."""

    reason: str


class _Object(msgspec.Struct):
    key: str
    etag: str = ""
    version_id: str | None = msgspec.field(default=None, name="version-id")


class _Name(msgspec.Struct):
    name: str


class _Detail(msgspec.Struct):
    bucket: _Name
    object: _Object


class _Event(msgspec.Struct):
    source: str
    detail_type: str = msgspec.field(name="detail-type")
    time: str
    detail: _Detail


class _StatusChange(msgspec.Struct):
    source: Literal["aws.states"]
    detail: _Name


class _Create(msgspec.Struct):
    batch_id: Annotated[str, msgspec.Meta(pattern=f"^{BATCH_ID.pattern}$")]


class _CreateMessage(msgspec.Struct, forbid_unknown_fields=True):
    v: Literal[1]
    create: _Create


def create_message(batch_id: str) -> str:
    """The message that has a created batch validated."""
    return msgspec.json.encode(_CreateMessage(v=1, create=_Create(batch_id))).decode()


def read_event(body: str, bucket: str) -> Dropped | Created | Ignored:
    """The event in the body of a queue message. Raises EventError, which never quotes it, when it is not one that we know."""
    try:
        content = msgspec.json.decode(body)
        if isinstance(content, dict) and "create" in content:
            return Created(msgspec.convert(content, _CreateMessage).create.batch_id)
        event = msgspec.convert(content, _Event)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        raise EventError("the message is neither an EventBridge event of an S3 object nor a create message") from None
    if event.source != "aws.s3" or event.detail_type != "Object Created":
        return Ignored("not an Object Created event of S3")
    dropped = event.detail.object
    if event.detail.bucket.name != bucket:
        return Ignored("another bucket")
    if not dropped.key.startswith(keys.INPUT_PREFIX):
        return Ignored("not below input/")
    if not dropped.key.endswith(keys.DROP_SUFFIXES + keys.MARKER_SUFFIXES):
        return Ignored("not an input file")
    return Dropped(event.detail.bucket.name, dropped.key, dropped.etag, dropped.version_id, event.time)


def read_execution(event: object) -> str | None:
    """The batch whose execution, or that of one of its jobs, an event of Step Functions tells of; None for any other event."""
    try:
        told = msgspec.convert(event, _StatusChange)
    except msgspec.ValidationError:
        return None
    return batch_of_execution(told.detail.name)


def unquoted(key: str) -> str | None:
    """The key as some senders mean it, with `+` and `%xx` undone; None when that changes nothing."""
    plain = unquote_plus(key)
    return plain if plain != key else None
