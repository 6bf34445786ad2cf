"""The hosted backend of a local cloud: where its Batch API is, and the key, kept by the emulator's Secrets Manager alone."""

import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from slacktide_local.errors import NotConnectedError

BASE_URL, API_KEY = "TOGETHER_BASE_URL", "TOGETHER_API_KEY"  # the variables that Together's own client reads, too
SECRET = "slacktide/together"  # noqa: S105 - a name
_URL = re.compile(r"https?://[^\s/@]+(/\S*)?")  # nobody's password in it: it stands in the stack's parameters


@dataclass(frozen=True)
class Hosted:
    """A server that speaks Together's Batch API; its base URL ends in `/v1`."""

    base_url: str
    key: str = field(repr=False)


def take_hosted(environment: MutableMapping[str, str]) -> Hosted | None:
    """Return the server that the environment names, and take the key out of it: nothing that is started may inherit it.

    Without a base URL there is none: a key that happens to be in somebody's shell must not make a local cloud spend money.
    Raises NotConnectedError when the two cannot be used.
    """
    base_url, key = environment.get(BASE_URL, "").strip(), environment.pop(API_KEY, "").strip()
    environment.pop("MAKEFLAGS", None)  # make repeats there what it was given
    if not base_url:
        return None
    if not _URL.fullmatch(base_url):
        raise NotConnectedError(f"{BASE_URL} is not a URL of http or https. Give one such as https://api.together.ai/v1")
    if not key:
        raise NotConnectedError(f"{BASE_URL} is given without {API_KEY}. Give both, or neither for own GPUs alone.")
    return Hosted(base_url, key)


def store_key(hosted: Hosted, session: Any) -> dict[str, str]:
    """Put the key into the emulator's Secrets Manager, and return the template's parameters that lead to server and key."""
    secret = session.client("secretsmanager").create_secret(Name=SECRET, SecretString=hosted.key)
    return {"TogetherBaseUrl": hosted.base_url, "TogetherApiKeyArn": secret["ARN"]}
