"""A bucket in memory, and a Slacktide that is scripted."""

from collections.abc import Iterator

import boto3
import pytest
from fake_slacktide import BUCKET, FakeSlacktide
from moto import mock_aws


@pytest.fixture
def slacktide(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlacktide]:
    """Slacktide's bucket, versioned; SLACKTIDE_BUCKET names it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SLACKTIDE_BUCKET", BUCKET)
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield FakeSlacktide(s3)
