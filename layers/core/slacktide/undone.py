"""Which lines of a batch are still to be run, and which of them a job has."""

from collections.abc import Iterable

from slacktide.batch import Batch, Job
from slacktide.bitmap import Bitmap
from slacktide.bucket import Bucket
from slacktide.statuses import JobState


def undone_lines(bucket: Bucket, batch: Batch, jobs: list[Job]) -> Bitmap:
    """The lines that are valid, that no job has finished for good, and that none may still be running."""
    undone = Bitmap.full(batch.total) - Bitmap(batch.total, bucket.read(batch.keys.invalid))
    for job in jobs:
        if job.state is JobState.SETTLED:
            undone -= Bitmap(batch.total, bucket.read(job.keys.settled))
    # The others are abandoned, or past their cut-off and not confirmed to have ended.
    return undone - lines_of_jobs(bucket, batch, [job for job in jobs if job.state is not JobState.SETTLED])


def tried_lines(bucket: Bucket, batch: Batch, group: str, jobs: list[Job], undone: Bitmap) -> list[tuple[int, Bitmap]]:
    """The undone lines of a group, by the steps of the route that they have had."""
    rest = members_of(bucket, batch, group) & undone
    tried: list[tuple[int, Bitmap]] = []
    own = [job for job in jobs if job.group == group]
    for number in sorted({job.round for job in own}, reverse=True):
        plan = max(job.plan for job in own if job.round == number)  # all jobs of a round are of one plan
        given = Bitmap(batch.total, bucket.read(batch.keys.undone(number, plan)))
        had = rest & given  # all jobs of a group in a round are of one step, and have all its lines of that round
        step = max(job.step for job in own if job.round == number)
        # Jobs of a former version know no steps: each of their rounds was one.
        rounds = len({job.round for job in own if job.round <= number})
        tried.append((max(step + 1, rounds), had))
        rest -= had
    return [*tried, (0, rest)]


def members_of(bucket: Bucket, batch: Batch, group: str) -> Bitmap:
    """The good lines of a group."""
    return Bitmap(batch.total, bucket.read(batch.keys.members(group)))


def lines_of_job(bucket: Bucket, batch: Batch, job: Job, members: Bitmap | None = None) -> Bitmap:
    """The lines that were given to a job; `members` are those of its group, if they are at hand."""
    return _planned_lines(bucket, batch, job, members).between(job.first, job.last)


def lines_of_jobs(bucket: Bucket, batch: Batch, jobs: Iterable[Job]) -> Bitmap:
    """The lines that were given to any of these jobs; what jobs of one round have in common is read once."""
    lines = Bitmap(batch.total)
    planned: dict[tuple[str, int, int], Bitmap] = {}
    for job in jobs:
        place = job.group, job.round, job.plan
        if place not in planned:
            planned[place] = _planned_lines(bucket, batch, job)
        lines |= planned[place].between(job.first, job.last)
    return lines


def _planned_lines(bucket: Bucket, batch: Batch, job: Job, members: Bitmap | None = None) -> Bitmap:
    """The lines of a job's group that its plan was for."""
    if members is None:
        members = members_of(bucket, batch, job.group)
    return members & Bitmap(batch.total, bucket.read(batch.keys.undone(job.round, job.plan)))
