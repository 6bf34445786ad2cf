"""Between a client and the API: a proxy on 127.0.0.1 that loses answers, as networks do, of those calls that create."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import httpx

from slacktide_local.network import LOOPBACK

Fault = Literal["drop", "500", "late"]
HOP = {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding"}


@dataclass(frozen=True)
class Request:
    """A call as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class DroppingProxy:
    """Hands calls on to `target`. Of the next that end in `suffix` one after the other befalls what `faults` says.

    drop: the API does it, and the connection ends without an answer. 500: the API does it, the answer is a 500. late: the
    connection ends, and the call is kept back until `release`.
    """

    target: str
    suffix: str = "/batches"
    faults: list[Fault] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    kept: list[Request] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Generator["DroppingProxy", None, None]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                proxy.answer(self, Request(self.command, self.path, dict(self.headers), body))

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
            self.url = f"http://{LOOPBACK}:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        """Hand a call on, or do to it what is next."""
        fault = None
        if request.method == "POST" and request.path.endswith(self.suffix):
            self.seen.append(request)
            fault = self.faults.pop(0) if self.faults else None
        if fault == "late":
            self.kept.append(request)
        else:
            answer = self.forward(request)
            if fault != "drop":
                self.write(handler, httpx.Response(500, json={"error": {}}) if fault == "500" else answer)
                return
        handler.close_connection = True

    def forward(self, request: Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        url = self.target + request.path
        return httpx.request(request.method, url, headers=headers, content=request.body, timeout=60)

    def release(self) -> list[httpx.Response]:
        """Hand on what was kept back; the answers, which no client gets any more."""
        kept, self.kept = self.kept, []
        return [self.forward(request) for request in kept]

    def write(self, handler: BaseHTTPRequestHandler, answer: httpx.Response) -> None:
        handler.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)
