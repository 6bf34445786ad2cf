"""A hosted Batch API for the demo: the fake Together as a process, whose lines a local engine answers; some are left undone."""

import os
import secrets
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from slacktide_local.environment import write_private
from slacktide_local.hosted import Hosted
from slacktide_local.network import LOOPBACK, find_free_ports, wait_until_healthy
from slacktide_local.processes import Process, end_process, start_process

# What the demo's upstream does to each of its batches: some lines fail, and it expires before all are done.
UNDONE: Sequence[Mapping[str, Any]] = (
    {"kind": "end", "status": "EXPIRED", "at": 0.6, "times": None},
    {"kind": "lines", "what": "error", "count": 2, "status": 503, "message": "The service is overloaded.", "times": None},
)


@dataclass(frozen=True)
class FakeHosted:
    """A fake Together that is coming up."""

    hosted: Hosted
    url: str
    processes: Mapping[str, Process]  # by the address that answers 200 once the process is ready

    def wait(self) -> None:
        """Wait until it answers. Raises StartFailedError with the end of a log when it does not."""
        for url, process in self.processes.items():
            wait_until_healthy(url, process)


@contextmanager
def start_fake_hosted(
    directory: Path,
    *,
    engine_module: str | None,
    faults: Sequence[Mapping[str, Any]] = UNDONE,
    settings: Mapping[str, Any] | None = None,
) -> Generator[FakeHosted]:
    """Start it on free ports, with its logs in the directory; it ends with the block, or with this process.

    Without an engine its answers are canned, as fast as can be. `settings` are those of the fake.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    engine_port, port = find_free_ports(2)
    engine, url = f"http://{LOOPBACK}:{engine_port}", f"http://{LOOPBACK}:{port}"
    key, script = secrets.token_hex(16), directory / "script.json"
    write_private(script, msgspec.json.encode({"settings": {**(settings or {}), "keys": [key]}, "faults": faults}))
    slacktide = str(Path(sys.executable).with_name("slacktide"))
    serve = [slacktide, "fake-together", "--port", str(port), "--script", str(script)]
    commands = {f"{url}/_control/settings": ("together", serve)}
    if engine_module:
        serve += ["--engine", engine]
        commands[f"{engine}/health"] = ("engine", [sys.executable, "-m", engine_module, "--port", str(engine_port)])
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(directory)}
    with ExitStack() as running:
        processes: dict[str, Process] = {}
        for health, (name, command) in commands.items():
            log = directory / f"{name}.log"
            process = start_process(name, command, environment=environment, log=log, directory=directory, is_tethered=True)
            running.callback(end_process, process)
            processes[health] = process
        yield FakeHosted(Hosted(f"{url}/v1", key), url, processes)
