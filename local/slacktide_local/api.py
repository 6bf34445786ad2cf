"""The HTTP API on the local cloud: its address, the address of files, and a first key."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from slacktide.access import AccessKeys
from slacktide.batch import DROP_OWNER
from slacktide_local.network import LOOPBACK

KEY_NAME = "local"


def api_environment(session: Any, endpoint: str, outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the API's clients, with a new key; none, when the stack has no API."""
    if "ApiUrl" not in outputs:
        return {}
    table = outputs["TableName"]
    return {
        "SLACKTIDE_TABLE": table,
        "SLACKTIDE_API_URL": api_url(endpoint, outputs["ApiUrl"]),
        "SLACKTIDE_API_KEY": create_key(session, table, KEY_NAME, DROP_OWNER),
    }


def api_url(endpoint: str, deployed: str) -> str:
    """Return where the emulator serves the API whose address on AWS is `deployed`."""
    address = urlsplit(deployed)
    return f"{endpoint}/_aws/execute-api/{address.netloc.partition('.')[0]}{address.path}"


def file_endpoint(endpoint: str) -> str:
    """Return S3's address for presigned URLs: another name of the same port, which clients take for another host, as on AWS."""
    return endpoint.replace(LOOPBACK, "localhost")


def create_key(session: Any, table: str, name: str, owner: str) -> str:
    """Make an API key and return it. The one of the person at this machine sees what is dropped too."""
    keys = AccessKeys(session.resource("dynamodb").Table(table))
    _, key = keys.create(name, owner, int(time.time()))
    return key
