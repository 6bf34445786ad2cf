"""Parts of a file by the URL that the API redirects to: S3 by moto, which honours ranges of a version; the emulator does not."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sagemaker_stand_in import CREDENTIALS

from fakes.stack import clear_caches
from slacktide.api import wiring
from slacktide.batch import ObjectRef
from slacktide_local.network import LOOPBACK

CONTENT = b"0123456789"
KEY = "uploads/file-a/000001"
PYTHON = Path(__file__).parents[2] / ".slacktide" / "venvs" / "together1" / "bin" / "python"
# What the client does where it wants to know a file's name and size first; it follows the redirect by itself.
DOWNLOAD = """
import sys
from pathlib import Path
from together import Together
from together.filemanager import DownloadManager
path, size = DownloadManager(Together().client).download("files/file-a/content", Path(sys.argv[1]), fetch_metadata=True)
print(size, Path(path).read_text())
"""


@pytest.fixture
def url(storage: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where one version of a file is, as the API's wiring says it; a newer one lies on top."""
    names = {"BUCKET": "files", "TABLE": "t", "EVENT_BUS": "e", "FILE_ENDPOINT_URL": storage.url.replace(LOOPBACK, "localhost")}
    environment = {f"SLACKTIDE_{name}": value for name, value in names.items()}
    environment |= {"AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"], "AWS_DEFAULT_REGION": CREDENTIALS["region_name"]}
    environment |= {"AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"]}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    storage.client.create_bucket(Bucket="files")
    storage.client.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
    version = storage.client.put_object(Bucket="files", Key=KEY, Body=CONTENT)["VersionId"]
    storage.client.put_object(Bucket="files", Key=KEY, Body=b"another")
    clear_caches()
    yield wiring.links().to_get(ObjectRef("files", KEY, version, len(CONTENT)))
    clear_caches()


@pytest.mark.parametrize(
    ("asked", "given", "content"),
    [
        ("bytes=0-1", "bytes 0-1/10", b"01"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=8-20", "bytes 8-9/10", b"89"),
    ],
)
def test_a_range_of_the_version_that_is_meant(asked: str, given: str, content: bytes, url: str) -> None:
    answer = httpx.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"], answer.content) == (206, given, content)


def test_without_a_range_it_is_the_whole(url: str) -> None:
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_the_client_that_asks_for_two_bytes_first(url: str, tmp_path: Path) -> None:
    """Together's 1.5.x reads the size off the answer to `bytes=0-1`, behind the API's redirect, then downloads the whole."""
    ranges: list[str | None] = []

    class Api(BaseHTTPRequestHandler):
        """Redirects as the API does."""

        def do_GET(self) -> None:
            ranges.append(self.headers["Range"])
            self.send_response(302)
            self.send_header("Location", url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {"PATH": os.defpath, "HOME": str(tmp_path), "TOGETHER_API_KEY": "key"}
        environment |= {"TOGETHER_BASE_URL": f"http://{LOOPBACK}:{server.server_port}/v1", "TOGETHER_TELEMETRY_DISABLED": "1"}
        command = [str(PYTHON), "-c", DOWNLOAD, str(tmp_path / "whole")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        server.shutdown()
        thread.join()
    assert done.stdout == f"{len(CONTENT)} {CONTENT.decode()}\n", done.stderr
    assert ranges == ["bytes=0-1", None]
