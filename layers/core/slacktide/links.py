"""Presigned URLs: one object, one method, for a time. Whoever has one needs no key, so none is ever logged."""

from dataclasses import dataclass
from typing import Any

from slacktide.batch import ObjectRef

MINUTES = 15 * 60  # seconds for a call that follows at once
HOUR = 3_600  # seconds for the parts of an upload, which follow one another


@dataclass(frozen=True, slots=True)
class Links:
    """Makes URLs; `s3` is boto3's client, whose endpoint is one that the caller can reach."""

    s3: Any
    bucket: str

    def to_put(self, key: str, seconds: int = MINUTES) -> str:
        """Where one PUT writes one object."""
        return self._sign("put_object", {"Bucket": self.bucket, "Key": key}, seconds)

    def to_get(self, source: ObjectRef, seconds: int = MINUTES) -> str:
        """Where one version of an object can be read, also in ranges."""
        version = {"VersionId": source.version_id} if source.version_id else {}
        return self._sign("get_object", {"Bucket": self.bucket, "Key": source.key, **version}, seconds)

    def _sign(self, method: str, place: dict[str, str], seconds: int) -> str:
        return self.s3.generate_presigned_url(method, Params=place, ExpiresIn=seconds)
