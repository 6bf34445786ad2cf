"""What a client of the local cloud needs in its environment, and the file that a shell sources."""

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

import msgspec

REGION = "us-east-1"


class Credentials(msgspec.Struct, frozen=True):
    """The key of the emulator's root user: the one that its own environment names, new for every local cloud.

    Functions never see it: the emulator gives each of them a session of its role, whose policies it enforces. Keys that
    it does not know are refused; of this one it does not check the signature.
    """

    access_key: str
    secret_key: str

    @classmethod
    def create(cls) -> "Credentials":
        """Make a key that is shaped like one of AWS and opens nothing else."""
        return cls(access_key=f"AKIA{secrets.token_hex(8).upper()}", secret_key=secrets.token_hex(20))

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"


def client_environment(endpoint: str, credentials: Credentials) -> dict[str, str]:
    """Return the variables that boto3 and the AWS CLI need to talk to the local cloud."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """Write `export NAME=value` lines, fit for `source`, readable by their owner alone, in one step."""
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    write_private(path, text.encode())


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step by one that only its owner can read."""
    new = path.with_suffix(path.suffix + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
