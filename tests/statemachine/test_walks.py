"""The machines walked from start to end, with what the functions answer: each payload is read as a function reads it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slacktide.steps import Announcement, Gathering, Loop, Plan, Poll, Progress, StartJob, Step, Submission, grow
from template.document import Document, default, read_template

from .execution import MOST_EVENTS, Execution, StepFailedError
from .machine import called, read_contract, tasks

DAY = 86_400
BATCH: Document = {"v": 1, "batch_id": "batch_" + "a" * 26}
JOB: Document = {**BATCH, "job_id": "r1-j1", "attempt": 1}
SUBMITTED = Submission(done=True, outcome="submitted", wait_seconds=15)
WRITTEN = Submission(done=False, outcome="submitted", wait_seconds=0, cursor="written")
ENDED = Poll(done=True, resubmit=False, wait_seconds=0, progress=10)
RUNNING = Poll(done=False, resubmit=False, wait_seconds=22, progress=5)
DISPLACED = Poll(done=False, resubmit=True, wait_seconds=33, progress=0)
FULL = Submission(done=True, outcome="quota_full", wait_seconds=20, cursor="written")
REJECTED = Submission(done=True, outcome="rejected", wait_seconds=0)
NO_JOBS = Plan(has_jobs=False, jobs=[], wait_seconds=0)
TWO_JOBS = Plan(has_jobs=True, jobs=[StartJob("r1-j1", 1, "a.r1-j1.a1"), StartJob("r1-j2", 3, "a.r1-j2.a3")], wait_seconds=15)
DONE = Loop(done=True)
COLLECTED = Gathering(done=True)
MORE, LATER = Gathering(done=False, cursor="7"), Gathering(done=False, wait_seconds=40)
UNSETTLED = Submission(done=True, outcome="unsettled", wait_seconds=15, cursor="written")
HELD = Plan(has_jobs=False, jobs=[], wait_seconds=DAY, is_held=True)
SUBMISSION = ["Submit", "Input written?", "Submitted?"]
ENDING = ["Assemble", "Assembled?", "Dead-letter", "All sent?", "Announce", "Batch failed?"]


class Script:
    """Answers each function from a list of its own; the last answer is given again and again."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Iterator[Any]] = {name: _repeat_last(said) for name, said in answers.items()}
        self.steps: list[tuple[str, Step]] = []

    def __call__(self, function: str, step: Step) -> Any:
        name = function.removesuffix("Function")
        self.steps.append((name, step))
        said = next(self.answers[name])
        if isinstance(said, Exception):
            raise said
        return said

    def sent(self, name: str) -> list[Step]:
        return [step for function, step in self.steps if function == name]


def _repeat_last(said: Any) -> Iterator[Any]:
    said = said if isinstance(said, list) else [said]
    yield from said
    while True:
        yield said[-1]


def run_job(**answers: Any) -> tuple[Execution, Script, str]:
    script = Script(**{"Submit": SUBMITTED, "Poll": ENDED, "Collect": COLLECTED, **answers})
    execution = Execution(read_contract("job"), script, JOB)
    return execution, script, execution.run()


def run_batch(*, start: Callable[[Document], None] = lambda _: None, **answers: Any) -> tuple[Execution, Script, str]:
    told = {"Follow": Progress(settled=True, wait_seconds=15), "Announce": Announcement("completed")}
    script = Script(**{"Plan": NO_JOBS, "Assemble": DONE, "DeadLetter": DONE, **told, **answers})
    execution = Execution(read_contract("batch"), script, BATCH, start)
    return execution, script, execution.run()


def test_a_job_is_submitted_polled_and_collected() -> None:
    execution, script, end = run_job(Submit=[WRITTEN, SUBMITTED], Poll=[RUNNING, ENDED], Collect=[MORE, LATER, COLLECTED])
    assert end == "Job settled"
    waiting = ["Wait for results", "Poll", "Finished?"]
    collecting = ["Collect", "Collected?"]
    assert execution.visited == [
        "Begin",
        "Submit",
        "Input written?",
        *SUBMISSION,
        *waiting * 2,
        *[*collecting, "Wait for files"] * 2,
        *collecting,
        "Job settled",
    ]
    assert [step.cursor for step in script.sent("Submit")] == [None, "written"]
    assert [step.wait_seconds for step in script.sent("Poll")] == [15, 22]
    assert [step.cursor for step in script.sent("Collect")] == [None, "7", None]
    assert [step.wait_seconds for step in script.sent("Collect")] == [0, 0, 40]
    assert {(step.batch_id, step.job_id) for _, step in script.steps} == {(BATCH["batch_id"], "r1-j1")}
    assert execution.seconds == 15 + 22 + 40


def test_a_job_without_room_waits_and_is_not_written_again() -> None:
    execution, script, end = run_job(Submit=[WRITTEN, FULL, FULL, SUBMITTED])
    assert end == "Job settled"
    assert execution.visited.count("Wait for room") == 2
    assert [step.cursor for step in script.sent("Submit")] == [None, "written", "written", "written"]
    assert [step.wait_seconds for step in script.sent("Submit")] == [0, 0, 20, 20]


def test_a_job_that_may_exist_is_waited_for_and_not_written_again() -> None:
    execution, script, end = run_job(Submit=[WRITTEN, UNSETTLED, SUBMITTED])
    assert end == "Job settled"
    assert execution.visited.count("Wait for proof") == 1
    assert [(step.cursor, step.wait_seconds) for step in script.sent("Submit")] == [(None, 0), ("written", 0), ("written", 15)]


def test_a_batch_is_held_by_one_wait() -> None:
    execution, _, end = run_batch(Plan=[HELD, NO_JOBS])
    assert end == "Batch ended"
    assert execution.visited[:5] == ["Plan round", "Any jobs?", "Hold back", "Plan round", "Any jobs?"]
    assert execution.seconds == DAY


def test_a_rejected_job_is_collected_at_once() -> None:
    execution, _, end = run_job(Submit=REJECTED)
    assert end == "Job settled"
    assert execution.visited == ["Begin", *SUBMISSION, "Collect", "Collected?", "Job settled"]


def test_a_displaced_job_is_submitted_again_from_its_beginning() -> None:
    execution, script, end = run_job(Poll=[DISPLACED, ENDED])
    assert end == "Job settled"
    assert execution.visited.count("Wait for room") == 1
    assert [step.cursor for step in script.sent("Submit")] == [None, None]
    assert [step.wait_seconds for step in script.sent("Submit")] == [0, 33]


@pytest.mark.parametrize("function", ["Submit", "Poll", "Collect"])
def test_a_job_whose_step_fails_for_good_ends_red(function: str) -> None:
    assert run_job(**{function: StepFailedError()})[2] == "Job failed"


def test_a_batch_with_nothing_to_run_is_assembled() -> None:
    execution, script, end = run_batch()
    assert end == "Batch ended"
    assert execution.visited == ["Plan round", "Any jobs?", *ENDING, "Batch ended"]
    assert script.sent("Assemble") == [Step(BATCH["batch_id"])]


def test_a_batch_runs_round_after_round() -> None:
    started: list[Document] = []
    progress = [Progress(settled=False, wait_seconds=22), Progress(settled=True, wait_seconds=33)]
    execution, script, end = run_batch(start=started.append, Plan=[TWO_JOBS, NO_JOBS], Follow=progress)
    assert end == "Batch ended"
    assert [it["Name"] for it in started] == ["a.r1-j1.a1", "a.r1-j2.a3"]
    assert [it["Input"] for it in started] == [JOB, {**BATCH, "job_id": "r1-j2", "attempt": 3}]
    following = ["Wait", "Follow round", "Round settled?"]
    starting = ["Start jobs", "Start job", "Start job"]
    first = ["Plan round", "Any jobs?", *starting, *following * 2]
    assert execution.visited == [*first, "Plan round", "Any jobs?", *ENDING, "Batch ended"]
    assert [step.wait_seconds for step in script.sent("Follow")] == [15, 22]


def test_what_a_job_is_started_with_is_what_its_machine_reads() -> None:
    started: list[Document] = []
    run_batch(start=started.append, Plan=[TWO_JOBS, NO_JOBS])
    script = Script(Submit=SUBMITTED, Poll=ENDED, Collect=COLLECTED)
    assert Execution(read_contract("job"), script, started[1]["Input"]).run() == "Job settled"
    assert {step.job for _, step in script.steps} == {"r1-j2"}


def test_a_job_that_cannot_be_started_does_not_stop_the_others() -> None:
    started: list[Document] = []

    def start(arguments: Document) -> None:
        if arguments["Input"]["job_id"] == "r1-j1":
            raise StepFailedError
        started.append(arguments)

    execution, _, end = run_batch(start=start, Plan=[TWO_JOBS, NO_JOBS])
    assert end == "Batch ended"
    assert len(started) == 1
    assert "Job not started" in execution.visited


@pytest.mark.parametrize("function", ["Plan", "Follow"])
def test_a_batch_that_cannot_go_on_keeps_what_is_there_and_ends_red(function: str) -> None:
    answers: dict[str, Any] = {"Plan": TWO_JOBS, "Announce": Announcement("failed"), function: StepFailedError()}
    execution, script, end = run_batch(**answers)
    assert end == "Batch failed"
    assert "Give up" in execution.visited
    assert script.sent("Assemble") == [Step(BATCH["batch_id"], gave_up=True)]


@pytest.mark.parametrize("function", ["Assemble", "DeadLetter", "Announce"])
def test_a_batch_that_cannot_end_is_left_to_sweep(function: str) -> None:
    answers: dict[str, Any] = {function: StepFailedError()}
    assert run_batch(**answers)[2] == "Batch stuck"


def test_assembling_and_sending_go_on_where_they_stopped() -> None:
    """Each in its own turn, and none begins with the cursor of the one before."""
    more = [Loop(done=False, cursor="5"), DONE]
    _, script, end = run_batch(Assemble=more, DeadLetter=more)
    assert end == "Batch ended"
    assert [step.cursor for step in script.sent("Assemble")] == [None, "5"]
    assert [step.cursor for step in script.sent("DeadLetter")] == [None, "5"]


@pytest.mark.parametrize(
    ("status", "end"), [("completed", "ended"), ("expired", "ended"), ("cancelled", "ended"), ("failed", "failed")]
)
def test_only_a_failed_batch_is_a_failed_execution(status: str, end: str) -> None:
    assert run_batch(Announce=Announcement(status))[2] == f"Batch {end}"


@pytest.mark.parametrize("name", ["batch", "job"])
def test_the_walks_see_every_task(name: str) -> None:
    """No step of a machine is left out of the walks above: their scripts answer every function."""
    functions = {called(read_contract(name), state).removesuffix("Function") for _, state in tasks(read_contract(name))}
    script = (run_batch(Plan=[TWO_JOBS, NO_JOBS]) if name == "batch" else run_job())[1]
    assert {function for function, _ in script.steps} == functions


class Waiting:
    """What the functions answer while a job, or the wait for room, lasts for `window` seconds; the waits grow as they do."""

    def __init__(self, window: int, longest: int | None = None, *, room: bool = True) -> None:
        waits = (default(read_template(), {"Ref": name}) for name in ("FirstWaitSeconds", "LongestWaitSeconds"))
        self.first, self.longest = waits
        self.longest = longest or self.longest
        self.window, self.room = window, room
        self.turns = 0

    def __call__(self, function: str, step: Step) -> Any:
        self.turns += function in {"PollFunction", "FollowFunction"} or (not self.room and function == "SubmitFunction")
        over = self.execution.seconds >= self.window
        wait = self._grow(step.wait_seconds)
        answers: dict[str, Any] = {
            "SubmitFunction": self._submit(step, wait, over=over),
            "PollFunction": Poll(done=over, resubmit=False, wait_seconds=wait, progress=0),
            "CollectFunction": COLLECTED,
            "PlanFunction": NO_JOBS if over else Plan(has_jobs=True, jobs=[], wait_seconds=self.first),
            "FollowFunction": Progress(settled=over, wait_seconds=wait),
            "AssembleFunction": DONE,
            "DeadLetterFunction": DONE,
            "AnnounceFunction": Announcement("expired"),
        }
        return answers[function]

    def _submit(self, step: Step, wait: int, *, over: bool) -> Submission:
        if step.cursor is None:
            return WRITTEN
        if self.room:
            return Submission(done=True, outcome="submitted", wait_seconds=self.first)
        return REJECTED if over else Submission(done=True, outcome="quota_full", wait_seconds=wait, cursor="written")

    def _grow(self, wait_seconds: int) -> int:
        now = self.execution.seconds
        return grow(wait_seconds, first=self.first, longest=self.longest, ends=[self.window], now=now)

    def run(self, name: str) -> Execution:
        self.execution = Execution(read_contract(name), self, JOB if name == "job" else BATCH)
        self.execution.run()
        assert self.execution.seconds >= self.window
        return self.execution


@pytest.mark.parametrize("name", ["batch", "job"])
@pytest.mark.parametrize("days", [1, 7])
def test_the_history_holds_a_whole_window(name: str, days: int) -> None:
    assert Waiting(days * DAY).run(name).events < MOST_EVENTS


def test_the_history_holds_a_window_of_waiting_for_room() -> None:
    execution = Waiting(7 * DAY, room=False).run("job")
    assert "Wait for results" not in execution.visited
    assert execution.events < MOST_EVENTS


def test_a_turn_costs_nine_events_and_a_day_has_about_247() -> None:
    """What `grow` and the machines' comments say."""
    waiting = Waiting(DAY)
    events = waiting.run("job").events
    assert 243 <= waiting.turns <= 251
    assert 9 * waiting.turns < events < 9 * waiting.turns + 40
    assert "247 turns" in (grow.__doc__ or "")


def test_the_shortest_longest_wait_is_the_one_that_the_parameter_states() -> None:
    """Below it an execution cannot last 24 hours."""
    assert "Below 32 " in read_template()["Parameters"]["LongestWaitSeconds"]["Description"]
    assert Waiting(DAY, 32).run("batch").events < MOST_EVENTS
    assert Waiting(DAY, 31).run("batch").events > MOST_EVENTS
