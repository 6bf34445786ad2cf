"""The hosted Batch APIs: Together's, and that of OpenAI, which many servers speak. They differ in a row of `dialects.py` alone.

A create has no idempotency key, so a job is proven by listing: whoever calls `submit` has written down that he is going to, and
after an unknown outcome asks `find` until the settle window is over (docs/architecture.md).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from slacktide.backends.dialects import Dialect, UpstreamJob, read_job, read_page
from slacktide.backends.fetching import Fetch
from slacktide.backends.protocol import (
    Displaced,
    Ended,
    Found,
    Full,
    Limits,
    Missing,
    Rejected,
    Results,
    Running,
    Submitted,
    Unknown,
    Unseen,
    Uploaded,
    Work,
)
from slacktide.backends.spool import Spool
from slacktide.backends.uploading import REASONS, SHORT_WAIT, Uploader
from slacktide.backends.upstream import ASK, CREATE, Answer, Upstream
from slacktide.bucket import Bucket
from slacktide.errors import ApiKeyError, BackendError, NoAnswerError, NotSentError
from slacktide.models import Model
from slacktide.statuses import BatchStatus

OBJECT_LINES, OBJECT_BYTES = 10_000, 8_000_000  # of objects of input; there are none here
MOST_PAGES = 1_000  # of the list of batches, 100 on each
# A refusal that leaves open whether there is a job: a gateway's time-out, and "conflict", which can mean that it exists already.
_UNCLEAR = frozenset({408, 409})
_ENDS = {
    BatchStatus.COMPLETED: None,
    BatchStatus.FAILED: "reports that the batch failed.",
    BatchStatus.EXPIRED: "did not finish the batch in its own time.",
    BatchStatus.CANCELLED: "has cancelled the batch.",
}


@dataclass(frozen=True, slots=True)
class HostedBatches:
    """A backend of one dialect; off without the ARN of a key. `job_requests` is how many requests are put into one job."""

    dialect: Dialect
    upstream: Upstream
    bucket: Bucket
    job_requests: int
    now: Callable[[], float] = field(default=time.time, repr=False)  # Unix seconds

    @property
    def limits(self) -> Limits:
        """The documented limits of one batch, and fewer requests where the settings say so."""
        requests = min(self.job_requests, self.dialect.most_requests)
        return Limits(OBJECT_LINES, OBJECT_BYTES, job_requests=requests, job_bytes=self.dialect.most_bytes)

    @property
    def proves_by_listing(self) -> bool:
        """A create takes no idempotency key."""
        return True

    def upstream_model(self, model: Model) -> str | None:
        """A model runs here when there is a key, and the table says that it is run in batches here."""
        upstream = model.upstream(self.dialect.name)
        return upstream.id if upstream and upstream.batchable and self.upstream.key.arn else None

    def upload(self, work: Work, content: Spool) -> Uploaded | Full | Rejected:
        """Bring the input there as one file."""
        if not 0 < content.size <= self.dialect.most_bytes:
            return Rejected(f"The job's input has {content.size} bytes; {self._title} takes up to {self.dialect.most_bytes}.")
        try:
            return Uploader(self.upstream, self.dialect).upload(work.name, content)
        except ApiKeyError as error:
            return Rejected(str(error))
        except BackendError as error:
            return Full(str(error))

    def submit(self, work: Work) -> Submitted | Full | Unseen | Rejected | Unknown:
        """Create the batch by one POST."""
        if work.file_id is None:
            raise BackendError("a job without uploaded input cannot be created")
        content = {"input_file_id": work.file_id, "endpoint": work.endpoint, "completion_window": "24h"}
        try:
            answer = self.upstream.call("POST", "/batches", "create", CREATE, json=content)
        except ApiKeyError as error:
            return Rejected(str(error))
        except NotSentError as error:
            return Full(str(error))
        except NoAnswerError as error:
            return Unknown(str(error))
        if answer.status == 404:
            return self._unseen(work.file_id)
        return self._created(answer) if answer.is_good else self._refused(answer)

    def find(self, work: Work) -> list[Found]:
        """The whole list of batches, for those of the work's file. That there is none is said only by the account of the file."""
        jobs = [job for job in self._list() if job.input_file_id == work.file_id]
        if not jobs:
            self._prove_account(work)
        jobs.sort(key=lambda job: float("inf") if job.created_at is None else job.created_at)
        return [Found(job.id or "", job.created_at or 0.0, _has_ended(job)) for job in jobs]

    def poll(self, work: Work) -> Running | Ended | Displaced | Missing:
        """The batch's status. Whatever is no clear word of an end is Running: the machine asks again."""
        try:
            answer = self.upstream.call("GET", f"/batches/{work.upstream_id}", "poll", ASK)
        except BackendError:
            return Running(None)
        if answer.status in {404, 410}:
            return Missing()
        job = read_job(self.dialect, answer.json()) if answer.is_good else None
        if job is None or job.status is None or job.id not in {None, work.upstream_id}:
            return Running(None)
        if not job.status.is_final:
            return Running(job.share)
        if job.lacked_room and not job.claims_results and job.output_file_id is None and job.error_file_id is None:
            return Displaced(f"The queue of {self._title} for this model is full.")
        words = _ENDS[job.status]
        return Ended(words and f"{self._title} {words}")

    def cancel(self, work: Work) -> bool:
        """Ask the batch to stop. False also when it could not be asked: whoever needs it stopped asks again.

        Without upstream id: all batches of the work's file; then True says that the list shows none that is alive now.
        """
        try:
            if work.upstream_id is not None:
                return self._stop(work, work.upstream_id)
            live = [found for found in self.find(work) if not found.has_ended] if work.file_id else []
            stopped = [self._stop(work, found.upstream_id) for found in live]  # each is asked, whatever the others answer
            return all(stopped)
        except BackendError:
            return False

    def results(self, work: Work, is_late: Callable[[], bool]) -> AbstractContextManager[Iterator[Results] | None]:
        """Both files of results, whatever the final status. Where there is no batch there are none."""
        upstream_id = work.upstream_id
        if upstream_id is None:
            return nullcontext(iter(()))
        return Fetch(self.upstream, self.bucket, work, is_late, self.now).run(lambda: self._ended_job(work, upstream_id))

    @property
    def _title(self) -> str:
        return self.dialect.title

    def _created(self, answer: Answer) -> Submitted | Unknown:
        job = read_job(self.dialect, answer.json())
        if job is None or job.id is None:
            return Unknown(f"{self._title} answered the create with something unreadable (HTTP {answer.status}).")
        return Submitted(job.id)

    def _refused(self, answer: Answer) -> Full | Rejected | Unknown:
        """A 4xx says that there is no job, but for those in _UNCLEAR; after anything else there may be one."""
        status = answer.status
        if not 400 <= status < 500 or status in _UNCLEAR:
            return Unknown(f"{self._title} answered the create with HTTP {status}.")
        if answer.may_pass:
            return Full(f"{self._title} takes no job now (HTTP {status}).", answer.wait_seconds)
        return Rejected(f"{self._title} refused the job (HTTP {status}){REASONS.get(status, '.')}")

    def _unseen(self, file_id: str) -> Full | Unseen:
        """A create answered 404: the file is not seen yet, or not there any more, which a look at the file itself tells."""
        if self._looks_gone(file_id):
            return Unseen(f"{self._title} does not have the uploaded file.", SHORT_WAIT)
        return Full(f"{self._title} does not see the uploaded file yet.", SHORT_WAIT)

    def _looks_gone(self, file_id: str) -> bool:
        """Whether the upstream says that it does not have a file."""
        try:
            return self.upstream.call("GET", f"/files/{file_id}", "look at file", ASK).status in {404, 410}
        except BackendError:
            return False

    def _prove_account(self, work: Work) -> None:
        """Raise BackendError unless the job's input is shown. A key that was changed for one of another account shows neither it
        nor its batch, which may run there: what such a key does not see proves nothing.
        """
        answer = self.upstream.call("GET", f"/files/{work.file_id}", "look at file", ASK)
        if not answer.is_good:
            raise BackendError(f"{self._title} shows neither the batch nor its input (HTTP {answer.status}): is it its account?")

    def _list(self) -> Iterator[UpstreamJob]:
        """All batches. Raises BackendError when the list is not had whole: an incomplete one would be a wrong proof."""
        parameters = dict(self.dialect.list_parameters)
        for _ in range(MOST_PAGES):
            answer = self.upstream.call("GET", "/batches", "list", params=parameters)
            page = read_page(self.dialect, answer.json()) if answer.is_good else None
            if page is None:
                raise BackendError(f"{self._title} does not list its batches (HTTP {answer.status})")
            yield from page.jobs
            if page.after is None:
                return
            if parameters.get("after") == page.after:
                break
            parameters["after"] = page.after
        raise BackendError(f"the list of batches of {self._title} does not end")

    def _stop(self, work: Work, upstream_id: str) -> bool:
        """Ask one batch to stop; True when it has ended. A conflict says that it has, or is about to: its status tells."""
        answer = self.upstream.call("POST", f"/batches/{upstream_id}/cancel", "cancel", ASK)
        if answer.status in {400, 409}:
            answer = self.upstream.call("GET", f"/batches/{upstream_id}", "poll", ASK)
        if answer.status in {404, 410}:  # one such answer is no proof; the list is a second witness
            listed = self._listed(work, upstream_id)
            return listed is None or _has_ended(listed)
        job = read_job(self.dialect, answer.json()) if answer.is_good else None
        return job is not None and job.id in {None, upstream_id} and _has_ended(job)

    def _ended_job(self, work: Work, upstream_id: str) -> UpstreamJob | None:
        """The batch with its files; None when the upstream does not know it any more, by its list either.

        Raises BackendError when that is not clear.
        """
        answer = self.upstream.call("GET", f"/batches/{upstream_id}", "read results")
        if answer.status in {404, 410}:
            job = self._listed(work, upstream_id)
            if job is None:
                return None
        else:
            job = read_job(self.dialect, answer.json()) if answer.is_good else None
        if job is None or not _has_ended(job):
            raise BackendError(f"{self._title} does not show the ended batch (HTTP {answer.status})")
        return job

    def _listed(self, work: Work, upstream_id: str) -> UpstreamJob | None:
        """A batch of the work by the list; None when it is not there. Raises BackendError when that would prove nothing."""
        job = next((job for job in self._list() if job.id == upstream_id), None)
        if job is None:
            self._prove_account(work)
        return job


def _has_ended(job: UpstreamJob) -> bool:
    return job.status is not None and job.status.is_final
