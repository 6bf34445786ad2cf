"""What a local cloud has started, on disk, so that another command can look after it and end exactly that."""

import fcntl
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from slacktide_local.environment import Credentials, write_private
from slacktide_local.errors import NotRunningError
from slacktide_local.processes import Process, end_process


class CloudState(msgspec.Struct, frozen=True):
    """A local cloud: its processes, its addresses, the stack's outputs, and the environment of its clients."""

    endpoint: str
    sagemaker_url: str
    credentials: Credentials
    engine: str
    hosted: str | None = None  # the base URL of the hosted backend; the key is nowhere in this record
    phase: Literal["starting", "ready"] = "starting"
    processes: tuple[Process, ...] = ()
    outputs: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}
    v: int = 1

    def __repr__(self) -> str:  # the environment holds the secret key
        return f"CloudState({self.endpoint}, {self.phase}, {[process.name for process in self.processes]})"


class StateDirectory:
    """The folder of one local cloud. Only the logs outlive it, so that one can see afterwards what it did."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.temporary = self.path / "tmp"
        self.environment = self.path / "local.env"
        self._file = self.path / "state.json"

    def read(self) -> CloudState | None:
        """Return the recorded local cloud, or None. Raises NotRunningError when the record cannot be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=CloudState)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise NotRunningError(
                f"{self._file} cannot be read ({error}). End the processes it names by hand, then remove it."
            ) from error

    def write(self, state: CloudState) -> None:
        """Record the local cloud in one step."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_private(self._file, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")

    def clear(self, state: CloudState | None) -> None:
        """End the processes of a local cloud, the newest first, and remove what it kept, also of a half-started one."""
        for process in reversed(state.processes if state else ()):
            end_process(process)
        self.environment.unlink(missing_ok=True)
        if self.temporary.exists():
            shutil.rmtree(self.temporary)
        self._file.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep a second start or stop of the same local cloud waiting. The kernel lifts the lock if its holder dies."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
