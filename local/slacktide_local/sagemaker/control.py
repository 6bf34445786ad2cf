"""The tests' side door, below `/_control/`: scripted conditions, the ledger, and the processes behind running jobs.

GET    /_control/health       {"status": "ready"}
POST   /_control/faults       one condition or a list (module `faults`); GET shows the pending ones, DELETE drops them
POST   /_control/release      ends a stall; {"job": NAME} for one job, {} for all
GET    /_control/ledger       {"calls": […], "created": {NAME: COUNT}, "container_starts": […], "payloads": […]}
GET    /_control/containers   [{"job", "instance", "pid", "children": [PID, …]}] of the containers that run now
POST   /_control/kill         {"target": "engine" | "container", "job": NAME?, "signal": "KILL"?} → {"killed": [PID, …]}
"""

import os
import signal
from contextlib import suppress
from typing import Any, Literal

import msgspec
from aiohttp import web

from slacktide_local.sagemaker.faults import read_faults
from slacktide_local.sagemaker.operations import StandIn
from slacktide_local.sagemaker.processes import find_descendants


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stalled job goes on; all of them without a name."""

    job: str | None = None


class Kill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which processes get the signal: the containers, or the engines that they started."""

    target: Literal["engine", "container"]
    job: str | None = None
    signal: Literal["KILL", "TERM", "STOP", "CONT"] = "KILL"


def add_control_routes(app: web.Application, stand_in: StandIn) -> None:
    """Put the control endpoints on the application."""
    control = Control(stand_in)
    app.router.add_get("/_control/health", control.show_health)
    app.router.add_post("/_control/faults", control.add_faults)
    app.router.add_get("/_control/faults", control.show_faults)
    app.router.add_delete("/_control/faults", control.clear_faults)
    app.router.add_post("/_control/release", control.release)
    app.router.add_get("/_control/ledger", control.show_ledger)
    app.router.add_get("/_control/containers", control.show_containers)
    app.router.add_post("/_control/kill", control.kill)


def _reply(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status)


class Control:
    """The handlers of `/_control/`; a body that does not fit is answered with 400 and what is wrong."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    async def show_health(self, _request: web.Request) -> web.Response:
        return _reply({"status": "ready"})

    async def add_faults(self, request: web.Request) -> web.Response:
        try:
            self._stand_in.faults.add(read_faults(await request.read()))
        except msgspec.DecodeError as error:
            return _reply({"error": str(error)}, status=400)
        return await self.show_faults(request)

    async def show_faults(self, _request: web.Request) -> web.Response:
        return _reply(self._stand_in.faults.export())

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._stand_in.faults.clear()
        return await self.show_faults(request)

    async def release(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read() or b"{}", type=Release)
        except msgspec.DecodeError as error:
            return _reply({"error": str(error)}, status=400)
        released = [job for job in self._stand_in.account.jobs.values() if wanted.job in (None, job.name)]
        for job in released:
            job.released.set()
        return _reply({"released": [job.name for job in released]})

    async def show_ledger(self, _request: web.Request) -> web.Response:
        return _reply(self._stand_in.ledger.export())

    def _list_containers(self) -> list[dict[str, Any]]:
        return [
            {"job": job, "instance": instance, "pid": container.pid, "children": find_descendants(container.pid)}
            for job, fleet in self._stand_in.runner.fleets.items()
            for instance, container in enumerate(fleet.containers)
            if container.exit_code is None
        ]

    async def show_containers(self, _request: web.Request) -> web.Response:
        return _reply(self._list_containers())

    async def kill(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=Kill)
        except msgspec.DecodeError as error:
            return _reply({"error": str(error)}, status=400)
        rows = [row for row in self._list_containers() if wanted.job in (None, row["job"])]
        pids = [pid for row in rows for pid in (row["children"] if wanted.target == "engine" else [row["pid"]])]
        for pid in pids:
            with suppress(ProcessLookupError):  # it ended by itself since it was listed
                os.kill(pid, signal.Signals[f"SIG{wanted.signal}"])
        return _reply({"killed": pids})
