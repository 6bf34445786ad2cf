"""What a local cloud keeps on disk: its record, and the file that a shell sources."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slacktide_local.environment import Credentials, write_environment
from slacktide_local.errors import NotRunningError, StartFailedError
from slacktide_local.network import find_free_ports, wait_until_healthy
from slacktide_local.processes import end_process, start_process
from slacktide_local.state import CloudState, StateDirectory


def a_state(**changes: object) -> CloudState:
    given: dict[str, object] = {"endpoint": "http://127.0.0.1:1", "sagemaker_url": "http://127.0.0.1:2"}
    return CloudState(**{**given, "credentials": Credentials.create(), "engine": "scripted", **changes})  # pyright: ignore[reportArgumentType]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_environment_file_can_be_sourced_whatever_a_value_holds(tmp_path: Path) -> None:
    values = {"SLACKTIDE_BUCKET": "b", "ODD": "a b'c\"$HOME`x`;\\", "EMPTY": ""}
    path = tmp_path / "local.env"
    write_environment(path, values)
    assert mode(path) == 0o600
    assert all(line.startswith("export ") for line in path.read_text().splitlines())
    script = f'. {path}; printf \'%s\\n\' "$SLACKTIDE_BUCKET" "$ODD" "[$EMPTY]"'
    sourced = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout.split("\n")
    assert sourced[:3] == [values["SLACKTIDE_BUCKET"], values["ODD"], "[]"]


def test_writing_over_a_readable_file_makes_it_private(tmp_path: Path) -> None:
    path = tmp_path / "local.env"
    path.write_text("")
    path.chmod(0o644)
    write_environment(path, {"A": "1"})
    assert mode(path) == 0o600


def test_a_record_comes_back_as_it_was_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    assert directory.read() is None
    state = a_state(phase="ready", outputs={"BucketName": "b"}, environment={"A": "1"})
    directory.write(state)
    assert directory.read() == state
    assert mode(tmp_path / "state" / "state.json") == 0o600


def test_the_secret_key_is_in_no_representation() -> None:
    state = a_state()
    state = a_state(credentials=state.credentials, environment={"AWS_SECRET_ACCESS_KEY": state.credentials.secret_key})
    assert state.credentials.secret_key not in repr(state) + repr(state.credentials)


def test_a_record_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(NotRunningError, match=r"state\.json cannot be read"):
        StateDirectory(tmp_path).read()


def test_clearing_a_half_started_cloud_ends_its_processes_and_leaves_only_logs(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    command = [sys.executable, "-I", "-c", "import signal; signal.pause()"]
    log = directory.logs / "p.log"
    process = start_process("p", command, environment={}, log=log, directory=tmp_path, is_tethered=False)
    directory.write(a_state(processes=(process,)))
    (directory.temporary / "deep").mkdir(parents=True)
    directory.environment.touch()
    directory.clear(directory.read())
    assert not process.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_free_ports_differ() -> None:
    assert len(set(find_free_ports(20))) == 20


def test_a_server_that_ends_while_it_starts_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", "import sys; sys.exit('no such port')"]
    log = tmp_path / "p.log"
    process = start_process("p", command, environment={}, log=log, directory=tmp_path, is_tethered=True)
    with pytest.raises(StartFailedError, match=r"p ended while it was starting(?s:.*)no such port"):
        wait_until_healthy("http://127.0.0.1:9/", process, timeout=10)


def test_a_server_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", "import signal; signal.pause()"]
    process = start_process("p", command, environment={}, log=tmp_path / "p.log", directory=tmp_path, is_tethered=True)
    (port,) = find_free_ports(1)
    with pytest.raises(StartFailedError, match="did not answer at"):
        wait_until_healthy(f"http://127.0.0.1:{port}/", process, timeout=0.2)
    end_process(process)
