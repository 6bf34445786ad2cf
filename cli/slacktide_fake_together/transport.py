"""The fake behind httpx's own transport interface: a client in the same process, and no socket."""

import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from slacktide_fake_together.core import FakeTogether
from slacktide_fake_together.messages import Delivery, Reply, Request

_BLOCK = 1 << 16  # bytes
_LOST = {
    Delivery.HANGING: (httpx.ReadTimeout, "The read operation timed out"),
    Delivery.DROPPED: (httpx.RemoteProtocolError, "Server disconnected without sending a response."),
    Delivery.REFUSED: (httpx.ConnectError, "[Errno 111] Connection refused"),
}


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in blocks, which may be slow, or end too early."""

    def __init__(self, reply: Reply, sleep: Callable[[float], object]) -> None:
        self._reply, self._sleep = reply, sleep

    def __iter__(self) -> Iterator[bytes]:
        reply = self._reply
        body = reply.body[: reply.cut_at] if reply.delivery is Delivery.CUT else reply.body
        size = _BLOCK if reply.pace is None else max(1, min(_BLOCK, int(reply.pace)))
        for start in range(0, len(body), size):
            if reply.pace is not None:
                self._sleep(size / reply.pace)
            yield body[start : start + size]
        if reply.delivery is Delivery.CUT:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in iter(self):
            yield block


def read_request(request: httpx.Request) -> Request:
    """An httpx request whose body has been read, as the core takes it."""
    port = "" if request.url.port is None else f":{request.url.port}"
    return Request(
        method=request.method,
        path=request.url.path,
        origin=f"{request.url.scheme}://{request.url.host}{port}",
        query=dict(request.url.params),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.content,
    )


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """`httpx.Client(transport=FakeTransport(fake))`, or an AsyncClient. `sleep` takes the seconds that an answer is slow by.

    Raises what httpx raises: ReadTimeout when no answer comes, RemoteProtocolError for a lost connection, ConnectError.
    """

    def __init__(self, fake: FakeTogether, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._fake, self._sleep = fake, sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._respond(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._respond(request)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        reply = self._fake.handle(read_request(request))
        if reply.late:
            self._sleep(reply.late)
        if reply.delivery in _LOST:
            kind, message = _LOST[reply.delivery]
            raise kind(message, request=request)
        headers = {**reply.headers, "content-length": str(len(reply.body))}
        return httpx.Response(reply.status, headers=headers, stream=_Body(reply, self._sleep))
