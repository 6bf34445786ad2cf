"""The AWS emulator: its command and its environment. It is used as it is, unpatched."""

import os
from pathlib import Path

from slacktide_local.environment import REGION, Credentials
from slacktide_local.network import LOOPBACK


def ministack_command(venv: Path) -> list[str]:
    """Return the command of the emulator, on the interpreter of its own environment, which the functions run on too."""
    return [str(venv / "bin" / "python"), "-m", "ministack"]


def ministack_environment(
    *, port: int, temporary: Path, credentials: Credentials, sagemaker_url: str, wait_scale: float
) -> dict[str, str]:
    """Return the whole environment of the emulator, and so of its functions: nothing of this process leaks into it."""
    home = temporary / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,  # queue URLs name it; `localhost` may resolve to an address that nothing listens on
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AUTH": "true",  # a permission that a function's role lacks is refused, as on AWS
        "SFN_WAIT_SCALE": str(wait_scale),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(temporary / "state"),
        "S3_DATA_DIR": str(temporary / "s3"),
        "DOCKER_HOST": f"unix://{temporary}/no-docker.sock",  # or it would tidy up containers of the person's own
        "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker_url,
    }


def health_url(endpoint: str) -> str:
    """Return the address that answers 200 when the emulator is ready."""
    return f"{endpoint}/_ministack/ready"
