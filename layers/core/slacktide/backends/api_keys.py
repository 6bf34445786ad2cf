"""The API key of a hosted backend, out of Secrets Manager: read once per container, and again when the backend refuses it."""

from collections.abc import Callable
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from slacktide.bucket import error_code
from slacktide.errors import ApiKeyError, NotSentError

FIELD = "api_key"  # of a secret that is a JSON object
# Errors of GetSecretValue that another try will not cure (Secrets Manager API reference, GetSecretValue).
_LASTING = {
    "ResourceNotFoundException",
    "AccessDeniedException",
    "InvalidRequestException",
    "InvalidParameterException",
    "DecryptionFailure",
}


class ApiKey:
    """A key that is kept in a secret. Nothing that prints this object shows it."""

    __slots__ = ("_client", "_key", "arn")

    def __init__(self, client: Callable[[], Any], arn: str) -> None:
        """`client` makes boto3's client of Secrets Manager; an empty `arn` is no key."""
        self._client = client
        self._key: str | None = None
        self.arn = arn

    def read(self) -> str:
        """The key. Raises ApiKeyError when the secret cannot be read or holds none, NotSentError when that may pass."""
        if self._key is None:
            self._key = _key_in(self._secret())
        return self._key

    def forget(self) -> None:
        """Read the secret again next time: the key may have been rotated."""
        self._key = None

    def _secret(self) -> str:
        if not self.arn:
            raise ApiKeyError("This stack has no API key for the backend.")
        try:
            return self._client().get_secret_value(SecretId=self.arn).get("SecretString") or ""
        except ClientError as error:
            if (code := error_code(error)) in _LASTING:
                raise ApiKeyError(f"Secrets Manager does not give out the secret of the API key ({code}).") from None
            raise NotSentError(f"Secrets Manager does not give out the secret of the API key now ({code}).") from None
        except BotoCoreError:
            raise NotSentError("Secrets Manager cannot be reached.") from None


def _key_in(secret: str) -> str:
    """The key in a secret: the text itself, or the field `api_key` of a JSON object."""
    key = secret.strip()
    if key.startswith("{"):
        try:
            value = msgspec.json.decode(key)
        except (msgspec.DecodeError, RecursionError):
            value = {}
        key = value.get(FIELD) if isinstance(value, dict) else None
    if not isinstance(key, str) or not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ApiKeyError(f'The secret of the API key must be the key as plain text, or a JSON object with the field "{FIELD}".')
    return key
