"""The command `tg` of Together's client: every verb of files and batches, for programs and for people."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from facts import Facts, Target, main, read_ids
from inputs import HANG, write_input

WIDE = {"COLUMNS": "200", "TERM": "xterm-256color"}  # so that no id is cut


def check(target: Target, facts: Facts) -> None:
    """With `--json`, then as a person sees it."""
    check_json(target, facts)
    check_cancel(target, facts)
    check_terminal(target, facts)


def check_json(target: Target, facts: Facts) -> None:
    """`tg --json`: what a program reads."""
    path = write_input(target, "command", "one", "two")
    folder = target.folder / f"downloads-{path.stem}"
    file = run_json(target, "files", "upload", str(path), "--purpose", "batch-api")
    facts.note("json: upload answers the file", assumed=path.stat().st_size, observed=file["bytes"])
    listed = run_json(target, "files", "list")
    facts.note("json: the file is listed", assumed=True, observed=file["id"] in [entry["id"] for entry in listed])
    facts.note(
        "json: the file is found", assumed=path.name, observed=run_json(target, "files", "retrieve", file["id"])["filename"]
    )
    saved = folder / "content.jsonl"
    run(target, "files", "retrieve-content", file["id"], "--output", str(saved))
    facts.note("json: its content is as it was", assumed=path.read_bytes(), observed=saved.read_bytes())
    submitted = run_json(target, "batches", "submit", file["id"], "chat.completions")["job"]
    facts.note("json: submit answers the batch", assumed=file["id"], observed=submitted["input_file_id"])
    listed = run_json(target, "batches", "list")
    facts.note("json: the batch is listed", assumed=True, observed=submitted["id"] in [job["id"] for job in listed])
    job = target.wait(lambda: run_json(target, "batches", "get", submitted["id"]), lambda job: job["status"])
    facts.note("json: the batch is completed", assumed="COMPLETED", observed=job["status"])
    files = run_json(target, "batches", "download", submitted["id"], "--output", str(folder / "output.jsonl"))["files"]
    facts.note("json: download saves the output", assumed=["output"], observed=[entry["kind"] for entry in files])
    facts.note("json: the output has every line", assumed=["r1", "r2"], observed=read_ids(Path(files[0]["path"]).read_bytes()))
    facts.note("json: a file can be deleted", assumed={"success": True}, observed=run_json(target, "files", "delete", file["id"]))
    gone = run(target, "--json", "files", "retrieve", file["id"], is_checked=False)
    facts.note("json: a deleted file is an error", assumed=True, observed=gone.returncode != 0 and "no such file" in told(gone))


def check_cancel(target: Target, facts: Facts) -> None:
    """Submit a file of this machine, and end it."""
    path = write_input(target, "cancel", HANG)
    batch_id = run_json(target, "batches", "submit", str(path), "chat.completions")["job"]["id"]
    facts.note("json: cancel answers the batch", assumed=batch_id, observed=run_json(target, "batches", "cancel", batch_id)["id"])
    job = target.wait(lambda: run_json(target, "batches", "get", batch_id), lambda job: job["status"])
    facts.note("json: a cancelled batch is cancelled", assumed="CANCELLED", observed=job["status"])


def check_terminal(target: Target, facts: Facts) -> None:
    """On a terminal: a progress bar, tables, a table of one batch."""
    path = write_input(target, "terminal", "one", lines=2_000)
    shown = run_on_terminal(target, "files", "upload", str(path), "--purpose", "batch-api")
    facts.note("terminal: upload shows its progress", assumed=(True, True), observed=("100%" in shown, path.name in shown))
    file_id = run_json(target, "files", "list")[0]["id"]
    facts.note("terminal: upload names the file", assumed=True, observed=file_id in shown)
    facts.note("terminal: files are listed", assumed=True, observed=file_id in run_on_terminal(target, "files", "list"))
    batch = run_json(target, "batches", "list")[0]
    facts.note("terminal: batches are listed", assumed=True, observed=batch["id"] in run_on_terminal(target, "batches", "list"))
    shown = run_on_terminal(target, "batches", "get", batch["id"])
    facts.note("terminal: a batch is shown", assumed=(True, True), observed=(batch["id"] in shown, "CANCELLED" in shown.upper()))


def run(target: Target, *arguments: str, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `tg` where nobody looks."""
    done = subprocess.run(command(target, *arguments), capture_output=True, text=True, check=False)
    if is_checked and done.returncode:
        raise AssertionError(f"tg {' '.join(arguments)}: {told(done)}")
    return done


def told(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def run_json(target: Target, *arguments: str) -> Any:
    """What `tg --json` prints."""
    return json.loads(run(target, "--json", *arguments).stdout)


def run_on_terminal(target: Target, *arguments: str) -> str:
    """What `tg` shows to a person."""
    leader, follower = pty.openpty()
    environment = {**os.environ, **WIDE}
    with subprocess.Popen(
        command(target, *arguments), stdout=follower, stderr=follower, stdin=follower, env=environment
    ) as process:
        os.close(follower)
        shown = b""
        while block := read_block(leader):
            shown += block
        os.close(leader)
    if process.returncode:
        raise AssertionError(f"tg {' '.join(arguments)}: {shown.decode()}")
    return shown.decode()


def read_block(leader: int) -> bytes:
    try:
        return os.read(leader, 65_536)
    except OSError:  # the other end is closed
        return b""


def command(target: Target, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("tg")), "--base-url", target.url, *arguments]


if __name__ == "__main__":
    main(check)
