"""The log: constant messages with fields, `batch_id` on every record; never a prompt, a completion, a key or a presigned URL."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

logger = Logger(service="slacktide")


def count(name: str, stack: str, value: int = 1) -> None:
    """Count something as a CloudWatch metric: a line of the log in the embedded metric format."""
    with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace="Slacktide") as metric:
        metric.add_dimension("stack", stack)
