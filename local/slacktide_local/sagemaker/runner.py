"""The life of one transform job: machines, containers, payloads, outputs, and its one final status."""

import asyncio
import logging
import shutil
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from slacktide_local.sagemaker.account import Job, JobStatus
from slacktide_local.sagemaker.container import Container
from slacktide_local.sagemaker.errors import ApiError, JobFailed
from slacktide_local.sagemaker.faults import Capacity, Faults, Stall
from slacktide_local.sagemaker.invocation import Invocation
from slacktide_local.sagemaker.ledger import ContainerStart, Ledger
from slacktide_local.sagemaker.objects import InputObject, ObjectStore, name_output
from slacktide_local.sagemaker.rules import DEFAULT_PAYLOAD_MB, check_payload_product
from slacktide_local.sagemaker.settings import Settings

log = logging.getLogger(__name__)

MB = 1024 * 1024
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """How payloads go to one container: how many at once, and how big each may be."""

    max_concurrent: int
    max_payload_mb: int


@dataclass
class Fleet:
    """What a running job holds: its containers, one for each instance, and the outputs that are being written."""

    folder: Path
    containers: list[Container] = field(default_factory=list[Container])
    writes: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])


class Runner:
    """Runs jobs, each in a task of its own."""

    def __init__(
        self, *, settings: Settings, store: ObjectStore, ledger: Ledger, faults: Faults, session: aiohttp.ClientSession
    ) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._faults = faults
        self._session = session
        self._tasks: set[asyncio.Task[None]] = set()
        self.fleets: dict[str, Fleet] = {}

    def start(self, job: Job) -> None:
        """Let the job run; its status says how it goes."""
        task = asyncio.create_task(self._run(job), name=job.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, jobs: list[Job]) -> None:
        """Stop all jobs, and wait until nothing of them runs."""
        for job in jobs:
            job.stopping.set()
        await asyncio.gather(*self._tasks)

    async def _run(self, job: Job) -> None:
        """Work until it is done or StopTransformJob was called, clean up, and only then take the final status."""
        fleet = self.fleets[job.name] = Fleet(self._settings.work_dir / job.name)
        work = asyncio.create_task(self._work(job, fleet))
        stop = asyncio.create_task(job.stopping.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        work.cancel()  # without effect on work that is done
        status, reason = await _settle(work)
        await self._clean(fleet)
        del self.fleets[job.name]
        if job.stopping.is_set():
            status, reason = "Stopped", None
        job.end(status, reason)
        log.info("transform job ended", extra={"job": job.name, "status": status, "reason": reason})

    async def _clean(self, fleet: Fleet) -> None:
        # An upload in a thread cannot be taken back: it belongs to a finished object, and is over before the job is.
        await asyncio.gather(*fleet.writes, return_exceptions=True)
        await asyncio.gather(*(container.end(grace=self._settings.stop_grace) for container in fleet.containers))
        await asyncio.to_thread(shutil.rmtree, fleet.folder, ignore_errors=True)

    async def _work(self, job: Job, fleet: Fleet) -> None:
        if fault := self._faults.take(Capacity, job.name):
            await asyncio.sleep(fault.delay_seconds)
            raise JobFailed(fault.reason)
        if self._faults.take(Stall, job.name):
            await job.released.wait()
        fleet.folder.mkdir(parents=True, exist_ok=True)
        for instance in range(job.instance_count):
            fleet.containers.append(await self._start_container(job, fleet, instance))
        limits = {"seconds": self._settings.health_timeout, "ping_seconds": self._settings.ping_timeout}
        await run_together(container.wait_healthy(**limits) for container in fleet.containers)
        job.started = time.time()
        # Objects are spread over the instances by key, and an object stays on one (developer guide, "Batch transform").
        shares = [job.inputs[instance :: job.instance_count] for instance in range(job.instance_count)]
        serving = (self._serve(job, fleet, instance, share) for instance, share in enumerate(shares) if share)
        if failures := [failure for failures in await run_together(serving) for failure in failures]:
            raise JobFailed(failures[0])

    async def _start_container(self, job: Job, fleet: Fleet, instance: int) -> Container:
        environment = {**self._settings.container_environment, **_describe_batch(job), **job.environment}
        container = await Container.start(
            self._settings.container_command,
            environment=environment,
            folder=fleet.folder,
            log=self._settings.work_dir / f"{job.name}-{instance}.log",
            session=self._session,
        )
        self._ledger.note_start(ContainerStart(job.name, instance, container.pid))
        return container

    async def _serve(self, job: Job, fleet: Fleet, instance: int, share: list[InputObject]) -> list[str]:
        """Send an instance its objects, `max_concurrent` at a time; the reasons of those that failed."""
        container = fleet.containers[instance]
        limits = await _find_limits(job, container)
        invocation = Invocation(
            job=job.name,
            instance=instance,
            container=container,
            headers=job.headers,
            timeout=job.invocation_timeout,
            max_retries=job.max_retries,
            retry_delay=self._settings.retry_delay,
            ledger=self._ledger,
        )
        waiting = iter(share)  # shared by the lanes below: each takes the next object when it is free

        async def drain() -> list[str]:
            outcomes = [await self._transform(job, fleet, item, invocation, limits) for item in waiting]
            return [failure for failure in outcomes if failure]

        lanes = (drain() for _ in range(min(limits.max_concurrent, len(share))))
        return [failure for failures in await run_together(lanes) for failure in failures]

    async def _transform(self, job: Job, fleet: Fleet, item: InputObject, invocation: Invocation, limits: Limits) -> str | None:
        """One object: read, sent, answered, written; or nothing written, and the reason returned."""
        if item.size > limits.max_payload_mb * MB:
            return f"ClientError: {item.key} has {item.size} bytes, over MaxPayloadInMB {limits.max_payload_mb}"
        try:
            payload = await asyncio.to_thread(self._store.read, job.source.bucket, item.key)
            body = await invocation.send(item.key, payload)
            if body is None:
                return "AlgorithmError: See job logs for more information"
            key = name_output(item.key, source=job.source, target=job.target)
            write = asyncio.create_task(asyncio.to_thread(self._store.write, job.target.bucket, key, body))
            fleet.writes.add(write)
            await asyncio.shield(write)
        except (ClientError, BotoCoreError) as error:
            return f"ClientError: S3 refused {item.key}: {type(error).__name__}"
        return None


async def run_together(works: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all works, side by side; the first that fails ends the others, and its exception is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except* Exception as failed:
        first = failed.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first


async def _settle(work: asyncio.Task[None]) -> tuple[JobStatus, str | None]:
    """The status that finished (or cancelled) work leads to, and the FailureReason."""
    try:
        await work
    except JobFailed as failure:
        return "Failed", str(failure)
    except asyncio.CancelledError:
        return "Stopped", None
    except Exception:
        # A fault of the stand-in itself: the job must end all the same, in the words AWS uses for its own faults.
        log.exception("stand-in broke while it ran a job")
        return "Failed", "InternalServerError: We encountered an internal error. Please try again."
    return "Completed", None


async def _find_limits(job: Job, container: Container) -> Limits:
    """The job's own figures; for what it leaves out `/execution-parameters`, and then 1 at a time and 6 MB.

    Source: CreateTransformJob, MaxConcurrentTransforms ("set to 0 or left unset") and MaxPayloadInMB.
    """
    concurrent, size = job.request.get("MaxConcurrentTransforms"), job.request.get("MaxPayloadInMB")
    offered = {} if concurrent and size else await container.read_parameters()
    limits = Limits(
        int(concurrent or offered.get("MaxConcurrentTransforms") or 1),
        int(size or offered.get("MaxPayloadInMB") or DEFAULT_PAYLOAD_MB),
    )
    try:
        check_payload_product(limits.max_concurrent, limits.max_payload_mb)
    except ApiError as error:
        raise JobFailed(f"ClientError: /execution-parameters: {error.message}") from error
    return limits


def _describe_batch(job: Job) -> dict[str, str]:
    """The variables that SageMaker adds itself ("How SageMaker AI Runs Your Inference Image")."""
    named = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": job.request.get("MaxPayloadInMB"),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": job.request.get("MaxConcurrentTransforms"),
    }
    return {name: str(value) for name, value in named.items() if value}
