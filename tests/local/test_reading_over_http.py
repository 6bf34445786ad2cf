"""Objects read over real connections that break: boto3 against a server that ends them in mid-object."""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config

from slacktide.bucket import Bucket
from slacktide.reading import TRIES, BrokenReadError, Window

DATA = bytes(range(256)) * 4_000  # 1 MB
RANGE = 300_000


@dataclass
class BreakingS3:
    """Serves `DATA`. The answers of the first `broken` requests are reset after `after` bytes; `asked` are the ranges."""

    broken: int = 0
    after: int = 100_000
    asked: list[tuple[int, int]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def make_handler(self) -> type[BaseHTTPRequestHandler]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
                assert found
                first, last = int(found[1]), min(int(found[2]), len(DATA) - 1)
                with told.lock:
                    told.asked.append((first, last))
                    is_broken = len(told.asked) <= told.broken
                self.send_response(206)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", str(last - first + 1))
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(DATA)}")
                self.end_headers()
                self.wfile.write(DATA[first : min(last + 1, first + told.after) if is_broken else last + 1])
                if is_broken:  # close with a reset, as a lost peer does
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
                """Say nothing."""

        return Handler


@pytest.fixture
def server() -> Iterator[tuple[BreakingS3, Bucket]]:
    content = BreakingS3()
    http = ThreadingHTTPServer(("127.0.0.1", 0), content.make_handler())
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{http.server_port}",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 - opens nothing
        region_name="us-east-1",
        config=config,
    )
    yield content, Bucket(s3, "b")
    s3.close()
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.mark.parametrize("broken", [1, 2, 4])
def test_connections_that_are_reset_in_mid_object_cost_no_byte(server: tuple[BreakingS3, Bucket], broken: int) -> None:
    content, bucket = server
    content.broken = broken
    assert b"".join(bucket.stream("k", window=Window(RANGE, 2))) == DATA
    # The first range was reset somewhere behind the bytes that came through, and asked for again from there.
    again = [first for first, last in content.asked if last == RANGE - 1 and first]
    assert again
    assert all(0 < first <= broken * content.after for first in again)


def test_an_object_that_never_comes_through_fails(server: tuple[BreakingS3, Bucket]) -> None:
    content, bucket = server
    content.broken, content.after = 1_000, 0
    with pytest.raises(BrokenReadError, match=f"{TRIES} times"):
        list(bucket.stream("k", window=Window(RANGE, 1)))
    assert content.asked == [(0, RANGE - 1)] * TRIES
