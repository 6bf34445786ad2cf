"""Tokens per second through the container, compared with a client that saturates the same engine directly.

Run it as `python -m bench.transform` from the root of the project; `--help` says what can be changed.

One container runs in front of an engine. Each round sends the same load twice to the same engine process: once straight
to it, by a client that keeps as many requests in flight as the container does; and once as payloads to the container,
a few at a time, as SageMaker does. The order alternates, and the figures are medians over the rounds. Prints a
table in Markdown; the target is 95 %. `--write` puts it on the page docs/performance.md too.

Two engines: `model`, SmolLM2-135M on the CPU, which is what the target is about; and `scripted`, which answers each
request after a second and so shows what the container itself costs with as many requests in flight as a GPU takes.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp

from bench.tables import Table, describe_run, write_section
from slacktide_local import engine, scripted_engine

TARGET = 0.95
MODEL = "smollm2"
TOPICS = ("the sea", "a railway station", "bread", "the moon", "an old bridge", "rain", "a lighthouse", "chess")


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent in one run, and to which engine."""

    engine_command: str
    prompt: str
    requests: int
    tokens: int
    in_flight: int
    payloads: int
    payloads_at_a_time: int

    def bodies(self, seed: int) -> list[dict[str, Any]]:
        """Request bodies, other ones for each seed, so that no run is served from the prompt cache of another.

        The lengths of the answers vary around `tokens`, so that payloads have a tail.
        """
        return [
            {
                "model": MODEL,
                "messages": [{"role": "user", "content": f"{self.prompt}{seed}.{i}: about {TOPICS[i % len(TOPICS)]}"}],
                "max_tokens": self.tokens // 2 + (i * 7919) % self.tokens,
                "temperature": 0,
                "ignore_eos": True,
            }
            for i in range(self.requests)
        ]


LOADS = {
    "model": Load(engine.engine_command(), "Write story ", 24, 24, engine.SLOTS, payloads=4, payloads_at_a_time=2),
    "scripted": Load(scripted_engine.engine_command(), "[[delay 1]] ", 2048, 24, 256, payloads=8, payloads_at_a_time=3),
}


async def run_directly(session: aiohttp.ClientSession, url: str, bodies: Sequence[dict[str, Any]], load: Load) -> int:
    """Keep the engine saturated with single requests; the completion tokens that came."""
    places = asyncio.Semaphore(load.in_flight)

    async def ask(body: dict[str, Any]) -> int:
        async with places, session.post(f"{url}/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            return (await response.json())["usage"]["completion_tokens"]

    return sum(await asyncio.gather(*map(ask, bodies)))


async def run_payloads(session: aiohttp.ClientSession, url: str, bodies: Sequence[dict[str, Any]], load: Load) -> int:
    """Send the requests as payloads to the container, a few at a time; the completion tokens that came."""
    lines = [json.dumps({"custom_id": str(i), "body": body}).encode() for i, body in enumerate(bodies)]
    places = asyncio.Semaphore(load.payloads_at_a_time)

    async def send(payload: bytes) -> int:
        async with places, session.post(f"{url}/invocations", data=payload) as response:
            response.raise_for_status()
            answers = [json.loads(line) for line in (await response.read()).split(b"\n")[:-1]]
            return sum(answer["response"]["body"]["usage"]["completion_tokens"] for answer in answers)

    payloads = [b"\n".join(lines[start :: load.payloads]) for start in range(load.payloads)]
    return sum(await asyncio.gather(*map(send, payloads)))


@asynccontextmanager
async def start_container(load: Load) -> AsyncGenerator[tuple[str, str]]:
    """A container as a process of its own; its URL and that of its engine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "MODEL_ID": MODEL,
        "TRANSFORM_HOST": "127.0.0.1",
        "TRANSFORM_PORT": str(port),
        "MAX_IN_FLIGHT": str(load.in_flight),
        "INVOCATION_TIMEOUT_SECONDS": "3600",
        "ENGINE_COMMAND": load.engine_command,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slacktide_transform", "serve"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    log = process.stdout
    if log is None:
        raise RuntimeError("the container's log is not a pipe")
    try:
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{await read_engine_port(log)}"
    finally:
        process.terminate()
        await process.communicate()


async def read_engine_port(log: asyncio.StreamReader) -> int:
    """The port of the engine, from the container's log, once the engine is healthy."""
    async for line in log:
        record = json.loads(line)
        if record["event"] == "engine_healthy":
            return record["port"]
    raise RuntimeError("the container ended before its engine was healthy")


async def measure(run: Callable[[], Awaitable[int]]) -> float:
    """Tokens per second of one run."""
    began = time.perf_counter()
    tokens = await run()
    return tokens / (time.perf_counter() - began)


async def compare(load: Load, *, rounds: int) -> tuple[list[float], list[float]]:
    """Tokens per second of each round: directly, and through the container."""
    direct: list[float] = []
    container: list[float] = []
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with (
        start_container(load) as (container_url, engine_url),
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session,
    ):
        await run_directly(session, engine_url, load.bodies(0)[: load.in_flight], load)  # warm-up
        for number in range(rounds):
            straight, through = load.bodies(2 * number + 1), load.bodies(2 * number + 2)
            pair = [
                (direct, partial(run_directly, session, engine_url, straight, load)),
                (container, partial(run_payloads, session, container_url, through, load)),
            ]
            for figures, run in pair if number % 2 == 0 else reversed(pair):
                figures.append(await measure(run))
            print(f"round {number + 1}: directly {direct[-1]:.1f}, container {container[-1]:.1f} tokens/s", flush=True)
    return direct, container


def main(arguments: Sequence[str]) -> int:
    """Run the comparison and print its row."""
    parser = argparse.ArgumentParser(prog="python -m bench.transform", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=sorted(LOADS), default="model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args(arguments)
    load = LOADS[options.engine]
    direct, container = asyncio.run(compare(load, rounds=options.rounds))
    text = f"{describe_run(['aiohttp', 'xllamacpp'], options.rounds)}\n\n{show(options.engine, direct, container)}"
    print(f"\n{text}")
    if options.write:
        write_section("container", text)
    return 0


def show(engine_name: str, direct: Sequence[float], container: Sequence[float]) -> Table:
    """The one row, of the tokens per second of each round."""
    # Of each round by itself: the two halves of a round see the same machine, two rounds may not.
    ratio = statistics.median(through / straight for through, straight in zip(container, direct, strict=True))
    columns = ["engine, in flight", "container, tokens/s", "engine directly, tokens/s", "ratio", "target", ""]
    row = [
        f"{engine_name}, {LOADS[engine_name].in_flight}",
        f"{statistics.median(container):.1f}",
        f"{statistics.median(direct):.1f}",
        f"{ratio:.1%}",
        f"at least {TARGET:.0%}",
        "met" if ratio >= TARGET else "missed",
    ]
    return Table(columns, [row])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
