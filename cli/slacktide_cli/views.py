"""How a batch is shown while it runs: a live bar on a terminal, one plain line for each change elsewhere."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from slacktide.statuses import BatchStatus
from slacktide_cli.documents import Counts, Wait
from slacktide_cli.documents import Progress as JobsProgress

_STATUS_STYLES = {"completed": "green", "failed": "red", "expired": "red", "cancelled": "yellow"}


class Shown(Protocol):
    """What is shown of a batch, wherever it was read."""

    @property
    def batch_id(self) -> str: ...

    @property
    def status(self) -> BatchStatus: ...

    @property
    def counts(self) -> Counts: ...

    @property
    def progress(self) -> JobsProgress: ...

    @property
    def waiting(self) -> Wait | None: ...


class View(Protocol):
    """Shows a batch each time it has changed."""

    def show(self, batch: Shown) -> None:
        """Show the batch as it is now."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class PlainView:
    """One line for each change, without control codes: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def show(self, batch: Shown) -> None:
        """Print the batch's line, unless it is the one before again."""
        line = f"{batch.batch_id} {batch.status} {_count(batch)}{_describe_jobs(batch)}{_describe_wait(batch)}"
        if line != self._last:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._last = line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave what was printed."""


class LiveView:
    """A bar with counts and status, and a row for each job of the round, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.fields[status]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID = self._bar.add_task("batch", total=None, status="dropped", failed="")
        self._live = Live(self._bar, console=console, refresh_per_second=8)

    def show(self, batch: Shown) -> None:
        """Redraw the bar and the jobs."""
        style = _STATUS_STYLES.get(batch.status, "cyan")
        self._bar.update(
            self._task,
            total=batch.counts.total or None,
            completed=batch.counts.completed + batch.counts.failed,
            status=f"[{style}]{batch.status:<11}[/]",
            failed=f"[red]{batch.counts.failed} errors[/]" if batch.counts.failed else "",
        )
        grid = Table.grid()
        grid.add_row(self._bar)
        for job in () if batch.status.is_final else batch.progress.jobs:
            text = f"  {job.job_id} {job.backend} {job.model} {job.state} {job.completed}/{job.total}"
            grid.add_row(Text(text, style="dim"))
        if wait := _describe_wait(batch).removeprefix("; "):
            grid.add_row(Text(f"  {wait}", style="yellow"))
        self._live.update(grid, refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()


def choose_view(console: Console) -> View:
    """Return the live view for a terminal, the plain one for everything else."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def _count(batch: Shown) -> str:
    counts = batch.counts
    return f"{counts.completed}/{counts.total} done, {counts.failed} failed"


def _describe_jobs(batch: Shown) -> str:
    jobs = () if batch.status.is_final else batch.progress.jobs
    return "".join(f"; {job.job_id} {job.backend} {job.state} {job.completed}/{job.total}" for job in jobs)


def _describe_wait(batch: Shown) -> str:
    return f"; {batch.waiting}" if batch.waiting and not batch.status.is_final else ""
