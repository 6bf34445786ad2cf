"""Processes are ended exactly: never one that only has the same id, and never an orphan left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slacktide_local.processes import Process, end_process, find_session, start_process, wait_for_end

SLEEPER = "import signal; print('ready', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes that a test has started; all are ended after it."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        end_process(process)


def start(started: list[Process], folder: Path, code: str, *, is_tethered: bool = True) -> Process:
    """Start a Python program and wait for its first line of output."""
    log = folder / "process.log"
    command = [sys.executable, "-I", "-c", code]
    process = start_process("p", command, environment={}, log=log, directory=folder, is_tethered=is_tethered)
    started.append(process)
    while b"\n" not in log.read_bytes():
        assert not wait_for_end(process, timeout=0.02), log.read_text()
    return process


def test_a_started_process_is_alive_until_it_is_ended(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, SLEEPER)
    assert process.is_alive()
    end_process(process)
    assert not process.is_alive()
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_reused_process_id_is_never_signalled(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, SLEEPER)
    before = msgspec.structs.replace(process, started=process.started - 1)  # ours had this id, and ended long ago
    assert not before.is_alive()
    end_process(before, grace=0.1)
    assert process.is_alive()


def test_one_that_ignores_sigterm_is_killed(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, DEAF)
    end_process(process, grace=0.2)
    assert not process.is_alive()


def test_what_a_process_has_started_ends_with_it_even_when_it_is_gone_itself(started: list[Process], tmp_path: Path) -> None:
    parent = f"""
import os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-I", "-c", {DEAF!r}])
signal.pause()
"""
    process = start(started, tmp_path, parent)
    (child,) = set(find_session(process.pid)) - {process.pid}
    os.kill(process.pid, signal.SIGKILL)
    assert wait_for_end(process, timeout=5)
    assert Path(f"/proc/{child}").exists()
    end_process(process)
    assert find_session(process.pid) == []


@pytest.mark.parametrize("is_tethered", [True, False])
def test_a_tethered_process_ends_when_its_parent_is_killed_and_a_detached_one_goes_on(
    started: list[Process], tmp_path: Path, is_tethered: bool
) -> None:
    parent = f"""
import sys, signal
from pathlib import Path
import msgspec
from slacktide_local.processes import start_process
command = [sys.executable, "-I", "-c", {SLEEPER!r}]
log = Path({str(tmp_path / "child.log")!r})
child = start_process("c", command, environment={{}}, log=log, directory=log.parent, is_tethered={is_tethered})
while not log.read_bytes(): signal.sigtimedwait([], 0.02)
print(msgspec.json.encode(child).decode(), flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        child = msgspec.json.decode(outer.stdout.readline(), type=Process)
        started.append(child)
        assert child.is_alive()
        outer.kill()
    assert wait_for_end(child, timeout=5 if is_tethered else 0.3) is is_tethered
