"""The rules of CreateModel and CreateTransformJob that no shape expresses.

Two tables: what AWS refuses, and what AWS does but this stand-in does not. Each row is a function that raises
ValidationException.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slacktide_local.sagemaker.account import Model
from slacktide_local.sagemaker.errors import validation

# CreateTransformJob, MaxPayloadInMB: "cannot be greater than 100 MB", "The default value is 6 MB".
MAX_PAYLOAD_MB = 100
DEFAULT_PAYLOAD_MB = 6
# TransformResources, InstanceCount: "the maximum is 100".
MAX_INSTANCES = 100

Rule = Callable[[Mapping[str, Any], Model], None]


def check_model(request: Mapping[str, Any]) -> None:
    """Refuse a CreateModel request without a container that has an image."""
    primary, several = request.get("PrimaryContainer"), request.get("Containers", [])
    if bool(primary) == bool(several):
        raise validation("Name either PrimaryContainer or Containers, and not both.")
    if len(several) > 1:
        raise _not_done("inference pipelines (more than one of Containers)", "name one PrimaryContainer")
    container = primary or several[0]
    if not container.get("Image"):
        raise validation("The container has no Image.")
    if not request.get("ExecutionRoleArn"):
        raise validation("ExecutionRoleArn is missing: SageMaker reads S3 and the image with this role.")


def check_transform(request: Mapping[str, Any], model: Model) -> None:
    """Refuse a CreateTransformJob request that breaks a rule of AWS's, or asks for what the stand-in does not do."""
    for rule in (*_AWS_RULES, *_STAND_IN_LIMITS):
        rule(request, model)


def check_payload_product(max_concurrent: int, max_payload_mb: int) -> None:
    """Refuse `MaxConcurrentTransforms * MaxPayloadInMB` over 100 MB (CreateTransformJob, MaxPayloadInMB)."""
    product = max_concurrent * max_payload_mb
    if product > MAX_PAYLOAD_MB:
        raise validation(
            f"MaxConcurrentTransforms * MaxPayloadInMB = {max_concurrent} * {max_payload_mb} = {product} cannot exceed"
            f" {MAX_PAYLOAD_MB} MB. Lower one of them."
        )


def _check_payload(request: Mapping[str, Any], _model: Model) -> None:
    size = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)
    if size > MAX_PAYLOAD_MB:
        raise validation(f"MaxPayloadInMB is {size}; it cannot be greater than {MAX_PAYLOAD_MB} MB.")


def _check_product(request: Mapping[str, Any], _model: Model) -> None:
    if concurrent := request.get("MaxConcurrentTransforms"):
        check_payload_product(concurrent, request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB))


def _check_instances(request: Mapping[str, Any], _model: Model) -> None:
    if (count := request["TransformResources"]["InstanceCount"]) > MAX_INSTANCES:
        raise validation(f"InstanceCount is {count}; the maximum is {MAX_INSTANCES}.")


def _check_weights(_request: Mapping[str, Any], model: Model) -> None:
    if any("ModelDataSource" in container or "AdditionalModelDataSources" in container for container in model.containers):
        raise validation(
            "SageMaker Batch currently doesn't support Model entity with container definitions which use"
            f" ModelDataSource attribute (model {model.name}). Use ModelDataUrl, or let the container load its weights."
        )


def _check_strategy(request: Mapping[str, Any], _model: Model) -> None:
    if "BatchStrategy" in request:
        raise validation("BatchStrategy needs SplitType Line, RecordIO or TFRecord; leave it out to send whole objects.")


def _not_done(what: str, instead: str) -> Exception:
    return validation(f"The local SageMaker stand-in does not do {what}: {instead}.")


def _limit(what: str, instead: str, *, asks: Callable[[Mapping[str, Any]], bool]) -> Rule:
    def rule(request: Mapping[str, Any], _model: Model) -> None:
        if asks(request):
            raise _not_done(what, instead)

    return rule


def _other_than(*path: str, plain: str | None) -> Callable[[Mapping[str, Any]], bool]:
    def asks(request: Mapping[str, Any]) -> bool:
        value: Any = request
        for step in path:
            value = value.get(step, {})
        return bool(value) and value != plain

    return asks


_AWS_RULES: Iterable[Rule] = (_check_payload, _check_product, _check_instances, _check_weights)
_SOURCE = ("TransformInput", "DataSource", "S3DataSource", "S3DataType")
_STAND_IN_LIMITS: Iterable[Rule] = (
    _limit("S3DataType other than S3Prefix", "name a key prefix", asks=_other_than(*_SOURCE, plain="S3Prefix")),
    _limit(
        "SplitType other than None",
        "put what is to be one payload into one object",
        asks=_other_than("TransformInput", "SplitType", plain="None"),
    ),
    _limit(
        "CompressionType Gzip",
        "write the objects uncompressed",
        asks=_other_than("TransformInput", "CompressionType", plain="None"),
    ),
    _limit(
        "AssembleWith Line",
        "leave it out, each object is one record",
        asks=_other_than("TransformOutput", "AssembleWith", plain="None"),
    ),
    _limit("MaxPayloadInMB 0 (chunked encoding)", "name a size", asks=lambda request: request.get("MaxPayloadInMB") == 0),
    _limit("DataProcessing", "leave it out", asks=_other_than("DataProcessing", plain=None)),
    _limit("DataCaptureConfig", "leave it out", asks=_other_than("DataCaptureConfig", plain=None)),
    _check_strategy,
)
