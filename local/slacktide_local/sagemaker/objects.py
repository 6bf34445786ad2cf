"""The stand-in's S3: list a prefix, read an object, write an output. Blocking, so callers run it in a thread."""

from dataclasses import dataclass
from typing import Any, Self

import boto3
from botocore.config import Config

from slacktide_local.sagemaker.errors import validation


@dataclass(frozen=True)
class Location:
    """A bucket and a key name prefix."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """`s3://bucket/prefix`, or ValidationException."""
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise validation(f"'{uri}' is not an S3 URI that this stand-in reads; write s3://bucket/prefix.")
        return cls(bucket, prefix)


@dataclass(frozen=True)
class InputObject:
    """One object below the input prefix: one payload, since SplitType is None."""

    key: str
    size: int


def name_output(key: str, *, source: Location, target: Location) -> str:
    """The key of an object's output: its name below the prefix's last slash, with `.out`, below the output path.

    For flat prefixes that is the base name (TransformOutput, S3OutputPath); AWS's pages disagree about folders below
    the prefix.
    """
    folder = source.prefix[: source.prefix.rfind("/") + 1]
    base = target.prefix.rstrip("/")
    return f"{base}/{key.removeprefix(folder)}.out".lstrip("/")


class ObjectStore:
    """S3 through a boto3 client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect(cls, *, endpoint: str | None, region: str) -> Self:
        """A store at an endpoint, with the credentials of boto3's default chain."""
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4", max_pool_connections=32)
        return cls(boto3.client("s3", endpoint_url=endpoint, region_name=region, config=config))

    def list_inputs(self, source: Location) -> list[InputObject]:
        """All objects with the key name prefix, in key order, without the markers of empty folders.

        A bucket that does not exist raises botocore's ClientError.
        """
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=source.prefix)
        rows = (row for page in pages for row in page.get("Contents", []))
        return [InputObject(row["Key"], row["Size"]) for row in rows if not row["Key"].endswith("/")]

    def read(self, bucket: str, key: str) -> bytes:
        """The whole object."""
        return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def write(self, bucket: str, key: str, body: bytes) -> None:
        """Write a whole object."""
        self._client.put_object(Bucket=bucket, Key=key, Body=body)
