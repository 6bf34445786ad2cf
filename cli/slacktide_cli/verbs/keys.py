"""`slacktide keys create|list|revoke`: the API keys of a stack, for its operator, straight on its table."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import boto3
import msgspec
import typer
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Meta

from slacktide.access import KEY_NAME, AccessKey, AccessKeys
from slacktide.errors import ConflictError, NotFoundError
from slacktide_cli.arguments import JsonOption, TableOption, open_consoles, print_json, say
from slacktide_cli.errors import KeyNameError, ServiceError, UsageError
from slacktide_cli.listings import age, align

keys = typer.Typer(
    no_args_is_help=True, help="Make, list and revoke API keys, with AWS credentials that may use the stack's table."
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="1 to 63 letters, digits, and . _ - behind the first.")]


class KeyDocument(msgspec.Struct, frozen=True):
    """What is known of an API key. Times are Unix seconds."""

    key_id: Annotated[str, Meta(description="the part of the key behind `slk_`, which is no secret; logs have it")]
    name: str
    owner: str
    created_at: int
    revoked_at: Annotated[int | None, Meta(description="null as long as the key works")]
    requests_per_second: Annotated[int | None, Meta(description="null: the stack's `ApiRequestsPerSecond`")]


class CreatedKey(msgspec.Struct, frozen=True):
    """What `create --json` prints."""

    key: Annotated[str, Meta(description="the API key itself, which is kept nowhere")]
    record: KeyDocument
    v: int = 1


class KeyList(msgspec.Struct, frozen=True):
    """What `list --json` prints."""

    keys: Annotated[list[KeyDocument], Meta(description="the oldest first, revoked ones too")]
    v: int = 1


class RevokedKey(msgspec.Struct, frozen=True):
    """What `revoke --json` prints."""

    record: KeyDocument
    v: int = 1


@keys.command("create")
def create(
    name: NameArgument,
    *,
    owner: Annotated[
        str | None, typer.Option(help="Whose batches and files it sees; `drop` are those of the drop zone.", show_default="NAME")
    ] = None,
    requests_per_second: Annotated[
        int | None, typer.Option(min=0, help="Its own rate; 0 is no limit.", show_default="the stack's ApiRequestsPerSecond")
    ] = None,
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print it, this once: KEY=$(slacktide keys create NAME). Keys of one owner see the same things.

    Exit code 0: made. 1: a key of this name is in use, or AWS refused. 2: usage.
    """
    check_name(name, "NAME")
    owner = check_name(name if owner is None else owner, "--owner")
    with service_errors(table):
        try:
            made, key = connect(table).create(name, owner, int(time.time()), requests_per_second=requests_per_second)
        except ConflictError:
            raise KeyNameError(
                f"A key named {name} is in use. Take another name, or end it: slacktide keys revoke {name}"
            ) from None
    if as_json:
        print_json(CreatedKey(key, describe(made)))
        return
    typer.echo(key)
    _, hints = open_consoles(as_json=False)
    say(hints, f"This is the key {name} of the owner {made.owner}. It is shown this once, and kept nowhere.")


@keys.command("list")
def list_keys(*, table: TableOption = None, as_json: JsonOption = False) -> None:
    """List the API keys, the oldest first, revoked ones too; the keys themselves are kept nowhere.

    Exit code 0: listed. 1: AWS refused. 2: usage.
    """
    with service_errors(table):
        found = [describe(key) for key in connect(table).all()]
    if as_json:
        print_json(KeyList(found))
        return
    head, now = ("NAME", "OWNER", "KEY ID", "AGE", "RATE", "STATE"), time.time()
    rows = [(key.name, key.owner, key.key_id, age(key.created_at, now), tell_rate(key), tell_state(key, now)) for key in found]
    console, _ = open_consoles(as_json=False)
    say(console, "\n".join(align([head, *rows])))


@keys.command("revoke")
def revoke(name: NameArgument, *, table: TableOption = None, as_json: JsonOption = False) -> None:
    """Revoke an API key: from the next call on it is unknown. Its batches and files stay with their owner.

    Exit code 0: revoked. 1: no key in use has this name, or AWS refused. 2: usage.
    """
    check_name(name, "NAME")
    with service_errors(table):
        try:
            revoked = connect(table).revoke(name, int(time.time()))
        except NotFoundError:
            raise KeyNameError(f"No key in use is named {name}. `slacktide keys list` shows all.") from None
    if as_json:
        print_json(RevokedKey(describe(revoked)))
        return
    console, _ = open_consoles(as_json=False)
    say(console, f"The key {name} ({revoked.key_id}) is revoked.")


def check_name(text: str, what: str) -> str:
    """Return the name. Raises UsageError for what cannot be that of a key or an owner."""
    if not KEY_NAME.fullmatch(text):
        raise UsageError(f"{what}: a name is 1 to 63 letters and digits of ASCII, and . _ - behind the first.")
    return text


def connect(table: str | None) -> AccessKeys:
    """The keys of a table. Raises UsageError without one."""
    return AccessKeys(open_table(table))


def open_table(table: str | None) -> Any:
    """The table of a stack. Raises UsageError without one."""
    if not table:
        raise UsageError("No table. Set SLACKTIDE_TABLE (or --table) to the output TableName of your stack.")
    make: Any = boto3.resource
    return make("dynamodb").Table(table)


@contextmanager
def service_errors(table: str | None) -> Generator[None]:
    """AWS's errors as ours."""
    try:
        yield
    except ClientError as error:
        raise ServiceError(f"AWS refuses the table {table}: {error}. Is SLACKTIDE_TABLE the output TableName?") from error
    except BotoCoreError as error:
        raise ServiceError(f"AWS cannot be used: {error}. Set the credentials and the region.") from error


def describe(key: AccessKey) -> KeyDocument:
    """A key without what is secret of it."""
    return KeyDocument(key.key_id, key.name, key.owner, key.created_at, key.revoked_at, key.requests_per_second)


def tell_rate(key: KeyDocument) -> str:
    """The rate of a key in words."""
    rate = key.requests_per_second
    return "default" if rate is None else f"{rate}/s" if rate else "no limit"


def tell_state(key: KeyDocument, now: float) -> str:
    """Whether a key works."""
    return "in use" if key.revoked_at is None else f"revoked {age(key.revoked_at, now)} ago"
