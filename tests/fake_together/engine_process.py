"""The local cloud's scripted engine, on a free port, which it prints."""

import asyncio

from aiohttp import web

from slacktide_local.scripted_engine import Script, build_app


async def main() -> None:
    """Serve until the process is ended."""
    runner = web.AppRunner(build_app(Script(model="m")), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
