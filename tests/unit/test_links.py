"""Presigned URLs: of one object, for one method, for a time, at the address that AWS answers without a redirect."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from slacktide.api import wiring as api_wiring
from slacktide.batch import ObjectRef
from slacktide.links import HOUR, MINUTES, Links

KEY = "uploads/file-a/000001"


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Iterator[Links]:
    """As the wiring makes them, in Frankfurt."""
    for name, value in {"BUCKET": "the-bucket", "TABLE": "t", "EVENT_BUS": "e"}.items():
        monkeypatch.setenv(f"SLACKTIDE_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTING")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    clear()
    yield api_wiring.links()
    clear()


def clear() -> None:
    api_wiring.links.cache_clear()
    api_wiring.wiring.settings.cache_clear()


def query(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def test_the_address_is_that_of_the_region_and_the_bucket(links: Links) -> None:
    for url in (links.to_put(KEY), links.to_get(ObjectRef("the-bucket", KEY, "v1", 1))):
        assert urlsplit(url).scheme == "https"
        assert urlsplit(url).netloc == "the-bucket.s3.eu-central-1.amazonaws.com"
        assert urlsplit(url).path == f"/{KEY}"
        signed = query(url)
        assert signed["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert signed["X-Amz-Credential"].split("/")[2:] == ["eu-central-1", "s3", "aws4_request"]
        assert signed["X-Amz-SignedHeaders"] == "host", "clients send headers of their own"


def test_an_object_is_read_in_the_version_that_is_meant(links: Links) -> None:
    assert query(links.to_get(ObjectRef("b", KEY, "v1", 1)))["versionId"] == "v1"
    assert "versionId" not in query(links.to_get(ObjectRef("b", KEY, "", 1)))


def test_for_how_long(links: Links) -> None:
    assert query(links.to_put(KEY))["X-Amz-Expires"] == str(MINUTES) == "900"
    assert query(links.to_put(KEY, HOUR))["X-Amz-Expires"] == str(HOUR) == "3600"
    assert query(links.to_get(ObjectRef("b", KEY, "v1", 1)))["X-Amz-Expires"] == "900"


def test_each_key_method_and_version_has_its_own_signature(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 11, 25, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
    urls = [
        links.to_put(KEY),
        links.to_put(KEY + "0"),
        links.to_put(KEY, HOUR),
        links.to_get(ObjectRef("b", KEY, "", 1)),
        links.to_get(ObjectRef("b", KEY, "v1", 1)),
        links.to_get(ObjectRef("b", KEY, "v2", 1)),
    ]
    signatures = [query(url)["X-Amz-Signature"] for url in urls]
    assert len(set(signatures)) == len(urls)
    assert links.to_put(KEY) == urls[0], "of nothing else"


@pytest.mark.usefixtures("links")
def test_another_endpoint_has_the_bucket_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACKTIDE_FILE_ENDPOINT_URL", "http://localhost:4566")
    clear()
    url = urlsplit(api_wiring.links().to_put(KEY))
    assert (url.netloc, url.path) == ("localhost:4566", f"/the-bucket/{KEY}")
