"""What is true after every run, whatever happened in it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from chaos.run import Run
from chaos.story import CANARY
from fakes.backend import Upstream as TransformJob
from fakes.world import SWEEP_SECONDS, Outcome
from slacktide.batch import Batch
from slacktide.statuses import EDGES, JobState
from slacktide_fake_together.ledger import BatchEntry, find_paid_twice

# Why a function may fail: it was killed, AWS or a backend did not answer, somebody else was quicker.
EXPECTED = {
    *("Killed", "ClientError", "ConflictError", "LeaseHeldError", "NotAnnouncedError", "ExceptionGroup", "sweep"),
    *("BackendError", "NotSentError", "NoAnswerError", "NotThereError"),
}
SWEEPS = 2 * SWEEP_SECONDS  # the first one may be killed


def check(run: Run) -> None:
    """All of it. AssertionError says what is wrong."""
    assert set(run.failed) <= EXPECTED, f"a function failed of its own: {run.failed}\n{run.failures}"
    batches = run.world.batches()
    assert len(batches) == len(run.drops), "one batch for each file"
    for batch in batches:
        try:
            check_batch(run, batch)
        except AssertionError as error:
            raise AssertionError(f"{batch.batch_id} of {batch.input.key} ({batch.status}): {error}") from error
    check_upstream(run)
    check_secrecy(run)
    check_accounts(run)
    check_chaos(run)


def check_accounts(run: Run) -> None:
    """No limit was ever exceeded (that was looked at all the time), and nothing stays reserved when the last lease is over."""
    world = run.world
    world.clock.advance(2 * world.settings.wait_longest + world.settings.lease)
    world.sweeper.sweep()
    assert run.accounts.nothing_is_reserved
    assert all(account["used"] == 0 for key, account in run.accounts.accounts().items() if key.startswith("pool#"))


def check_chaos(run: Run) -> None:
    """It was one: invocations overlapped, and both dialects were spoken."""
    assert run.wire.overlaps > 0
    assert {batch.dialect for batch in run.fake.service.account.batches.values()} == {"together", "openai"}


def check_batch(run: Run, batch: Batch) -> None:
    """One batch: its lines, its counts, its end, its events."""
    assert batch.status.is_final
    outcome = Outcome.of(run.world, batch.batch_id)
    lines = read_input(run, batch)
    check_lines(outcome, lines)
    check_manifest(outcome, len(lines))
    check_events(run, batch)
    letters = {letter["line"] for letter in run.world.queue.messages if letter["batch_id"] == batch.batch_id}
    assert letters == {line["line"] for line in outcome.errors}, "the dead letters are those of the error file"
    check_end(run, batch)


def read_input(run: Run, batch: Batch) -> list[bytes]:
    (version,) = (it for it in run.world.s3.objects[batch.input.key] if it.version_id == batch.input.version_id)
    return (version.data or b"").removesuffix(b"\n").split(b"\n")


def check_lines(outcome: Outcome, lines: list[bytes]) -> None:
    """Every line is in one of both files, once, in order, under its own custom_id; an answer is the answer to its prompt."""
    if outcome.batch.total == 0:  # refused before it was read: nothing is known of its lines
        assert outcome.batch.failure is not None
        assert (outcome.output, outcome.errors) == ([], [])
        return
    for entries in (outcome.output, outcome.errors):
        numbers = [entry["line"] for entry in entries]
        assert numbers == sorted(numbers), "in the order of the input"
    found = Counter(entry["line"] for entry in outcome.output + outcome.errors)
    assert found == Counter(range(1, len(lines) + 1)), "every line once"
    for entry in outcome.output + outcome.errors:
        asked = read_line(lines[entry["line"] - 1])
        assert entry["custom_id"] == asked.get("custom_id"), f"line {entry['line']} has its own custom_id"
        if entry in outcome.output:
            prompt = asked["body"]["messages"][0]["content"]
            said = entry["response"]["body"]["choices"][0]["message"]["content"]
            assert said == prompt or f'"{prompt}"' in said, f"line {entry['line']} has the answer to its own prompt"
            assert prompt.startswith(CANARY)


def read_line(text: bytes) -> dict[str, Any]:
    """A line, if it is one."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def check_manifest(outcome: Outcome, lines: int) -> None:
    manifest, status = outcome.manifest, outcome.batch.status
    assert manifest["status"] == status
    for part, text in zip(("output", "errors"), outcome.raw, strict=True):
        assert manifest[part]["sha256"] == hashlib.sha256(text).hexdigest()
        assert (manifest[part]["bytes"], manifest[part]["lines"]) == (len(text), text.count(b"\n"))
    counts = manifest["counts"]
    assert counts["total"] in {lines, 0}
    assert (counts["completed"], counts["failed"]) == (len(outcome.output), len(outcome.errors))


def check_events(run: Run, batch: Batch) -> None:
    """Every change was told, along the edges."""
    statuses = [change.status for change in batch.history]
    assert all(after in EDGES[before] for before, after in pairwise(statuses)), statuses
    assert [detail["data"]["status"] for detail in run.world.bus.details(batch.batch_id)] == statuses


def check_end(run: Run, batch: Batch) -> None:
    """By its deadline, when what has not ended is given up; where executions are stopped then, by the sweeps that it needs."""
    reserve = run.world.settings.assembly_reserve
    late = sum(batch.deadline - reserve <= time <= batch.deadline + reserve for time in run.ended_from_outside)
    ended = batch.history[-1].time
    assert ended <= batch.deadline + late * SWEEPS, f"it ended {ended - batch.deadline} s after its deadline"


def check_upstream(run: Run) -> None:
    """Nothing is paid for twice, nothing goes on running, and no answer that was paid for is lost."""
    hosted = run.fake.ledger.batches
    transforms = run.world.backend.jobs.values()
    entries = hosted + [BatchEntry(job.work.name, "", 0, "", billed=list(answered(run, job))) for job in transforms]
    twice = find_paid_twice(entries, line_of)
    assert twice == {}, f"paid for twice: {twice}"
    assert run.live == [], "nothing goes on running upstream"
    paid = {line_of(custom_id) for entry in entries for custom_id in set(entry.billed) - set(entry.destroyed)}
    unused = given_up(run)
    lost = {line for line in paid if line.partition(".")[0] not in unused} - delivered(run)
    assert lost == set(), f"paid for and not delivered: {sorted(lost)}"


def delivered(run: Run) -> set[str]:
    """The lines that have an answer in an output file."""
    ids = [batch.batch_id for batch in run.world.batches()]
    return {f"{batch_id}.{line['line']}" for batch_id in ids for line in Outcome.of(run.world, batch_id).output}


def given_up(run: Run) -> set[str]:
    """The batches with a job that did not end in time: what such a job answers after all stays unused."""
    jobs = [job for batch in run.world.batches() for job in run.world.records.jobs(batch.batch_id)]
    return {job.batch_id for job in jobs if job.state is JobState.ABANDONED}


def answered(run: Run, job: TransformJob) -> Iterator[str]:
    """The requests that a transform job has answered."""
    for key in run.world.s3.keys(job.work.output_prefix):
        for text in run.world.s3.data(key).splitlines():
            line = json.loads(text)
            if line["response"]["status_code"] == 200:
                yield line["custom_id"]


def line_of(custom_id: str) -> str:
    """A request whatever its round."""
    batch_id, _, number = custom_id.split(".")
    return f"{batch_id}.{number}"


def check_secrecy(run: Run) -> None:
    """Nothing that others than the owner can read quotes a prompt or the key."""
    for where, text in run.said().items():
        at = text.find("canary")
        assert at < 0, f"{where} quotes: …{text[max(0, at - 300) : at + 100]}…"
