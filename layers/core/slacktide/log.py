"""The log: constant messages with fields, `batch_id` on every record; never a prompt, a completion, a key or a presigned URL."""

from aws_lambda_powertools import Logger

logger = Logger(service="slacktide")
