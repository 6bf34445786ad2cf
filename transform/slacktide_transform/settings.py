"""Every setting of the container: its environment variable, type, bounds and default."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MODEL_DIRECTORY = "/opt/ml/model"  # where SageMaker unpacks ModelDataUrl
LARGEST_PAYLOADS_MB = 100  # MaxPayloadInMB x MaxConcurrentTransforms, SageMaker's CreateTransformJob

Name = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
S3Uri = Annotated[str, Meta(pattern=r"^s3://[^/]+/.+|^$")]


class SettingsError(Exception):
    """The environment does not describe a container that can run; the message names every variable at fault."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The container's settings; each field is read from the variable of the same name in upper case.

    SageMaker merges the environment of the model with that of the job, and the job wins (CreateTransformJob).
    """

    model_id: Name  # the name that requests carry to the engine, in place of the line's own `model`
    transform_host: Name = "0.0.0.0"  # noqa: S104 - SageMaker reaches the container over its network interface
    transform_port: Port = 8080

    invocation_timeout_seconds: Annotated[int, Meta(ge=1, le=3600)] = 600
    max_in_flight: Annotated[int, Meta(ge=1, le=4096)] = 256  # over all payloads of this container
    max_concurrent_payloads: Annotated[int, Meta(ge=1, le=100)] = 4
    max_payload_mb: Annotated[int, Meta(ge=1, le=100)] = 25

    engine_command: str = ""  # empty: vLLM, built from the settings below; {port} and {model} are filled in
    engine_arguments: str = ""  # more arguments for vLLM, e.g. --max-model-len 8192 --tensor-parallel-size 4
    engine_starts: Annotated[int, Meta(ge=1, le=100)] = 3  # starts in a row that never get healthy, then the job fails
    engine_start_seconds: Seconds = 1200.0  # for one start; SageMaker itself gives up after about 30 minutes
    engine_backoff_seconds: Seconds = 1.0  # before the first restart; doubles up to a minute
    engine_wait_seconds: Seconds = 300.0  # how long a payload waits for a restarting engine before its 503
    engine_logs: Literal["startup", "all"] = "startup"  # "all" may put prompts into the log

    model_weights_uri: S3Uri = ""  # empty: MODEL_DIRECTORY
    allowed_media_domains: str = ""  # comma-separated hosts whose media URLs the engine may fetch; empty: none

    @property
    def payload_seconds(self) -> float:
        """The container's own deadline for a payload: a tenth, at most 30 s, below the invocation time-out."""
        return self.invocation_timeout_seconds - min(30.0, self.invocation_timeout_seconds / 10)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises SettingsError, which names every variable that is missing or out of bounds, with the reason.
    """
    values: dict[str, object] = {}
    faults: list[str] = []
    for field in msgspec.structs.fields(Settings):
        variable = field.name.upper()
        text = environment.get(variable)
        if text is None:
            if field.required:
                faults.append(f"{variable} is missing: set it in the model's or the transform job's Environment")
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError as fault:
            faults.append(f"{variable}={text!r}: {fault}")
    if not faults:
        settings = Settings(**values)  # pyright: ignore[reportArgumentType] - each value was converted to its field's type
        faults = _conflicts(settings)
        if not faults:
            return settings
    raise SettingsError("; ".join(faults))


def _conflicts(settings: Settings) -> list[str]:
    faults: list[str] = []
    if settings.max_concurrent_payloads * settings.max_payload_mb > LARGEST_PAYLOADS_MB:
        faults.append(
            f"MAX_CONCURRENT_PAYLOADS x MAX_PAYLOAD_MB is {settings.max_concurrent_payloads} x "
            f"{settings.max_payload_mb}: SageMaker allows at most {LARGEST_PAYLOADS_MB} MB together"
        )
    seconds = (settings.engine_start_seconds, settings.engine_backoff_seconds, settings.engine_wait_seconds)
    if not all(map(math.isfinite, seconds)):
        faults.append("ENGINE_START_SECONDS, ENGINE_BACKOFF_SECONDS and ENGINE_WAIT_SECONDS must be finite numbers")
    return faults
