"""`slacktide run` as a person sees it: what it prints, what it leaves, and its exit code."""

import io
import json
import sys
from functools import partial
from pathlib import Path

import pytest
from fake_slacktide import BATCH, BUCKET, FakeSlacktide
from rich.console import Console

from slacktide_cli import app, batches, errors
from slacktide_cli.verbs import run as verb
from slacktide_cli.views import LiveView, PlainView, choose_view

FINAL = ["completed", "failed", "expired", "cancelled"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"custom_id": "1", "body": {"model": "big"}}\n')
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["slacktide", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def script(slacktide: FakeSlacktide, monkeypatch: pytest.MonkeyPatch, status: str, **wrong: object) -> None:
    """Let the next batch run and end with `status`."""

    def finish() -> None:
        slacktide.commit(status=status, output=b"1\n3\n", errors=b"2\n", total=3, **wrong)
        slacktide.show(status, completed=2, failed=1)

    slacktide.steps = iter([partial(slacktide.show, "validating"), partial(slacktide.show, "in_progress"), finish])
    monkeypatch.setattr(verb, "follow_batch", partial(batches.follow_batch, wait=slacktide.wait))


@pytest.mark.parametrize("status", FINAL)
def test_only_a_completed_batch_is_a_success_and_results_are_kept_anyway(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    script(slacktide, monkeypatch, status)
    assert call(monkeypatch, "run", str(file)) == (0 if status == "completed" else 1)
    assert (Path("results") / BATCH / "output.jsonl").read_bytes() == b"1\n3\n"


def test_a_pipe_gets_plain_lines(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(slacktide, monkeypatch, "completed")
    call(monkeypatch, "run", str(file), "--out", "here")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert [line.split()[1] for line in printed.splitlines() if line.startswith(BATCH)] == [
        "validating",
        "in_progress",
        "completed",
        "completed:",
    ]
    assert "2 answers, 1 errors, 3 lines" in printed
    assert "here/output.jsonl" in printed


@pytest.mark.parametrize("status", FINAL)
def test_a_script_gets_one_document_and_the_rest_on_the_standard_error(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    script(slacktide, monkeypatch, status)
    code = call(monkeypatch, "run", str(file), "--json", "--key", "input/a.jsonl")
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert list(document) == list(verb.RunDocument.__struct_fields__)
    assert (document["ok"], document["status"], code) == (status == "completed", status, int(status != "completed"))
    assert (document["batch_id"], document["input"]) == (BATCH, f"s3://{BUCKET}/input/a.jsonl")
    assert document["counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert (Path(document["folder"]) / "output.jsonl").exists()
    assert f"{BATCH} in_progress" in printed.err


def test_a_folder_that_cannot_be_written_to_is_said(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(slacktide, monkeypatch, "completed")
    assert call(monkeypatch, "run", str(file), "--out", str(file)) == 2
    assert "a.jsonl cannot be written to" in capsys.readouterr().err


def test_the_options_ride_on_the_object(slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(slacktide, monkeypatch, "completed")
    options = ["--completion-window", "2h", "--on-invalid", "reject", "--max-invalid-ratio", "0.25"]
    options += ["--endpoint", "/v1/embeddings", "--tag", "nightly", "--key", "input/mine/ü +%.jsonl"]
    assert call(monkeypatch, "run", str(file), *options) == 0
    dropped = slacktide.newest_input()
    assert dropped["key"] == "input/mine/ü +%.jsonl"
    assert dropped["metadata"] == {
        "completion-window": "2h",
        "on-invalid": "reject",
        "max-invalid-ratio": "0.25",
        "endpoint": "/v1/embeddings",
        "tag": "nightly",
    }


def test_no_option_is_sent_that_was_not_given(slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(slacktide, monkeypatch, "completed")
    call(monkeypatch, "run", str(file))
    assert slacktide.newest_input()["metadata"] == {}


def test_a_manifest_that_does_not_agree_is_a_failure(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(slacktide, monkeypatch, "completed", sha256="0" * 64)
    assert call(monkeypatch, "run", str(file)) == 1
    assert "not those of its manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "Missing argument"),
        (["run", "nowhere.jsonl"], "is not a file"),
        (["run", "a.jsonl", "--key", "elsewhere/a.jsonl"], "Put input/ first"),
        (["run", "a.jsonl", "--tag", "nächtlich"], "printable ASCII"),
        (["run", "a.jsonl", "--on-invalid", "perhaps"], "perhaps"),
        (["run", "a.jsonl", "--max-invalid-ratio", "2"], "max-invalid-ratio"),
        (["run", "a.jsonl.gz", "--model", "smollm2"], "Decompress it first"),
        (["run", "a.txt"], "ends in .jsonl"),
    ],
)
@pytest.mark.usefixtures("slacktide")
def test_what_cannot_be_carried_out_is_said_and_is_2(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    for name in ("a.jsonl.gz", "a.txt"):
        file.with_name(name).touch()
    assert call(monkeypatch, *arguments) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("slacktide")
def test_a_missing_bucket_variable_says_what_to_do(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLACKTIDE_BUCKET")
    assert call(monkeypatch, "run", str(file)) == 2
    assert "source .slacktide/local.env" in capsys.readouterr().err


def test_an_interrupt_leaves_the_batch_running_and_says_how_to_follow_it(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    script(slacktide, monkeypatch, "completed")
    slacktide.steps = iter([partial(slacktide.show, "in_progress"), interrupt])
    assert call(monkeypatch, "run", str(file), "--key", "input/a.jsonl") == 130
    printed = capsys.readouterr().out
    assert "goes on" in printed
    assert f"s3://{BUCKET}/output/a.jsonl/latest.json" in printed


def test_every_error_has_an_exit_code() -> None:
    def tree(kind: type[errors.CliError]) -> set[type[errors.CliError]]:
        return {kind}.union(*(tree(child) for child in kind.__subclasses__()))

    assert set(errors.EXIT_CODES) == tree(errors.CliError) - {errors.CliError}


def test_a_terminal_gets_a_live_bar_and_a_pipe_does_not() -> None:
    assert isinstance(choose_view(Console(file=io.StringIO(), force_terminal=True)), LiveView)
    assert isinstance(choose_view(Console(file=io.StringIO(), force_terminal=False)), PlainView)


def test_the_live_bar_shows_status_counts_and_jobs(slacktide: FakeSlacktide, file: Path) -> None:
    dropped = batches.drop_file(slacktide.s3, file, bucket=BUCKET, key="input/a.jsonl", options={})
    waiting = {"reason": "It waits for room.", "since": "2026-01-31T08:00:00Z", "place": 2, "jobs": 1}
    shown = partial(slacktide.show, "in_progress", completed=1, waiting=waiting)
    slacktide.steps = iter([shown, partial(slacktide.show, "completed")])
    output = io.StringIO()
    view = LiveView(Console(file=output, force_terminal=True, width=100))
    with view:
        for batch in batches.follow_batch(slacktide.s3, dropped, wait=slacktide.wait):
            view.show(batch)
    for text in ("in_progress", "1/3", "r1-j1", "smollm2", "It waits for room. Its place in the queue: 2.", "completed"):
        assert text in output.getvalue()
