"""Nothing is left behind: processes and files after a job, after SIGTERM, after SIGKILL."""

import json
from collections.abc import Callable
from pathlib import Path

from sagemaker_stand_in import DEADLINE, StandIn, is_running, wait_until


def start_hanging(stand_in: StandIn) -> tuple[str, list[int]]:
    """A job whose container waits for ever, with a child that ignores SIGTERM; its processes."""
    name = stand_in.create({"a": b"hang"}, Environment={"CHILD": "1"})
    wait_until(lambda: "TransformStartTime" in stand_in.sagemaker.describe_transform_job(TransformJobName=name))
    (row,) = stand_in.containers(name)
    assert len(row["children"]) == 1
    return name, [row["pid"], *row["children"]]


def test_the_containers_processes_have_ended_when_the_job_has(stand_in: StandIn) -> None:
    name, pids = start_hanging(stand_in)
    assert all(is_running(pid) for pid in pids)
    stand_in.sagemaker.stop_transform_job(TransformJobName=name)
    stand_in.wait(name)
    assert stand_in.containers(name) == []
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_sigterm_leaves_no_process_and_no_file(start: Callable[..., StandIn]) -> None:
    own = start()
    folder = own.create({"a": b"env"})
    own.wait(folder)
    temporary = Path(json.loads(own.outputs(folder)["a.out"])["TMPDIR"]).parent
    _, pids = start_hanging(own)
    assert temporary.is_dir()
    own.process.terminate()
    assert own.process.wait(DEADLINE) == 0
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert not temporary.exists()


def test_a_container_dies_with_a_killed_stand_in(start: Callable[..., StandIn], tmp_path: Path) -> None:
    own = start("--work-dir", str(tmp_path))
    name = own.create({"a": b"hang"})
    (pid,) = wait_until(lambda: [row["pid"] for row in own.containers(name)])
    wait_until(lambda: "TransformStartTime" in own.sagemaker.describe_transform_job(TransformJobName=name))
    own.process.kill()
    wait_until(lambda: not is_running(pid))


def test_container_logs_are_kept_in_a_named_folder(start: Callable[..., StandIn], tmp_path: Path) -> None:
    own = start("--work-dir", str(tmp_path / "logs"), "--container-env", "EXIT_CODE=4")
    name = own.run({"a": b"ok"})["TransformJobName"]
    own.process.terminate()
    own.process.wait(DEADLINE)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [f"{name}-0.log"]
