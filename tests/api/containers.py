"""The function `api` in many containers at once, as on Lambda: a process for each, with one call at a time, behind one port.

The emulator makes a container for each call in flight too, but each of those takes a second of a processor. These are forked
from a process that has loaded the function. Run by `api.fleet`, in the function's environment; the arguments are the number
of containers, and a file for the port.
"""

import base64
import multiprocessing
import socket
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fakes.stack import Context, load
from slacktide.api import wiring
from slacktide_local.network import LOOPBACK

SECONDS = 60  # bounds the wait for the other calls
MEETING, MOST = "x-meeting", "x-most-inside"
FORK = multiprocessing.get_context("fork")


class Containers:
    """What all of them share: the function with its clients, which nobody has used yet, and where its calls meet.

    A call says in the header `x-meeting` in front of which operation of DynamoDB it waits until each container has come so far.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.handle = load("api").handler
        wiring.api()
        self.everybody = FORK.Barrier(size, timeout=SECONDS)
        self.inside, self.most = FORK.Value("i", 0), FORK.Value("i", 0)
        self.meeting: str | None = None
        wiring.access_keys().table.meta.client.meta.events.register("before-send.dynamodb", self.meet)

    def serve(self, port_file: Path) -> None:
        """Serve until this process is ended."""
        with socket.create_server((LOOPBACK, 0), backlog=self.size) as server:
            containers = [FORK.Process(target=self.take_calls, args=(server,), daemon=True) for _ in range(self.size)]
            for container in containers:
                container.start()
            port_file.write_text(str(server.getsockname()[1]))
            for container in containers:
                container.join()

    def take_calls(self, server: socket.socket) -> None:
        """One container: a call, then the next."""
        while True:
            connection, address = server.accept()
            with connection:
                self.gateway()(connection, address, server)

    def gateway(self) -> type[BaseHTTPRequestHandler]:
        """What makes an event of API Gateway of the one call of a connection."""
        containers = self

        class Gateway(BaseHTTPRequestHandler):
            """A connection."""

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                address = urlsplit(self.path)
                event = {
                    "httpMethod": self.command,
                    "path": address.path,
                    "headers": dict(self.headers),
                    "queryStringParameters": dict(parse_qsl(address.query)),
                    "body": base64.b64encode(body).decode(),
                    "isBase64Encoded": True,
                    "requestContext": {},
                }
                self.write(containers.answer(event, self.headers.get(MEETING)))

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def write(self, answer: dict[str, Any]) -> None:
                content = answer["body"].encode()
                self.send_response(answer["statusCode"])
                headers = {name: value for name, (value,) in answer["multiValueHeaders"].items()}
                for name, value in {**headers, MOST: containers.most.value, "Content-Length": len(content)}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """The function logs what is to be logged."""

        return Gateway

    def answer(self, event: dict[str, Any], meeting: str | None) -> dict[str, Any]:
        """What the function answers."""
        self.meeting = meeting
        self.count(1)
        try:
            return self.handle(event, Context("api"))
        finally:
            self.count(-1)

    def count(self, change: int) -> None:
        """Count the calls inside of the function, and keep the most."""
        with self.inside.get_lock():
            self.inside.value += change
            self.most.value = max(self.most.value, self.inside.value)

    def meet(self, event_name: str, **_: Any) -> None:
        """Wait for the others, once with each call."""
        if self.meeting is not None and event_name.endswith(f".{self.meeting}"):
            self.meeting = None
            self.everybody.wait()


if __name__ == "__main__":
    size, port_file = sys.argv[1:]
    Containers(int(size)).serve(Path(port_file))
