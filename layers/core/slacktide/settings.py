"""The settings of the functions: every environment variable with its type and default, in one place."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from slacktide.errors import SettingsError

Seconds = Annotated[int, Meta(ge=0)]
Most = Annotated[int, Meta(ge=0)]  # 0: no limit
PREFIX = "SLACKTIDE_"


class Settings(msgspec.Struct, frozen=True):
    """What a function is told by `template.yaml`. The variable of a field is its name in capitals behind `SLACKTIDE_`."""

    bucket: str
    table: str
    event_bus: str
    stack: str = "slacktide"
    dead_letter_queue_url: str = ""
    input_queue_url: str = ""
    batch_state_machine: str = ""
    job_state_machine: str = ""
    function_timeout: Annotated[int, Meta(ge=1, le=900)] = 900
    window_shortest: Seconds = 3_600
    window_longest: Seconds = 604_800
    assembly_reserve: Seconds = 900
    wait_first: Annotated[int, Meta(ge=1)] = 15
    wait_longest: Annotated[int, Meta(ge=1)] = 360
    progress_interval: Seconds = 60
    settle_window: Seconds = 300  # how long a job whose creation has an unknown outcome is looked for before another is created
    fallback_time: Seconds = 7_200  # before the reserve: from then on the last backend of a route does what others left undone
    stuck_time: Annotated[int, Meta(ge=1)] = 14_400  # without progress, until the owner is told
    max_rounds: Annotated[int, Meta(ge=1, le=1_000)] = 10
    input_visibility: Seconds = 960  # when a message of the input queue comes again after its function died
    largest_input_megabytes: Annotated[int, Meta(ge=1)] = 10_000  # millions of bytes, decompressed
    largest_input_ratio: Annotated[int, Meta(ge=1)] = 1_000  # of what a compressed file holds to its own size
    allow_media_urls: bool = True
    receive_limit: int = 5  # receives of one message before the input queue gives it up
    file_endpoint_url: str = ""  # of S3, in presigned URLs; empty: that of the region
    api_requests_per_second: Seconds = 20  # of a key that has no rate of its own; 0: no limit
    together_base_url: str = "https://api.together.ai/v1"
    together_api_key_arn: str = ""  # of a secret; empty: that backend is off
    together_job_requests: Annotated[int, Meta(ge=1, le=50_000)] = 10_000  # Together recommends 1,000 to 10,000 in one batch
    together_enqueued_tokens: Most = 30_000_000_000  # of one model, at any time: docs.together.ai, "Batch inference", Rate limits
    together_concurrent_jobs: Most = 0
    openai_base_url: str = "https://api.openai.com/v1"
    openai_api_key_arn: str = ""
    openai_job_requests: Annotated[int, Meta(ge=1, le=50_000)] = 10_000
    openai_enqueued_tokens: Most = 0  # differs from account to account
    openai_concurrent_jobs: Most = 0
    transform_image_uri: str = ""
    transform_model_data_uri: str = ""
    transform_models: str = ""  # ids of the models whose weights are there, with commas between them
    transform_role_arn: str = ""
    transform_instance_type: str = "ml.g6.xlarge"
    transform_instance_count: Annotated[int, Meta(ge=1)] = 1
    transform_max_lines: Annotated[int, Meta(ge=1)] = 256
    transform_invocation_timeout: Annotated[int, Meta(ge=1, le=3600)] = 3_600
    transform_concurrent_jobs: Most = 0
    drop_concurrent_batches: Most = 0  # of the drop zone, whoever writes there
    drop_tokens_per_day: Most = 0
    drop_usd_per_month: Decimal = Decimal(0)

    @property
    def lease(self) -> int:
        """How long a piece of work stays with one invocation, in seconds: never shorter than the invocation may live."""
        return self.function_timeout + 15


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises SettingsError, which names every variable that is missing or bad."""
    given: dict[str, str] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(Settings):
        variable = PREFIX + field.name.upper()
        if environment.get(variable):
            given[field.name] = environment[variable]
            problems += _problem(variable, given[field.name], field.type)
        elif field.required:
            problems.append(f"{variable} is not set")
    if problems:
        raise SettingsError("; ".join(problems))
    return msgspec.convert(given, Settings, strict=False)


def _problem(variable: str, text: str, kind: type) -> list[str]:
    try:
        msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        return [f"{variable}: {error}"]
    return []
