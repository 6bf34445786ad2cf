"""`python -m slacktide_local.sagemaker`: serve until SIGTERM or SIGINT.

One JSON line on stdout says when it listens and on which port: {"event": "listening", "port": 4567}.
Logs go to stderr as JSON.
"""

import argparse
import asyncio
import json
import logging
import os
import shlex
import signal
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

from slacktide_local.sagemaker.objects import ObjectStore
from slacktide_local.sagemaker.server import build_app, build_stand_in
from slacktide_local.sagemaker.settings import Settings


class JsonFormatter(logging.Formatter):
    """One record as one JSON line: level, event, the fields of `extra`, and a traceback if there is one."""

    FIELDS = ("job", "status", "reason", "action", "resource")

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: vars(record)[name] for name in self.FIELDS if name in vars(record)}
        trace = {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps({"level": record.levelname, "event": record.getMessage(), **fields, **trace})


def read_variable(text: str) -> tuple[str, str]:
    """`NAME=VALUE` of a `--container-env` option."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def build_parser() -> argparse.ArgumentParser:
    """The command line; `Settings` says what each option means."""
    parser = argparse.ArgumentParser(prog="python -m slacktide_local.sagemaker", description="SageMaker Batch Transform, locally")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one, see the line on stdout)")
    parser.add_argument("--s3-endpoint", help="URL of S3 (default: boto3's)")
    parser.add_argument("--container-command", required=True, type=shlex.split, help="what stands for `docker run IMAGE serve`")
    parser.add_argument(
        "--container-env",
        action="append",
        default=[],
        type=read_variable,
        metavar="NAME=VALUE",
        help="a variable of the image, repeatable; the model's and the job's Environment win over it",
    )
    parser.add_argument("--work-dir", type=Path, help="where containers log (default: a temporary folder, removed at the end)")
    parser.add_argument("--region", default=os.environ.get("AWS_DEFAULT_REGION", Settings.region))
    parser.add_argument("--account-id", default=Settings.account_id)
    parser.add_argument("--health-timeout", type=float, default=Settings.health_timeout, help="seconds (AWS: 30 minutes)")
    parser.add_argument("--retry-delay", type=float, default=Settings.retry_delay, help="seconds before the first retry")
    parser.add_argument("--stop-grace", type=float, default=Settings.stop_grace, help="seconds between SIGTERM and SIGKILL")
    return parser


async def serve(settings: Settings, port: int) -> None:
    """Serve on a loopback port until SIGTERM or SIGINT; then stop all jobs and end their containers."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    store = ObjectStore.connect(endpoint=settings.s3_endpoint, region=settings.region)
    # A connection for each request: a container that closes idle ones must not cost a payload one of its tries.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        app = build_app(build_stand_in(settings, store=store, session=session))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            print(json.dumps({"event": "listening", "port": runner.addresses[0][1]}), flush=True)
            await stopping.wait()
        finally:
            await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and serve."""
    options = build_parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("botocore").setLevel(logging.WARNING)
    with ExitStack() as stack:
        folder: Path = options.work_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagemaker-")))
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(
            container_command=tuple(options.container_command),
            container_environment=dict(options.container_env),
            work_dir=folder.resolve(),
            s3_endpoint=options.s3_endpoint,
            region=options.region,
            account_id=options.account_id,
            health_timeout=options.health_timeout,
            retry_delay=options.retry_delay,
            stop_grace=options.stop_grace,
        )
        asyncio.run(serve(settings, options.port))


if __name__ == "__main__":
    main()
