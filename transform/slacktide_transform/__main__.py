"""Start the container: `python -m slacktide_transform serve`."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp import web

from slacktide_transform.command import build_command
from slacktide_transform.engine import Engine, EngineFailedError, Supervision
from slacktide_transform.logs import configure_logs, log_event
from slacktide_transform.server import build_app
from slacktide_transform.settings import Settings, SettingsError, read_settings

SHUTDOWN_SECONDS = 1.0  # for payloads in work at SIGTERM: SageMaker has given the job up by then
KEEPALIVE_SECONDS = 2.0  # below the engines' own 5 s, so that a connection is not closed just as it is used


async def serve(settings: Settings, *, environment: Mapping[str, str]) -> int:
    """Run the engine and the server until SIGTERM (exit code 0) or until the engine or the port fails (1)."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        engine = _build_engine(settings, environment=environment, session=session)
        runner = web.AppRunner(build_app(settings=settings, engine=engine), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.transform_host, settings.transform_port).start()
            log_event("server_started", host=settings.transform_host, port=settings.transform_port)
            return await _supervise_until(stop, engine)
        except OSError as fault:
            log_event("server_not_started", logging.ERROR, port=settings.transform_port, reason=fault.strerror)
            return 1
        finally:
            await runner.cleanup()
            log_event("server_stopped")


def _build_engine(settings: Settings, *, environment: Mapping[str, str], session: aiohttp.ClientSession) -> Engine:
    return Engine(
        session=session,
        build_command=lambda port: build_command(settings, port=port),
        model_id=settings.model_id,
        environment=environment,
        supervision=Supervision(
            starts=settings.engine_starts,
            start_seconds=settings.engine_start_seconds,
            backoff_seconds=settings.engine_backoff_seconds,
            all_output=settings.engine_logs == "all",
        ),
    )


async def _supervise_until(stop: asyncio.Event, engine: Engine) -> int:
    supervision = asyncio.create_task(engine.supervise())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({supervision, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            return 0
        await supervision
    except EngineFailedError as fault:
        log_event("engine_given_up", logging.ERROR, reason=str(fault))
    finally:
        for task in (supervision, stopping):
            task.cancel()
        await asyncio.gather(supervision, stopping, return_exceptions=True)
    return 1


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command line; the exit code is 2 for a wrong argument or a wrong setting."""
    configure_logs()
    if list(arguments) != ["serve"]:
        log_event("usage", logging.ERROR, usage="python -m slacktide_transform serve")
        return 2
    try:
        settings = read_settings(environment)
    except SettingsError as fault:
        log_event("settings_wrong", logging.ERROR, reason=str(fault))
        return 2
    return asyncio.run(serve(settings, environment=environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
