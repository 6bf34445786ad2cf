"""What the stand-in is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Every setting of the stand-in; times are in seconds.

    `container_command` is the whole command line that stands for `docker run IMAGE serve`. `container_environment`
    stands for the image's own ENV: the model's Environment wins over it, and the job's over both. `health_timeout` is
    AWS's 30 minutes. `retry_delay` is the first wait before a payload is sent again, doubled each time (AWS documents
    no figure). `stop_grace` is the time between SIGTERM and SIGKILL of a container.
    """

    container_command: tuple[str, ...]
    work_dir: Path
    s3_endpoint: str | None = None
    container_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    region: str = "us-east-1"
    account_id: str = "000000000000"
    health_timeout: float = 1800.0
    ping_timeout: float = 2.0
    retry_delay: float = 0.5
    stop_grace: float = 5.0
