"""A file over HTTP as S3 gives it, no faster than a given rate, and what downloads it through boto3.

Run as `python -m bench.wire FILE RATE` it prints its port and serves until its standard input ends.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.batches import Store
from bench.folder_s3 import ETAG, FolderS3, find_range
from slacktide.batch import Options
from slacktide.bucket import Bucket
from slacktide.models import shipped_models
from slacktide_cli.preflight import examine

PIECE = 1 << 16  # bytes sent at once
SLACK = 0.02  # seconds that a late wake-up may catch up
KEY = "input/file.jsonl"


@dataclass(slots=True)
class Throttle:
    """One rate, in bytes a second, for all connections together, as a function's network has."""

    rate: float
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, size: int) -> None:
        """Wait until `size` more bytes may be sent."""
        with self._lock:
            now = time.perf_counter()
            self._free_at = max(self._free_at, now - SLACK) + size / self.rate
            delay = self._free_at - now
        if delay > 0:
            time.sleep(delay)


class Server(ThreadingHTTPServer):
    """Serves one file under every path, on a free port of this machine alone."""

    daemon_threads = True

    def __init__(self, path: Path, rate: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.path = path
        self.throttle = Throttle(rate)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Answer with the file, or with the range that is asked for."""
        total = self.server.path.stat().st_size
        bounds = find_range(self.headers["Range"], total)
        if bounds is None:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        start, end = bounds
        self.send_response(HTTPStatus.PARTIAL_CONTENT if self.headers["Range"] else HTTPStatus.OK)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
        self.send_header("ETag", ETAG)
        self.end_headers()
        self._send(start, end - start)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the names are http.server's
        """Say nothing."""

    def _send(self, start: int, left: int) -> None:
        with self.server.path.open("rb", buffering=0) as file:
            file.seek(start)
            while left and (piece := file.read(min(PIECE, left))):
                self.server.throttle.wait(len(piece))
                self.wfile.write(piece)
                left -= len(piece)


def connect(url: str) -> Any:
    """boto3's client of a server, as the functions have it of S3."""
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
    secrets = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
    return boto3.client("s3", region_name="us-east-1", endpoint_url=url, config=config, **secrets)


@dataclass
class _Split:
    """The input over the wire, everything else in a folder."""

    wire: Any
    folder: FolderS3

    def get_object(self, *, Key: str, **arguments: Any) -> dict[str, Any]:  # noqa: N803 - the names are boto3's
        return (self.wire if Key == KEY else self.folder).get_object(Key=Key, **arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.folder, name)


def download(s3: Any, path: Path) -> int:  # noqa: ARG001 - the others make use of it
    """The whole file on one connection, and nothing done with it; answers the bytes."""
    body = s3.get_object(Bucket="bench", Key=KEY)["Body"]
    return sum(len(block) for block in body.iter_chunks(PIECE))


def download_and_check(s3: Any, path: Path) -> int:
    """The file streamed as the functions do it, into the scan of `slacktide validate`; answers the good lines."""
    blocks = Bucket(s3, "bench").stream(KEY)
    report = examine(blocks, name=path.name, models=shipped_models(), options=Options(), most=20)
    return report.total - report.invalid


def download_and_split(s3: Any, path: Path) -> int:
    """The scan of the pipeline over the same stream, its lines written to files; answers the good lines."""
    with Store.temporary(path) as store:
        index = Store(store.root, _Split(s3, FolderS3(store.root))).validate()
    return index.total - index.invalid


DOWNLOADS: dict[str, Callable[[Any, Path], int]] = {
    "download": download,
    "checked": download_and_check,
    "split": download_and_split,
}


def main(arguments: list[str]) -> int:
    """Serve a file until the standard input ends."""
    server = Server(Path(arguments[0]), float(arguments[1]))
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
