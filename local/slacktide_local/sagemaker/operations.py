"""The API's operations: one function for each, and the table of them.

Each takes the stand-in's parts and a request that fits its shape, and answers the response's members (times as epoch
seconds).
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from slacktide_local.sagemaker.account import FINAL, Account, Job, Model
from slacktide_local.sagemaker.errors import ApiError, validation
from slacktide_local.sagemaker.faults import Faults, Quota, format_quota
from slacktide_local.sagemaker.ledger import Ledger
from slacktide_local.sagemaker.objects import InputObject, Location, ObjectStore
from slacktide_local.sagemaker.rules import check_model, check_transform
from slacktide_local.sagemaker.runner import Runner
from slacktide_local.sagemaker.settings import Settings

Request = Mapping[str, Any]
Response = dict[str, Any]


@dataclass(frozen=True)
class StandIn:
    """The parts that the operations work on."""

    settings: Settings
    account: Account
    store: ObjectStore
    runner: Runner
    faults: Faults
    ledger: Ledger


async def create_model(stand_in: StandIn, request: Request) -> Response:
    """Keep the model; a name that exists is refused with ValidationException, as AWS does."""
    check_model(request)
    account, name = stand_in.account, request["ModelName"]
    arn = account.format_arn("model", name)
    if name in account.models:
        raise validation(f'Cannot create already existing model "{arn}".')
    account.models[name] = Model(request, arn)
    return {"ModelArn": arn}


async def describe_model(stand_in: StandIn, request: Request) -> Response:
    """The model as it was created."""
    model = stand_in.account.get_model(request["ModelName"])
    return {**model.request, "ModelArn": model.arn, "CreationTime": model.created}


async def delete_model(stand_in: StandIn, request: Request) -> Response:
    """Forget the model; jobs that were created with it go on."""
    model = stand_in.account.get_model(request["ModelName"])
    del stand_in.account.models[model.name]
    return {}


async def list_models(stand_in: StandIn, request: Request) -> Response:
    """The models, newest first unless the request says otherwise."""
    rows = [
        {"ModelName": each.name, "ModelArn": each.arn, "CreationTime": each.created} for each in stand_in.account.models.values()
    ]
    return _list_page(rows, request, field="Models", name="ModelName")


async def create_transform_job(stand_in: StandIn, request: Request) -> Response:
    """Check every rule, take the name, and let the job run.

    ResourceInUse for a name that was ever used, ResourceLimitExceeded for a scripted quota, ValidationException for
    the rest.
    """
    account, name = stand_in.account, request["TransformJobName"]
    account.refuse_taken_name(name)
    model = account.get_model(request["ModelName"])
    check_transform(request, model)
    resources = request["TransformResources"]
    if quota := stand_in.faults.take(Quota, name):
        message = format_quota(quota, instance_type=resources["InstanceType"], count=resources["InstanceCount"])
        raise ApiError("ResourceLimitExceeded", message)
    inputs = await _find_inputs(stand_in, request, model)
    account.refuse_taken_name(name)  # again: another request may have come while S3 was asked
    job = Job(request, account.format_arn("transform-job", name), model, inputs)
    account.jobs[name] = job
    stand_in.ledger.note_created(name)
    stand_in.runner.start(job)
    return {"TransformJobArn": job.arn}


async def _find_inputs(stand_in: StandIn, request: Request, model: Model) -> list[InputObject]:
    uri = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    source = Location.parse(uri)
    Location.parse(request["TransformOutput"]["S3OutputPath"])
    try:
        inputs = await asyncio.to_thread(stand_in.store.list_inputs, source)
    except ClientError:
        inputs = []
    if not inputs:
        raise validation(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists'
            f" in the selected region ({stand_in.settings.region}), that objects exist under that S3 prefix, and that"
            f' the role "{model.role}" has "s3:ListBucket" permissions on bucket "{source.bucket}".'
        )
    return inputs


async def describe_transform_job(stand_in: StandIn, request: Request) -> Response:
    """The job as it was asked for, and how far it is."""
    job = stand_in.account.get_job(request["TransformJobName"])
    known: Response = {
        **{name: value for name, value in job.request.items() if name != "Tags"},
        "TransformJobArn": job.arn,
        "TransformJobStatus": job.status,
        "CreationTime": job.created,
        "FailureReason": job.failure_reason,
        "TransformStartTime": job.started,
        "TransformEndTime": job.finished,
    }
    return {name: value for name, value in known.items() if value is not None}


async def stop_transform_job(stand_in: StandIn, request: Request) -> Response:
    """Stopping, and Stopped once its containers are gone. A job that ended is refused; a second stop changes
    nothing."""
    job = stand_in.account.get_job(request["TransformJobName"])
    if job.status in FINAL:
        raise validation(f"The request was rejected because the transform job is in status {job.status}.")
    job.status = "Stopping"
    job.stopping.set()
    return {}


async def list_transform_jobs(stand_in: StandIn, request: Request) -> Response:
    """Summaries of the jobs, newest first unless the request says otherwise."""
    rows = [_summarise(job) for job in stand_in.account.jobs.values() if request.get("StatusEquals") in (None, job.status)]
    return _list_page(rows, request, field="TransformJobSummaries", name="TransformJobName")


def _summarise(job: Job) -> Response:
    row: Response = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "CreationTime": job.created,
        "LastModifiedTime": job.finished or job.started or job.created,
        "TransformJobStatus": job.status,
        "TransformEndTime": job.finished,
        "FailureReason": job.failure_reason,
    }
    return {name: value for name, value in row.items() if value is not None}


def _list_page(rows: Iterable[Response], request: Request, *, field: str, name: str) -> Response:
    """One page: filtered by name and times, sorted (CreationTime, Descending), at most MaxResults (10), and a
    NextToken."""
    kept = [row for row in rows if request.get("NameContains", "") in row[name] and _is_in_time(row, request)]
    by = {"Name": name, "Status": "TransformJobStatus"}.get(request.get("SortBy", ""), "CreationTime")
    kept.sort(key=lambda row: row[by], reverse=request.get("SortOrder", "Descending") == "Descending")
    start = _read_token(request.get("NextToken"))
    end = start + request.get("MaxResults", 10)
    page: Response = {field: kept[start:end]}
    return page | {"NextToken": base64.b64encode(str(end).encode()).decode()} if end < len(kept) else page


def _is_in_time(row: Response, request: Request) -> bool:
    return all(
        row[field] >= request.get(f"{field}After", row[field]) and row[field] <= request.get(f"{field}Before", row[field])
        for field in ("CreationTime", "LastModifiedTime")
        if field in row
    )


def _read_token(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except ValueError as error:
        raise validation("NextToken is not one that this service gave out.") from error


Operation = Callable[[StandIn, Request], Awaitable[Response]]

OPERATIONS: Mapping[str, Operation] = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "DeleteModel": delete_model,
    "ListModels": list_models,
    "CreateTransformJob": create_transform_job,
    "DescribeTransformJob": describe_transform_job,
    "StopTransformJob": stop_transform_job,
    "ListTransformJobs": list_transform_jobs,
}
