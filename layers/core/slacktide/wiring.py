"""The one place where real clients are made and put together: once per container, on first use."""

import os
import time
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from slacktide.accounts import Ledger
from slacktide.assembly import Assembler
from slacktide.backends.api_keys import ApiKey
from slacktide.backends.dialects import OPENAI, TOGETHER, Dialect
from slacktide.backends.hosted import HostedBatches
from slacktide.backends.protocol import Backend
from slacktide.backends.sagemaker import SageMaker, TransformSettings
from slacktide.backends.upstream import Upstream
from slacktide.bucket import Bucket
from slacktide.cancelling import Canceller
from slacktide.clock import Clock
from slacktide.creation import Creator
from slacktide.dead_letters import DeadLetters
from slacktide.deliveries import Deliveries
from slacktide.executions import Executions
from slacktide.files import Files
from slacktide.following import Follower
from slacktide.intake import Intake
from slacktide.jobs import Jobs
from slacktide.limits import LimitRecords, Limits
from slacktide.model_tables import ModelTables
from slacktide.models import shipped_models
from slacktide.notifications import Announcer
from slacktide.planning import Planner
from slacktide.quotas import Pool, Quotas
from slacktide.records import Records
from slacktide.retrying import RetryInput
from slacktide.settings import Settings, read_settings
from slacktide.slots import Slots
from slacktide.sources import Sources
from slacktide.sweeping import Sweeper
from slacktide.tickets import Queues

# One call may take CONNECT + READ seconds and is tried TRIES times: together below every function's time-out.
CONNECT_SECONDS, READ_SECONDS, TRIES = 5, 20, 3
RESERVE_SECONDS = 30  # left to a step for its last calls when it stops to go on in another invocation
CONFIG = Config(
    connect_timeout=CONNECT_SECONDS,
    read_timeout=READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": TRIES},
)


def now() -> int:
    """Unix seconds."""
    return int(time.time())


def clock(context: Any) -> Clock:
    """The clock of one invocation; it is late when half its time, or all but the reserve, is over."""
    left = context.get_remaining_time_in_millis() / 1_000
    return Clock(now, time.time() + max(left / 2, left - RESERVE_SECONDS))


@cache
def settings() -> Settings:
    """The settings of this function. Raises SettingsError."""
    return read_settings(os.environ)


@cache
def _client(name: str) -> Any:
    return boto3.Session().client(name, config=CONFIG)  # pyright: ignore[reportCallIssue, reportArgumentType]


@cache
def bucket() -> Bucket:
    """The bucket."""
    return Bucket(boto3.client("s3", config=CONFIG.merge(Config(signature_version="s3v4"))), settings().bucket)


@cache
def records() -> Records:
    """The table of records."""
    resource: Any = boto3.resource("dynamodb", config=CONFIG)
    return Records(resource.Table(settings().table))


@cache
def backends() -> dict[str, Backend]:
    """The backend table: a row for each place where requests can run."""
    here = settings()
    models = frozenset(name.strip() for name in here.transform_models.split(",") if name.strip())
    transform = TransformSettings(
        stack=here.stack,
        image_uri=here.transform_image_uri,
        model_data_uri=here.transform_model_data_uri,
        models=models,
        role_arn=here.transform_role_arn,
        instance_type=here.transform_instance_type,
        instance_count=here.transform_instance_count,
        max_lines=here.transform_max_lines,
        invocation_timeout=here.transform_invocation_timeout,
    )
    return {
        "together": _hosted(TOGETHER, here.together_base_url, here.together_api_key_arn, here.together_job_requests),
        "openai": _hosted(OPENAI, here.openai_base_url, here.openai_api_key_arn, here.openai_job_requests),
        "sagemaker": SageMaker(_client("sagemaker"), bucket(), transform),
    }


def _hosted(dialect: Dialect, base_url: str, key_arn: str, job_requests: int) -> HostedBatches:
    key = ApiKey(lambda: _client("secretsmanager"), key_arn)
    return HostedBatches(dialect, Upstream(dialect.name, base_url, key), bucket(), job_requests)


@cache
def model_tables() -> ModelTables:
    """The model tables, seen through the backends that are there."""
    return ModelTables(bucket(), shipped_models(), backends())


@cache
def limits() -> Limits:
    """What the owners of batches may use."""
    return Limits(LimitRecords(records().table), settings())


@cache
def quotas() -> Quotas:
    """Quotas and budgets."""
    here = settings()
    pools = {
        "together": Pool(here.together_enqueued_tokens or None, here.together_concurrent_jobs or None),
        "openai": Pool(here.openai_enqueued_tokens or None, here.openai_concurrent_jobs or None),
        "sagemaker": Pool(None, here.transform_concurrent_jobs or None),
    }
    table = records().table
    return Quotas(Ledger(table), Queues(table), records(), pools, limits().of, here)


@cache
def slots() -> Slots:
    """Which batches may begin."""
    here, table = settings(), records().table
    return Slots(Ledger(table), Queues(table), records(), limits().of, here)


@cache
def executions() -> Executions:
    """The state machines."""
    return Executions(_client("stepfunctions"), settings().batch_state_machine, settings().job_state_machine)


@cache
def announcer() -> Announcer:
    """Events and `latest.json`."""
    return Announcer(_client("events"), settings().event_bus, bucket(), records(), now)


@cache
def files() -> Files:
    """The records of uploaded files."""
    return Files(records().table)


@cache
def creator() -> Creator:
    """Batches of uploaded files."""
    return Creator(records(), _client("sqs"), settings().input_queue_url, now)


@cache
def canceller() -> Canceller:
    """Who ends batches early."""
    return Canceller(records(), announcer(), now)


@cache
def deliveries() -> Deliveries:
    """For the function `validate`."""
    sources = Sources(bucket(), settings())
    retries = RetryInput(bucket(), records(), files(), sources)
    intake = Intake(bucket(), records(), sources, retries, announcer(), executions(), model_tables(), quotas(), settings(), now)
    return Deliveries(intake, canceller(), _client("sqs"), settings())


@cache
def planner() -> Planner:
    """For the function `plan`."""
    return Planner(bucket(), records(), executions(), announcer(), model_tables(), slots(), settings(), now)


@cache
def follower() -> Follower:
    """For the function `follow`."""
    return Follower(records(), executions(), announcer(), settings(), now)


@cache
def jobs() -> Jobs:
    """For the functions `submit`, `poll` and `collect`."""
    return Jobs(bucket(), records(), backends(), model_tables(), quotas(), settings())


@cache
def assembler() -> Assembler:
    """For the function `assemble`."""
    return Assembler(bucket(), records(), announcer(), settings(), now)


@cache
def dead_letters() -> DeadLetters:
    """For the function `dead_letter`."""
    return DeadLetters(bucket(), records(), _client("sqs"), settings().dead_letter_queue_url)


@cache
def sweeper() -> Sweeper:
    """For the function `sweep`."""
    return Sweeper(
        records(), files(), creator(), bucket(), executions(), announcer(), backends(), quotas(), slots(), settings(), now
    )
