"""`slacktide fake-together`: a fake of Together's Batch API on this machine, for tests and for trying things out."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from slacktide_cli.errors import UsageError
from slacktide_fake_together import FakeTogether, Settings
from slacktide_fake_together.scripts import Script, read_script
from slacktide_fake_together.settings import DEFAULT_KEY


def fake_together(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port on 127.0.0.1; 0 is a free one.")] = 8_741,
    key: Annotated[
        list[str] | None, typer.Option(help="An API key to accept; may be repeated.", show_default=DEFAULT_KEY)
    ] = None,
    script: Annotated[Path | None, typer.Option(help="Settings and faults, in TOML or JSON.")] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds: equal ids, orders and faults.")] = 0,
    lines_per_second: Annotated[
        float | None, typer.Option(help="Answers a second of each batch.", show_default="all at once")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(help="The text of every answer; {prompt} is the request's.", show_default="{prompt}")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Let this server answer: the URL of any OpenAI-compatible engine.", show_default="none")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests to the engine at a time.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the URL as a JSON document when ready.")] = False,
) -> None:
    """Serve a fake Together until interrupted: nothing leaves this machine, and nothing costs anything.

    Exit code 0: stopped by SIGTERM or SIGINT. 2: usage, or the port is taken.
    """
    plan = read_plan(script)
    changes = {"keys": tuple(key) if key else None, "lines_per_second": lines_per_second, "answer": answer}
    try:
        settings = change(plan.settings, {name: value for name, value in changes.items() if value is not None})
    except msgspec.ValidationError as error:
        raise UsageError(f"These options cannot be followed: {error}") from error
    fake = FakeTogether(settings, seed=seed, has_engine=engine is not None)
    fake.add_faults(plan.faults)
    asyncio.run(run_server(fake, port=port, engine_url=engine, concurrency=concurrency, as_json=as_json))


def read_plan(script: Path | None) -> Script:
    """What the script file says. Raises UsageError, which says what is wrong with it."""
    if script is None:
        return Script()
    try:
        return read_script(script)
    except OSError as error:
        raise UsageError(f"{script} cannot be read: {error.strerror}. Give settings and faults in TOML or JSON.") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{script} cannot be followed: {error}") from error


def change(settings: Settings, changes: dict[str, object]) -> Settings:
    """The settings with some replaced. Raises msgspec.ValidationError."""
    return msgspec.convert({**msgspec.to_builtins(settings), **changes}, Settings)


async def run_server(fake: FakeTogether, *, port: int, engine_url: str | None, concurrency: int, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT. Raises UsageError when the port is taken."""
    from slacktide_fake_together.engine import Engine  # noqa: PLC0415  # a tenth of a second that no other verb needs
    from slacktide_fake_together.server import build_app, serve  # noqa: PLC0415

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker: Engine | None = Engine(engine_url, concurrency=concurrency) if engine_url else None

    def say(url: str) -> None:
        base = f"{url}/v1"
        typer.echo(msgspec.json.encode({"url": url, "base_url": base}).decode() if as_json else describe(base))

    try:
        await serve(build_app(fake, worker), port=port, ready=say, stop=stop)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used: {error.strerror}. Give another with --port, or 0 for a free one."
        ) from error


def describe(base: str) -> str:
    """What a person needs to know to use it."""
    root = base.removesuffix("/v1")
    return (
        f"A fake Together is at {base} (OpenAI's dialect: {root}/openai/v1). Stop it with Ctrl-C.\n"
        f"Its ledger: curl {root}/_control/ledger"
    )
