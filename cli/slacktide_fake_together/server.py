"""The fake on a port: a thin shell that does to an answer what a network would."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from slacktide_fake_together.core import FakeTogether
from slacktide_fake_together.engine import Engine
from slacktide_fake_together.messages import Delivery, Reply, Request

HOST = "127.0.0.1"
LARGEST_BODY = 1 << 30  # bytes
_BLOCK = 1 << 16  # bytes
_PATIENCE = 0.5  # seconds that open calls get when the server stops


@dataclass(frozen=True, slots=True)
class Shell:
    """The core, and what answers its lines when they are not canned."""

    fake: FakeTogether
    engine: Engine | None = None

    async def answer(self, call: web.Request) -> web.StreamResponse:
        """One call. The core works in a thread: making the results of 50,000 lines takes it a second."""
        reply = await asyncio.to_thread(self.fake.handle, await read_request(call))
        if self.engine:
            self.engine.wake()
        if reply.late:
            await asyncio.sleep(reply.late)
        match reply.delivery:
            case Delivery.HANGING:
                await asyncio.Event().wait()  # until the client goes away, which cancels this
            case Delivery.DROPPED | Delivery.REFUSED if call.transport:
                call.transport.abort()
            case Delivery.CUT:
                return await send_slowly(call, reply)
            case _ if reply.pace is not None:
                return await send_slowly(call, reply)
            case _:
                pass
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


async def read_request(call: web.Request) -> Request:
    """An aiohttp request as the core takes it."""
    return Request(
        method=call.method,
        path=call.path,
        origin=f"{call.scheme}://{call.host}",
        query=dict(call.query),
        headers={name.lower(): value for name, value in call.headers.items()},
        body=await call.read(),
    )


async def send_slowly(call: web.Request, reply: Reply) -> web.StreamResponse:
    """Send a body in blocks, at its pace, as far as it comes; Content-Length tells the full size."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(call)
    body = memoryview(reply.body)[: reply.cut_at] if reply.delivery is Delivery.CUT else memoryview(reply.body)
    size = _BLOCK if reply.pace is None else max(1, min(_BLOCK, int(reply.pace / 10)))
    for start in range(0, len(body), size):
        if reply.pace is not None:
            await asyncio.sleep(size / reply.pace)
        await response.write(bytes(body[start : start + size]))
    if reply.delivery is Delivery.CUT and call.transport:
        call.transport.close()  # what was written still arrives
    return response


def build_app(fake: FakeTogether, engine: Engine | None = None) -> web.Application:
    """The application; an engine's work begins and ends with it."""
    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_route("*", "/{path:.*}", Shell(fake, engine).answer)

    async def run_engine(_: web.Application) -> AsyncIterator[None]:
        if engine is None:
            yield
            return
        async with engine.running(fake):
            yield

    app.cleanup_ctx.append(run_engine)
    return app


async def serve(app: web.Application, *, port: int, ready: Callable[[str], object], stop: asyncio.Event) -> None:
    """Serve on the loopback interface until `stop` is set. `ready` is told the server's URL. OSError: the port is taken."""
    # A call whose client goes away is cancelled: an answer that never comes must not stay for ever.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_PATIENCE)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        ready(f"http://{HOST}:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()
