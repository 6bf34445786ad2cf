"""One start of a local cloud, step by step."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec

from slacktide_local.api import api_environment, file_endpoint
from slacktide_local.build import build_template, host_parameters
from slacktide_local.deployment import deploy_template
from slacktide_local.environment import Credentials, client_environment, write_environment
from slacktide_local.events import collect_events
from slacktide_local.hosted import Hosted, store_key
from slacktide_local.ministack import health_url, ministack_command, ministack_environment
from slacktide_local.network import LOOPBACK, find_free_ports, wait_until_healthy
from slacktide_local.processes import start_process
from slacktide_local.session import EmulatorSession
from slacktide_local.state import CloudState, StateDirectory

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".slacktide"
STACK = "slacktide"
MINISTACK, SAGEMAKER = "ministack", "sagemaker"  # the processes, and their logs

Engine = Literal["llama", "scripted", "instant"]
ENGINE_MODULES: dict[Engine, str] = {"llama": "slacktide_local.engine", "scripted": "slacktide_local.scripted_engine"}
_INSTANT = "slacktide_local.instant_container"  # stands for container and engine at once
_SLOTS = 4  # requests that the local engine answers at once


# The template's parameters for a local run, beside those of the host.
LOCAL_PARAMETERS: Mapping[str, str] = {
    # The stand-in runs the container's code itself; the image's name only says that the backend is there.
    "TransformImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/slacktide-transform:local",
    "TransformModels": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "TransformMaxLines": "8",  # several objects even of a small file, so that one can see it move
    "TransformInvocationTimeoutSeconds": "600",
    "RequireTls": "false",
    "ApiRequestsPerSecond": "0",  # one person's own machine
    "ShortestWindowSeconds": "10",
    "AssemblyReserveSeconds": "5",
    "FirstWaitSeconds": "10",  # seconds of the state machines, which `wait_scale` shortens further
    "LongestWaitSeconds": "20",
    "ProgressIntervalSeconds": "0",
    "SweepSchedule": "rate(1 minute)",
}


@dataclass(frozen=True)
class StartOptions:
    """How a local cloud is to be started; `LocalCloud.start` says what each of them means."""

    template: Path
    engine: Engine
    hosted: Hosted | None
    parameters: Mapping[str, str]
    wait_scale: float
    is_detached: bool
    report: Callable[[str], None]


class Start:
    """Each process is recorded as soon as it runs, so that a start that was cut short can be cleared too."""

    def __init__(self, directory: StateDirectory, options: StartOptions) -> None:
        self._directory = directory
        self._options = options
        self._gateway_port, self._sagemaker_port = find_free_ports(2)
        self._state = CloudState(
            endpoint=f"http://{LOOPBACK}:{self._gateway_port}",
            sagemaker_url=f"http://{LOOPBACK}:{self._sagemaker_port}",
            credentials=Credentials.create(),
            engine=options.engine,
            hosted=options.hosted.base_url if options.hosted else None,
        )

    def run(self) -> CloudState:
        """Start the processes, build while they come up, deploy, and record the result."""
        if self._directory.logs.exists():  # of the local cloud before this one
            shutil.rmtree(self._directory.logs)
        self._directory.temporary.mkdir(parents=True, exist_ok=True)
        self._record(self._state)
        self._options.report("Starting the AWS emulator and the SageMaker stand-in")
        self._start_ministack()
        self._start_sagemaker()
        self._options.report("Building the functions and the layer (sam build; skipped while nothing has changed)")
        built = build_template(
            self._options.template, builds=STATE / "builds", sam=STATE / "venvs" / "sam", parameters=host_parameters()
        )
        self._await_processes()
        self._options.report("Deploying template.yaml")
        self._deploy(built)
        return self._state

    def _start_ministack(self) -> None:
        environment = ministack_environment(
            port=self._gateway_port,
            temporary=self._directory.temporary,
            credentials=self._state.credentials,
            sagemaker_url=self._state.sagemaker_url,
            wait_scale=self._options.wait_scale,
        )
        self._start_process(MINISTACK, ministack_command(STATE / "venvs" / "cloud"), environment)

    def _start_sagemaker(self) -> None:
        options = {
            "--port": str(self._sagemaker_port),
            "--s3-endpoint": self._state.endpoint,
            "--work-dir": str(self._directory.logs / "containers"),
        }
        command = [sys.executable, "-m", "slacktide_local.sagemaker"]
        command += [word for option in options.items() for word in option]
        command += container_options(self._options.engine)
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(self._directory.temporary / "home"),
            "TMPDIR": str(self._directory.temporary),
            **client_environment(self._state.endpoint, self._state.credentials),
        }
        self._start_process(SAGEMAKER, command, environment)

    def _start_process(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        process = start_process(
            name,
            command,
            environment=environment,
            log=self._directory.logs / f"{name}.log",
            directory=self._directory.temporary,
            is_tethered=not self._options.is_detached,
        )
        self._record(msgspec.structs.replace(self._state, processes=(*self._state.processes, process)))

    def _await_processes(self) -> None:
        processes = {process.name: process for process in self._state.processes}
        for name, url in health_urls(self._state).items():
            wait_until_healthy(url, processes[name])

    def _deploy(self, built: Path) -> None:
        session = EmulatorSession(self._state.endpoint, self._state.credentials)
        connection = store_key(self._options.hosted, session) if self._options.hosted else {}
        outputs = deploy_template(
            built,
            stack=STACK,
            parameters={**connection, **self._options.parameters},
            defaults={**host_parameters(), **LOCAL_PARAMETERS, "FileEndpointUrl": file_endpoint(self._state.endpoint)},
            session=session,
        )
        environment = {
            **client_environment(self._state.endpoint, self._state.credentials),
            "SLACKTIDE_STACK": STACK,
            "SLACKTIDE_BUCKET": outputs["BucketName"],
            **api_environment(session, self._state.endpoint, outputs),
            "SLACKTIDE_DLQ_URL": outputs["DeadLetterQueueUrl"],
            "SLACKTIDE_EVENTS_QUEUE_URL": collect_events(session, stack=STACK, bus=outputs["EventBusName"]),
        }
        write_environment(self._directory.environment, environment)
        self._record(msgspec.structs.replace(self._state, phase="ready", outputs=outputs, environment=environment))

    def _record(self, state: CloudState) -> None:
        self._state = state
        self._directory.write(state)


def container_options(engine: Engine) -> list[str]:
    """Return the stand-in's options about the container, with an engine in it."""
    python = shlex.quote(sys.executable)
    if engine not in ENGINE_MODULES:
        return ["--container-command", f"{python} -m {_INSTANT}"]
    variables = {"ENGINE_COMMAND": f"{python} -m {ENGINE_MODULES[engine]} --port {{port}}", "MAX_IN_FLIGHT": str(_SLOTS)}
    named = [word for name, value in variables.items() for word in ("--container-env", f"{name}={value}")]
    return ["--container-command", f"{python} -m slacktide_transform serve", *named]


def health_urls(state: CloudState) -> dict[str, str]:
    """Return the address of each process that answers 200 when it is ready."""
    return {MINISTACK: health_url(state.endpoint), SAGEMAKER: f"{state.sagemaker_url}/_control/health"}


def check_engine(name: str) -> Engine:
    """Return the engine of that name. Raises ValueError, which names those that there are."""
    for engine in get_args(Engine):
        if name == engine:
            return engine
    raise ValueError(f"there is no engine {name}; there are {', '.join(get_args(Engine))}")
