"""The local cloud itself, with a template of one function: it comes up, holds what it promises, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from slacktide_local.accounting import read_queue
from slacktide_local.cloud import LocalCloud
from slacktide_local.environment import Credentials
from slacktide_local.errors import DeployFailedError, NotRunningError
from slacktide_local.network import is_healthy
from slacktide_local.processes import Process, find_session, wait_for_end
from slacktide_local.session import EmulatorSession
from slacktide_local.start import health_urls
from slacktide_local.state import StateDirectory

pytestmark = pytest.mark.cloud

TEMPLATE = Path(__file__).parent / "cloud_template" / "template.yaml"
VARIABLES = {
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "SLACKTIDE_STACK",
    "SLACKTIDE_BUCKET",
    "SLACKTIDE_DLQ_URL",
    "SLACKTIDE_EVENTS_QUEUE_URL",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud that the tests of this module only look at."""
    state_dir = tmp_path_factory.mktemp("cloud")
    with LocalCloud.start(state_dir, engine="scripted", template=TEMPLATE, parameters={"QueueName": "mine"}) as cloud:
        yield cloud


def invoke(cloud: LocalCloud, **event: object) -> dict[str, Any]:
    """Call the function; its answer, or its error with `errorMessage`."""
    answer = cloud.session.client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


def listeners(session: int) -> set[str]:
    """The local addresses on which the processes of a session listen, as /proc/net writes them."""
    sockets = {
        str(descriptor.readlink()).removeprefix("socket:[").rstrip("]")
        for pid in find_session(session)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if descriptor.is_symlink() and str(descriptor.readlink()).startswith("socket:[")
    }
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


def temporary_files() -> set[str]:
    """What emulator and stand-in could have left in the machine's own folder for temporary files."""
    folder = Path(tempfile.gettempdir())
    return {path.name for path in folder.iterdir() if path.name.startswith(("ministack", "sagemaker", "tmp"))}


def test_the_environment_is_whole_and_opens_the_cloud(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(cloud.environment) == VARIABLES
    script = f". {cloud.directory.environment}; env"
    sourced = subprocess.run(["/bin/sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    assert {f"{name}={value}" for name, value in cloud.environment.items()} <= set(sourced.splitlines())
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    written = boto3.client("s3").put_object(Bucket=cloud.environment["SLACKTIDE_BUCKET"], Key="a", Body=b"")
    assert written["VersionId"]


def test_the_templates_parameters_arrive(cloud: LocalCloud) -> None:
    assert cloud.environment["SLACKTIDE_DLQ_URL"].endswith("/mine")


def test_a_key_that_is_not_the_clouds_is_refused(cloud: LocalCloud) -> None:
    other = EmulatorSession(cloud.endpoint, Credentials.create())
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        other.client("s3").list_buckets()


def test_a_function_may_do_no_more_than_its_role(cloud: LocalCloud) -> None:
    assert "AccessDenied" in invoke(cloud, forbidden=True)["errorMessage"]


def test_functions_are_led_to_the_sagemaker_stand_in(cloud: LocalCloud) -> None:
    assert invoke(cloud)["sagemaker"] == cloud.sagemaker_url
    sagemaker = cloud.session.client("sagemaker", endpoint_url=cloud.sagemaker_url)
    assert sagemaker.list_transform_jobs()["TransformJobSummaries"] == []


def test_the_events_queue_gets_slacktides_events_and_no_others(cloud: LocalCloud) -> None:
    invoke(cloud, said="theirs", source="elsewhere")
    invoke(cloud, said="ours")
    events = read_queue(cloud.session.client("sqs"), cloud.environment["SLACKTIDE_EVENTS_QUEUE_URL"])
    said = [event["detail"]["said"] for event in events]
    assert "ours" in said
    assert "theirs" not in said


def test_it_listens_on_the_loopback_address_alone(cloud: LocalCloud) -> None:
    for process in cloud.state.processes:
        assert listeners(process.pid) == {"0100007F"}, process.name  # 127.0.0.1, bytes from the last to the first


def test_it_can_be_found_again(cloud: LocalCloud) -> None:
    assert LocalCloud.attach(cloud.directory.path).state == cloud.state


def test_nothing_is_left_of_a_stopped_cloud_but_its_logs(tmp_path: Path) -> None:
    before = temporary_files()
    with LocalCloud.start(tmp_path, engine="scripted", template=TEMPLATE) as cloud:
        invoke(cloud)  # a worker process with a folder of its own
        sessions = [process.pid for process in cloud.state.processes]
        assert all(find_session(session) for session in sessions)
        assert len(find_session(sessions[0])) > 1
    assert not any(find_session(session) for session in sessions)
    assert not any(is_healthy(url) for url in health_urls(cloud.state).values())
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "lock"}
    assert temporary_files() <= before
    with pytest.raises(NotRunningError, match="make up"):
        LocalCloud.attach(tmp_path)


def test_a_refused_deployment_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeployFailedError, match="no parameter Colour"):
        LocalCloud.start(tmp_path, engine="scripted", template=TEMPLATE, parameters={"Colour": "red"})
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "lock"}


def test_an_ill_cloud_is_told_from_a_healthy_one(tmp_path: Path) -> None:
    with LocalCloud.start(tmp_path, engine="scripted", template=TEMPLATE) as cloud:
        victim = cloud.state.processes[1]
        os.kill(victim.pid, signal.SIGKILL)
        assert wait_for_end(victim, timeout=5)
        with pytest.raises(NotRunningError, match="sagemaker has ended"):
            LocalCloud.attach(tmp_path)


def test_a_cloud_in_the_foreground_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    code = f"""
import signal
from pathlib import Path
from slacktide_local.cloud import LocalCloud
cloud = LocalCloud.start(Path({str(tmp_path)!r}), engine="scripted", template=Path({str(TEMPLATE)!r}))
print("up", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        state = StateDirectory(tmp_path).read()
        parent.kill()
    assert state is not None
    try:
        assert len(state.processes) == 2
        assert all(wait_for_end(process, timeout=10) for process in state.processes)
    finally:
        StateDirectory(tmp_path).clear(state)


def run_verb(verb: str, state_dir: Path) -> subprocess.CompletedProcess[str]:
    options = ["--state-dir", str(state_dir), "--template", str(TEMPLATE), "--engine", "scripted"]
    command = [sys.executable, "-m", "slacktide_local", verb, *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOGETHER_")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def read_processes(state_dir: Path) -> tuple[Process, ...]:
    state = StateDirectory(state_dir).read()
    assert state is not None
    return state.processes


def test_up_stays_up_and_says_so_and_down_takes_all_of_it(tmp_path: Path) -> None:
    try:
        first = run_verb("up", tmp_path)
        assert first.returncode == 0, first.stderr
        assert str(tmp_path / "local.env") in first.stdout
        processes = read_processes(tmp_path)
        assert [process.name for process in processes] == ["ministack", "sagemaker"]
        assert all(process.is_alive() for process in processes)
        second = run_verb("up", tmp_path)
        assert second.returncode == 0
        assert "is up" in second.stdout
        assert read_processes(tmp_path) == processes
        os.kill(processes[1].pid, signal.SIGKILL)
        assert wait_for_end(processes[1], timeout=5)
        third = run_verb("up", tmp_path)
        assert "is ill: sagemaker has ended" in third.stdout
        assert not processes[0].is_alive()
        processes = read_processes(tmp_path)
    finally:
        last = run_verb("down", tmp_path)
    assert last.stdout == "The local cloud is stopped.\n"
    assert not any(process.is_alive() or find_session(process.pid) for process in processes)
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "lock"}
    assert run_verb("down", tmp_path).stdout == "No local cloud was running.\n"
