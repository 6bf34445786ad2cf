"""The local cloud: AWS emulator, SageMaker stand-in with its engine, and `template.yaml`, unmodified, on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from slacktide_local.errors import NotRunningError
from slacktide_local.hosted import Hosted
from slacktide_local.network import is_healthy
from slacktide_local.session import EmulatorSession
from slacktide_local.start import ROOT, Engine, Start, StartOptions, health_urls
from slacktide_local.state import CloudState, StateDirectory


def _say_nothing(_message: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class LocalCloud:
    """A running local cloud. As a context manager it is stopped at the end of the block."""

    directory: StateDirectory
    state: CloudState

    @classmethod
    def start(
        cls,
        state_dir: Path,
        *,
        engine: Engine = "llama",
        hosted: Hosted | None = None,
        parameters: Mapping[str, str] | None = None,
        wait_scale: float = 0.05,
        template: Path = ROOT / "template.yaml",
        is_detached: bool = False,
        report: Callable[[str], None] = _say_nothing,
    ) -> Self:
        """Start a local cloud and deploy the template onto it; what an earlier one left in the folder is cleared first.

        `hosted` connects the stack to a hosted Batch API. `parameters` are the template's, over the local ones. `wait_scale`
        shortens the waits of the state machines.
        A detached cloud outlives this process; any other ends with it, however it ends.
        Raises LocalCloudError when it does not come up; then nothing is left running.
        """
        directory = StateDirectory(state_dir)
        options = StartOptions(template, engine, hosted, parameters or {}, wait_scale, is_detached, report)
        with directory.locked():
            directory.clear(directory.read())
            try:
                return cls(directory, Start(directory, options).run())
            except BaseException:  # also when a person interrupts it
                directory.clear(directory.read())
                raise

    @classmethod
    def attach(cls, state_dir: Path) -> Self:
        """Return the local cloud of a state directory. Raises NotRunningError unless it is up and healthy."""
        directory = StateDirectory(state_dir)
        state = directory.read()
        if state is None:
            raise NotRunningError(f"No local cloud runs in {directory.path}. Start one: make up")
        cloud = cls(directory, state)
        if ailments := cloud.find_ailments():
            raise NotRunningError(f"The local cloud in {directory.path} is ill: {'; '.join(ailments)}.")
        return cloud

    def find_ailments(self) -> list[str]:
        """Return what is wrong with the local cloud, in words; nothing when all its parts answer."""
        ailments = [] if self.state.phase == "ready" else ["its start was not finished"]
        ailments += [f"{process.name} has ended" for process in self.state.processes if not process.is_alive()]
        if ailments:
            return ailments
        urls = health_urls(self.state)
        return [f"{name} does not answer at {url}" for name, url in urls.items() if not is_healthy(url)]

    def stop(self) -> None:
        """End every process of the local cloud and remove its temporary files; the logs stay."""
        with self.directory.locked():
            self.directory.clear(self.state)

    @property
    def endpoint(self) -> str:
        """The address of the emulator, for every service but SageMaker."""
        return self.state.endpoint

    @property
    def sagemaker_url(self) -> str:
        """The address of the SageMaker stand-in."""
        return self.state.sagemaker_url

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of `local.env`."""
        return self.state.environment

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of the stack."""
        return self.state.outputs

    @property
    def session(self) -> EmulatorSession:
        """boto3 as the emulator's root user."""
        return EmulatorSession(self.endpoint, self.state.credentials)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
