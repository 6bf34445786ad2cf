"""Child processes with an identity that outlives this program: started, found again, and ended exactly.

Linux only: the identity is (process id, start time), read from /proc, so a process id that the kernel has given to
somebody else is never signalled. Every process leads a session of its own; what it started is found by that session.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

_TETHER = Path(__file__).with_name("tether.py")
# Fields of /proc/<pid>/stat, counted from behind the command's name (proc(5)).
_FIELD_STATE, _FIELD_SESSION, _FIELD_START = 0, 3, 19
_unreaped: dict[int, subprocess.Popen[bytes]] = {}


class Process(msgspec.Struct, frozen=True):
    """A process that leads its own session: its id, its start time in clock ticks since boot, and its log."""

    name: str
    pid: int
    started: int
    log: str

    def is_alive(self) -> bool:
        """Whether this very process runs, and not another one with the same id."""
        _reap(self.pid)
        stat = _read_stat(self.pid)
        return stat is not None and stat.started == self.started and not stat.is_zombie

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        log = Path(self.log)
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.rstrip().split("\n")[-lines:])


class _Stat(msgspec.Struct, frozen=True):
    session: int
    started: int
    is_zombie: bool


def start_process(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path, is_tethered: bool
) -> Process:
    """Start a command in a session of its own, its output in the log; a tethered one dies with this process."""
    if is_tethered:
        command = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _unreaped[child.pid] = child
    stat = _read_stat(child.pid)
    if stat is None:  # cannot be: the child is ours and not yet reaped, so the kernel keeps its entry
        raise RuntimeError(f"{name}: no entry in /proc for the new process {child.pid}")
    return Process(name=name, pid=child.pid, started=stat.started, log=str(log))


def end_process(process: Process, *, grace: float = 5.0) -> None:
    """End a process, and all that is left of its session: asked first, and after `grace` seconds made to."""
    if not _is_ours(process):
        return
    if process.is_alive():
        _signal(process.pid, signal.SIGTERM)
        wait_for_end(process, timeout=grace)
    for pid in sorted({process.pid, *find_session(process.pid)}):
        stat = _read_stat(pid)
        if stat is not None and stat.session == process.pid:
            _signal(pid, signal.SIGKILL)
            _wait_for_exit(pid, timeout=grace)
    _reap(process.pid)


def wait_for_end(process: Process, *, timeout: float) -> bool:
    """Wait until the process has ended, at most `timeout` seconds; whether it has."""
    if process.is_alive():
        _wait_for_exit(process.pid, timeout=timeout)
    return not process.is_alive()


def find_session(session: int) -> list[int]:
    """Return the ids of the live processes of a session."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        stat = _read_stat(int(entry.name)) if entry.name.isdigit() else None
        if stat is not None and stat.session == session and not stat.is_zombie:
            found.append(int(entry.name))
    return found


def _is_ours(process: Process) -> bool:
    """Whether the process id, and with it the session id, still is what it was when we started it.

    The kernel does not give a process id away while it names a session. So a dead leader's session is ours as long as
    the id has no process, and is not when a process with another start time has it.
    """
    stat = _read_stat(process.pid)
    return stat is None or stat.started == process.started


def _read_stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command's name, in parentheses, may hold spaces and parentheses
    return _Stat(int(fields[_FIELD_SESSION]), int(fields[_FIELD_START]), fields[_FIELD_STATE] in "ZX")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself in between, which is what was wanted
        os.kill(pid, number)


def _wait_for_exit(pid: int, *, timeout: float) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], timeout)
    finally:
        os.close(descriptor)
    _reap(pid)


def _reap(pid: int) -> None:
    child = _unreaped.get(pid)
    if child is not None and child.poll() is not None:
        del _unreaped[pid]
