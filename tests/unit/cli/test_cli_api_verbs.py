"""`slacktide ls, get, watch, download, retry, cancel` as a person and a script call them: output, exit code, what was asked."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import pytest
from fake_api import (
    BATCH,
    KEY,
    NOW,
    RECEIPT,
    RETRY,
    SIGNATURE,
    URL,
    FakeApi,
    batch,
    cut_off,
    fail,
    file,
    page,
    refuse_connection,
)
from rich.console import Console

from fakes.world import BUCKET
from slacktide.codes import CodeClass
from slacktide_cli import app
from slacktide_cli.api import Api
from slacktide_cli.following import PATIENCE, follow
from slacktide_cli.verbs import cancel, download, get, ls, retry, watch
from slacktide_cli.verbs.retry import LineClass

FINAL = ["completed", "failed", "expired", "cancelled"]


class Said(Protocol):
    """What a call of the command line has printed."""

    out: str
    err: str


Call = Callable[..., tuple[int, Said]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACKTIDE_API_URL", URL)
    monkeypatch.setenv("SLACKTIDE_API_KEY", KEY)
    return tmp_path


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi()


@pytest.fixture
def call(fake: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line; answers exit code and what was printed, in which no secret ever is."""

    def run(*arguments: str) -> tuple[int, Said]:
        monkeypatch.setattr(sys, "argv", ["slacktide", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main(fake.outside)
        said = capsys.readouterr()
        assert "CANARY" not in said.out + said.err
        assert SIGNATURE not in said.out + said.err
        assert "\x1b" not in said.out
        return int(ended.value.code or 0), said

    return run


def parse(said: Said, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The document of `--json`: one, with each field of its type in it."""
    document = json.loads(said.out)
    assert list(document) == list(kind.__struct_fields__)
    assert document["v"] == 1
    return document


# Every verb

VERBS = [
    ["ls"],
    ["ls", "--files"],
    ["get", BATCH],
    ["watch", BATCH],
    ["download", BATCH],
    ["download", BATCH, "--parts"],
    ["retry", BATCH],
    ["cancel", BATCH],
]
POSTS = {"retry", "cancel"}


@pytest.mark.parametrize("arguments", VERBS)
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (fail(401, "No API key, or one that is unknown or revoked."), "slacktide keys create NAME"),
        (fail(404, "There is no such batch."), "`slacktide ls` lists"),
        (fail(429, "Come again in 99 s.", Retry_After="99"), "99 s"),
        (refuse_connection, "cannot be reached"),
        (fail(503, "Not now."), "Try again later"),
    ],
)
def test_what_the_api_refuses_is_1_on_the_standard_error_alone(
    call: Call, fake: FakeApi, arguments: list[str], answer: Any, told: str
) -> None:
    for as_json in ([], ["--json"]):
        fake.first = [answer] * 4
        code, said = call(*arguments, *as_json)
        assert code == 1
        assert said.out == ""
        assert said.err.startswith("slacktide: ")
        assert told in said.err
    assert {line.partition(" ")[0] for line in fake.calls()} == {"POST" if arguments[0] in POSTS else "GET"}


@pytest.mark.parametrize("arguments", [line for line in VERBS if line[0] != "cancel"])  # which has another way
@pytest.mark.parametrize("missing", [["SLACKTIDE_API_URL"], ["SLACKTIDE_API_KEY"], ["SLACKTIDE_API_URL", "SLACKTIDE_API_KEY"]])
def test_what_is_missing_is_named_and_is_2(
    call: Call, fake: FakeApi, monkeypatch: pytest.MonkeyPatch, arguments: list[str], missing: list[str]
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    code, said = call(*arguments)
    assert code == 2
    assert f"{' and '.join(missing)} missing" in said.err
    assert "source .slacktide/local.env" in said.err
    assert fake.requests == []


@pytest.mark.parametrize("arguments", [line for line in VERBS if line[0] != "ls"])
@pytest.mark.parametrize("wrong", ["batch_1", "../files", "may.jsonl"])
def test_what_is_no_id_is_2_and_never_asked_for(call: Call, fake: FakeApi, arguments: list[str], wrong: str) -> None:
    code, said = call(*(wrong if word == BATCH else word for word in arguments))
    assert code == 2
    assert "no batch id" in said.err
    assert fake.requests == []


@pytest.mark.parametrize("arguments", VERBS)
def test_the_address_may_be_an_option(call: Call, fake: FakeApi, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("SLACKTIDE_API_URL", "https://elsewhere")
    fake.first = [fail(400, "reached")]
    assert "reached" in call(*arguments, "--api-url", URL)[1].err


# ls


def test_batches_are_listed_with_the_names_of_their_inputs(call: Call, fake: FakeApi) -> None:
    named = batch("in_progress", RETRY, input_file_name="with \x1b[31m colour.jsonl")
    fake.answers["/batches"] = page([named, batch(input_file_id="file-old", input_file_name=None)])
    code, said = call("ls")
    assert (code, fake.calls()) == (0, ["GET /batches"]), "one call, however many files there are"
    head, first, second = said.out.splitlines()
    assert head.split() == ["BATCH", "STATUS", "DONE", "FAILED", "AGE", "INPUT", "FILE"]
    assert first.split()[:5] == [RETRY, "in_progress", "2/3", "1", "2h"]
    assert first.endswith("\u241b[31m colour.jsonl")
    assert second.endswith("file-old"), "one whose name nobody noted has its id alone"
    assert said.err == ""


def test_a_long_list_is_asked_for_in_pages_and_says_how_to_go_on(call: Call, fake: FakeApi) -> None:
    ids = ["batch_" + letter * 26 for letter in "abcdef"]
    fake.answers["/batches"] = [page([batch(batch_id=id_) for id_ in part], has_more=True) for part in (ids[:3], ids[3:5])]
    code, said = call("ls", "--limit", "5", "--after", RETRY)
    assert code == 0
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ids[:5]
    asked = [request.url.params for request in fake.requests if request.url.path.endswith("/batches")]
    assert [dict(params) for params in asked] == [{"limit": "5", "after": RETRY}, {"limit": "2", "after": ids[2]}]
    assert said.err.endswith(f"slacktide ls --after {ids[4]}\n")


def test_no_page_is_longer_than_the_api_allows(call: Call, fake: FakeApi) -> None:
    fake.answers["/batches"] = page([])
    assert call("ls", "--limit", "250")[0] == 0
    assert fake.requests[0].url.params["limit"] == "100"


def test_the_list_for_scripts(call: Call, fake: FakeApi) -> None:
    fake.answers["/batches"] = page([batch()])
    document = parse(call("ls", "--json")[1], ls.BatchList)
    assert document["has_more"] is False
    (entry,) = document["batches"]
    assert (entry["id"], entry["status"], entry["input_file_name"]) == (BATCH, "completed", "may.jsonl")
    assert "a_new_field" not in entry, "the document is what is documented"


def test_files_are_listed(call: Call, fake: FakeApi) -> None:
    fake.answers["/files"] = page([file("file-x", "x.jsonl"), file("file-y", "y.jsonl", "batch_output")], has_more=True)
    code, said = call("ls", "--files", "--limit", "2")
    assert code == 0
    assert [line.split() for line in said.out.splitlines()[1:]] == [
        ["file-x", "batch", "120", "1m", "x.jsonl"],
        ["file-y", "batch_output", "120", "1m", "y.jsonl"],
    ]
    assert "slacktide ls --files --after file-y" in said.err
    document = parse(call("ls", "--files", "--json")[1], ls.FileList)
    assert [entry["id"] for entry in document["files"]] == ["file-x", "file-y"]


@pytest.mark.parametrize("limit", ["0", "10001", "many"])
def test_a_wrong_limit_is_usage(call: Call, limit: str) -> None:
    code, said = call("ls", "--limit", limit)
    assert (code, "--limit" in said.err) == (2, True)


# get


def test_all_of_an_ended_batch_is_shown(call: Call, fake: FakeApi) -> None:
    fake.end()
    code, said = call("get", BATCH)
    assert code == 0
    facts = dict(line.split(":", 1) for line in said.out.splitlines())
    assert facts["lines"].strip() == "2/3 done, 1 failed"
    assert facts["input file"].strip().startswith("may.jsonl, 120 bytes (file-")
    assert facts["tokens"].strip() == "70 in, 90 out"
    assert facts["job r1-j1"].strip() == "together, m: 2 of 3 lines done, settled after 61 s"
    assert facts["ended"].strip() == "2026-05-28 20:25:40 UTC"
    assert "cancelling" not in facts, "what has not happened is not shown"


def test_the_faults_of_a_failed_batch_are_shown(call: Call, fake: FakeApi) -> None:
    fake.end("failed", output=b"")
    faults = [{"code": "invalid_lines", "message": "Too many."}]
    faults += [{"code": "invalid_json_line", "message": "No JSON.", "line": line, "param": None} for line in range(1, 31)]
    fake.answers[f"/batches/{BATCH}"]["errors"] = {"object": "list", "data": faults}
    code, said = call("get", BATCH)
    assert code == 0, "that the batch failed is an answer too"
    assert "invalid_lines: Too many." in said.out
    assert "line 19: invalid_json_line: No JSON." in said.out
    assert "line 20:" not in said.out
    assert "and 11 more" in said.out
    document = parse(call("get", BATCH, "--json")[1], get.BatchReport)
    assert len(document["batch"]["errors"]["data"]) == 31


def test_a_batch_that_runs_tells_of_its_parts(call: Call, fake: FakeApi) -> None:
    fake.answers |= {f"/batches/{BATCH}": batch("in_progress"), f"/batches/{BATCH}/parts": page([part("r1-j1.1")])}
    code, said = call("get", BATCH)
    assert code == 0
    assert f"1 finished, to be had now: slacktide download {BATCH} --parts" in said.out
    assert "may.jsonl, deleted (file-" in said.out
    document = parse(call("get", BATCH, "--json")[1], get.BatchReport)
    assert (document["input_file"], document["receipt"], document["parts"][0]["id"]) == (None, None, "r1-j1.1")


WAITING = {"reason": "It waits for room.", "since": NOW - 60, "place": 2, "jobs": 1}


def test_why_a_batch_waits_is_told(call: Call, fake: FakeApi) -> None:
    fake.answers |= {f"/batches/{BATCH}": batch("in_progress", waiting=WAITING), f"/batches/{BATCH}/parts": page([])}
    since = f"{datetime.fromtimestamp(NOW - 60, UTC):%Y-%m-%d %H:%M:%S} UTC"
    assert f"waiting:      since {since}: It waits for room. Its place in the queue: 2.\n" in call("get", BATCH)[1].out
    assert parse(call("get", BATCH, "--json")[1], get.BatchReport)["batch"]["waiting"] == WAITING


def test_a_script_gets_the_receipt_as_it_is(call: Call, fake: FakeApi) -> None:
    fake.end()
    document = parse(call("get", BATCH, "--json")[1], get.BatchReport)
    assert document["receipt"] == RECEIPT
    assert document["parts"] == []


# watch


def script(fake: FakeApi, *statuses: str) -> None:
    """Have the batch take these statuses, one at each look."""
    fake.answers[f"/batches/{BATCH}"] = [batch(status) for status in statuses]


@pytest.mark.parametrize("status", FINAL)
def test_a_batch_is_followed_to_its_end_which_is_the_exit_code(call: Call, fake: FakeApi, status: str) -> None:
    script(fake, "validating", "in_progress", "in_progress", "finalizing", status)
    code, said = call("watch", BATCH)
    assert code == (0 if status == "completed" else 1)
    assert [line.split()[1] for line in said.out.splitlines()] == ["validating", "in_progress", "finalizing", status]
    assert len(fake.waits) == 4
    assert f"slacktide download {BATCH}" in said.err


def test_who_follows_a_batch_sees_why_it_waits(call: Call, fake: FakeApi) -> None:
    looks = [batch("in_progress", waiting=wait) for wait in (WAITING, WAITING | {"place": None}, None)]
    fake.answers[f"/batches/{BATCH}"] = [*looks, batch("completed")]
    waits = [line.partition("failed")[2] for line in call("watch", BATCH)[1].out.splitlines()]
    assert waits == ["; It waits for room. Its place in the queue: 2.", "; It waits for room.", "", ""]


@pytest.mark.parametrize("status", FINAL)
def test_a_script_gets_the_end_and_sees_the_rest_on_the_standard_error(call: Call, fake: FakeApi, status: str) -> None:
    script(fake, "in_progress", status)
    code, said = call("watch", BATCH, "--json")
    document = parse(said, watch.Ending)
    assert (document["ok"], document["batch"]["status"], code) == (status == "completed", status, int(status != "completed"))
    assert f"{BATCH} in_progress" in said.err


def test_why_a_batch_failed_is_said(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}"] = batch("failed", errors={"data": [{"code": "empty_file", "message": "It is empty."}]})
    assert "empty_file: It is empty." in call("watch", BATCH)[1].err


def test_an_interrupt_leaves_the_batch_running_and_says_how_to_go_on(call: Call, fake: FakeApi) -> None:
    def look(_: httpx.Request) -> httpx.Response:
        if len(fake.requests) > 1:
            raise KeyboardInterrupt
        return httpx.Response(200, json=batch("in_progress"))

    fake.answers[f"/batches/{BATCH}"] = look
    code, said = call("watch", BATCH, "--json")
    assert code == 130
    assert f"goes on without you. To look again: slacktide watch {BATCH}" in said.err
    assert said.out == ""
    assert fake.calls("POST") == []


def test_an_outage_is_waited_out(call: Call, fake: FakeApi) -> None:
    script(fake, "in_progress", "completed")
    fake.first = [lambda request: fake._answer(request, f"/batches/{BATCH}"), *[refuse_connection] * 20]
    code, said = call("watch", BATCH)
    assert code == 0
    assert said.out.splitlines()[-1].split()[1] == "completed"


def test_an_outage_that_does_not_end_is_given_up(call: Call, fake: FakeApi) -> None:
    script(fake, "in_progress")
    fake.first = [lambda request: fake._answer(request, f"/batches/{BATCH}"), *[refuse_connection] * 1_000]
    code, said = call("watch", BATCH)
    assert (code, "cannot be reached" in said.err) == (1, True)
    assert PATIENCE < sum(fake.waits) < 2 * PATIENCE


def test_outages_are_not_summed_up(call: Call, fake: FakeApi) -> None:
    script(fake, *["in_progress"] * 3, "completed")

    def look(request: httpx.Request) -> httpx.Response:
        """It answers every 5 minutes."""
        is_due = sum(fake.waits) >= 300 * (4 - len(fake.answers[f"/batches/{BATCH}"]))
        return fake._answer(request, f"/batches/{BATCH}") if is_due else refuse_connection(request)

    fake.first = [look] * 1_000
    assert call("watch", BATCH)[0] == 0
    assert sum(fake.waits) > PATIENCE


def test_a_batch_is_told_of_when_it_has_changed(fake: FakeApi) -> None:
    script(fake, "in_progress", "in_progress", "finalizing", "finalizing", "completed")
    api = Api(URL, KEY, fake.outside)
    assert [batch.status for batch in follow(api, BATCH, fake.outside)] == ["in_progress", "finalizing", "completed"]


# download


def part(part_id: str) -> dict[str, Any]:
    return {"id": part_id, "job_id": part_id.partition(".")[0], "round": 1, "model": "m", "endpoint": "e", "first": 1, "last": 3}


def test_results_are_downloaded_and_checked(call: Call, fake: FakeApi, folder: Path) -> None:
    fake.end()
    code, said = call("download", BATCH)
    assert code == 0
    results = folder / "results" / BATCH
    assert {path.name: path.read_bytes() for path in results.iterdir()} == {
        "output.jsonl": b"1\n3\n",
        "errors.jsonl": b"2\n",
        "receipt.json": json.dumps(RECEIPT).encode(),
        "manifest.json": json.dumps(fake.answers[f"/batches/{BATCH}/manifest"]).encode(),
    }
    assert "2 answers, 1 errors, 3 lines; checked against the manifest" in said.out


def test_a_script_learns_where_they_are(call: Call, fake: FakeApi) -> None:
    fake.end("expired")
    code, said = call("download", BATCH, "--out", "here", "--json")
    assert code == 0, "the results of every end can be downloaded"
    document = parse(said, download.Downloaded)
    assert (document["status"], document["folder"], document["output"]["lines"]) == ("expired", "here", 2)
    assert Path("here/errors.jsonl").exists()


def test_a_file_without_lines_is_there_and_empty(call: Call, fake: FakeApi) -> None:
    fake.end(errors=b"")
    assert call("download", BATCH, "--out", "here")[0] == 0
    assert Path("here/errors.jsonl").read_bytes() == b""
    assert "GET /files/file-err/content" not in fake.calls()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"sha256": "0" * 64}, "sha256"), ({"bytes": 5}, "has bytes 4, the manifest says 5"), ({"lines": 3}, "4 lines together")],
)
def test_results_that_are_not_those_of_the_manifest_are_1(call: Call, fake: FakeApi, wrong: dict[str, Any], told: str) -> None:
    fake.end(**wrong)
    code, said = call("download", BATCH, "--json")
    assert code == 1
    assert "not those of its manifest" in said.err
    assert told in said.err
    assert said.out == ""


def test_a_result_that_was_deleted_is_told(call: Call, fake: FakeApi) -> None:
    fake.end()
    fake.answers[f"/batches/{BATCH}"]["output_file_id"] = None
    code, said = call("download", BATCH)
    assert (code, "output.jsonl was deleted" in said.err) == (1, True)


def test_a_batch_that_runs_has_no_results_yet(call: Call, fake: FakeApi, folder: Path) -> None:
    fake.answers[f"/batches/{BATCH}"] = batch("in_progress")
    code, said = call("download", BATCH)
    assert code == 1
    assert "is in_progress" in said.err
    assert f"slacktide watch {BATCH}" in said.err
    assert "--parts" in said.err
    assert list(folder.iterdir()) == []


def test_finished_parts_are_downloaded_once(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/parts"] = [page([part("r1-j1.1")]), page([part("r1-j1.1"), part("r1-j2.10")])]
    fake.files = {f"/batches/{BATCH}/parts/{name}": name.encode() for name in ("r1-j1.1", "r1-j2.10")}
    assert call("download", BATCH, "--parts", "--out", "here")[0] == 0
    document = parse(call("download", BATCH, "--parts", "--out", "here", "--json")[1], download.DownloadedParts)
    assert document["new"] == 1
    assert [entry["path"] for entry in document["parts"]] == ["here/parts/r1-j1.1.jsonl", "here/parts/r1-j2.10.jsonl"]
    assert all(Path(entry["path"]).read_bytes() == entry["part"]["id"].encode() for entry in document["parts"])
    assert fake.calls().count(f"GET /batches/{BATCH}/parts/r1-j1.1") == 1


@pytest.mark.parametrize("name", ["../../evil", "r1-j1.1/../../x", "/etc/passwd", "r1-j1.1\n"])
def test_the_name_of_a_part_never_leads_out_of_the_folder(call: Call, fake: FakeApi, folder: Path, name: str) -> None:
    fake.answers[f"/batches/{BATCH}/parts"] = page([part(name)])
    assert call("download", BATCH, "--parts", "--out", "here")[0] == 1
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_2(call: Call, fake: FakeApi, folder: Path) -> None:
    (folder / "here").write_text("a file")
    fake.end()
    code, said = call("download", BATCH, "--out", "here")
    assert (code, "here cannot be written to" in said.err) == (2, True)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_sees_each_file_come(is_terminal: bool) -> None:
    shown = io.StringIO()
    with download.show_progress(Console(file=shown, force_terminal=is_terminal, width=100)) as show:
        show("output.jsonl", 10)(5)
        show("r1-j1.1.jsonl", None)(7)
    assert [text in shown.getvalue() for text in ("output.jsonl", "5/10 bytes", "r1-j1.1.jsonl")] == [is_terminal] * 3


# retry


def test_a_retry_prints_the_new_id_alone(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/retry"] = batch("validating", RETRY, retry_of=BATCH)
    code, said = call("retry", BATCH)
    assert (code, said.out) == (0, RETRY + "\n")
    assert f"slacktide watch {RETRY}" in said.err
    assert json.loads(fake.requests[0].content) == {}


def test_the_same_retry_is_the_same_batch_and_another_is_another(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/retry"] = batch("validating", RETRY, retry_of=BATCH)
    for options in (
        ["--class", "transient", "--class", "rejected"],
        ["--class", "rejected", "--class", "transient"],
        ["--class", "rejected"],
        [],
        ["--idempotency-key", "once more"],
    ):
        assert call("retry", BATCH, *options)[0] == 0
    sent = [request.headers["Idempotency-Key"] for request in fake.requests]
    assert sent[0] == sent[1]
    assert len(set(sent)) == 4
    assert sent[-1] == "once more"
    assert json.loads(fake.requests[0].content) == {"classes": ["transient", "rejected"]}


def test_a_retry_for_scripts(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/retry"] = batch("validating", RETRY, retry_of=BATCH)
    document = parse(call("retry", BATCH, "--json")[1], retry.Retried)
    assert (document["batch"]["id"], document["batch"]["retry_of"]) == (RETRY, BATCH)


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1)])
def test_a_retry_can_be_watched(call: Call, fake: FakeApi, status: str, code: int) -> None:
    fake.answers[f"/batches/{BATCH}/retry"] = batch("validating", RETRY, retry_of=BATCH)
    fake.answers[f"/batches/{RETRY}"] = [batch(name, RETRY) for name in ("in_progress", status)] * 2
    ended, said = call("retry", BATCH, "--watch")
    assert ended == code
    assert said.out.splitlines()[0] == RETRY
    assert said.out.splitlines()[-1].split()[:2] == [RETRY, status]
    assert parse(call("retry", BATCH, "--watch", "--json")[1], watch.Ending)["batch"]["status"] == status


def test_a_batch_without_failed_lines_is_told(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/retry"] = fail(400, f"No line of {BATCH} failed.")
    code, said = call("retry", BATCH)
    assert (code, f"No line of {BATCH} failed." in said.err) == (1, True)


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\nb", " a"])
def test_a_key_that_no_header_carries_is_usage(call: Call, fake: FakeApi, key: str) -> None:
    code, said = call("retry", BATCH, "--idempotency-key", key)
    assert (code, "--idempotency-key" in said.err) == (2, True)
    assert fake.requests == []


# cancel, by the API (by the bucket: test_cli_cancel.py)


def test_a_batch_is_cancelled(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/cancel"] = batch("cancelling")
    code, said = call("cancel", BATCH)
    assert (code, fake.calls()) == (0, [f"POST /batches/{BATCH}/cancel"])
    assert f"{BATCH} was asked to end" in said.out
    assert f"slacktide watch {BATCH}" in said.out


def test_a_cancel_for_scripts(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/cancel"] = batch("cancelling")
    document = parse(call("cancel", BATCH, "--json")[1], cancel.Cancelled)
    assert (document["batch_id"], document["batch"]["status"], document["marker"]) == (BATCH, "cancelling", None)


def test_a_cancel_whose_answer_is_lost_is_sent_again(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/cancel"] = batch("cancelling")
    fake.first = [cut_off, fail(503, "Not now.")]
    assert call("cancel", BATCH)[0] == 0
    assert fake.calls() == [f"POST /batches/{BATCH}/cancel"] * 3


def test_a_batch_that_has_ended_is_told(call: Call, fake: FakeApi) -> None:
    fake.answers[f"/batches/{BATCH}/cancel"] = fail(400, f"{BATCH} is completed: it has ended already.")
    code, said = call("cancel", BATCH)
    assert (code, said.out) == (1, "")
    assert f"{BATCH} is completed: it has ended already." in said.err


def test_of_a_batch_that_is_not_there_the_other_way_is_told(call: Call) -> None:
    code, said = call("cancel", BATCH)
    assert (code, "--bucket" in said.err) == (1, True)


def test_what_the_command_line_names_goes_before_the_variables(
    call: Call, fake: FakeApi, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACKTIDE_BUCKET", BUCKET)
    fake.answers[f"/batches/{BATCH}/cancel"] = batch("cancelling")
    assert call("cancel", BATCH)[0] == 0, "both are there: the API"
    assert call("cancel", BATCH, "--api-url", URL)[0] == 0
    assert len(fake.requests) == 2
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert call("cancel", BATCH, "--bucket", BUCKET)[0] == 0
    assert len(fake.requests) == 2
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    code, said = call("cancel", BATCH, "--bucket", BUCKET, "--api-url", URL)
    assert (code, "name one" in said.err) == (2, True)
    monkeypatch.delenv("SLACKTIDE_API_KEY")
    code, said = call("cancel", BATCH, "--api-url", URL)
    assert (code, "SLACKTIDE_API_KEY missing" in said.err) == (2, True)


def test_every_class_that_a_line_can_have_may_be_named() -> None:
    assert {str(kind) for kind in LineClass} == {str(kind) for kind in CodeClass} - {"refused_file"}
