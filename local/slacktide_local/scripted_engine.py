"""A scripted engine: an OpenAI-compatible server for fast tests, that computes its answers instead of a model.

Run it as `python -m slacktide_local.scripted_engine --port N [--log-prompts] [--unhealthy]`.

The answer to a request is a short digest of its messages, then the first words of the last user message; equal requests
get equal answers. Usage counts words. Directives in the last user message (or the prompt, or the input) steer it, and
are not part of the answer:

    [[status 500]]     answer with this HTTP status and an OpenAI-shaped error body
    [[delay 2.5]]      answer after so many seconds
    [[hang]]           never answer
    [[drop]]           close the connection without an answer
    [[drop once PATH]] the same, but only if the file PATH does not exist; it is made first
    [[malformed]]      answer 200 with a body that is not JSON
    [[exit]]           the process dies at once, as if killed
    [[exit once PATH]] the same, but only if the file PATH does not exist; it is made first
    [[unhealthy]]      answer; from then on /health answers 503

`GET /health` answers 200, `GET /v1/models` the model's name, `GET /stats` what was seen: `{requests, in_flight,
most_in_flight, order, bodies}`, where `order` is the answers' digests in the order of arrival and `bodies` the last
hundred request bodies.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import shlex
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Body = dict[str, Any]

ANSWER_WORDS = 8
EMBEDDING_SIZE = 8
LARGEST_BODY = 128 * 1024 * 1024

_directive = re.compile(r"\[\[(\w+)(?: ([^\]]*))?\]\]")


def engine_command(*flags: str) -> str:
    """The command line for the container's ENGINE_COMMAND, with `{port}` and `{model}` for it to fill in."""
    command = [sys.executable, "-m", "slacktide_local.scripted_engine", "--port", "{port}", "--model", "{model}"]
    return shlex.join([*command, *flags])


@dataclass(slots=True)
class Script:
    """What the engine has seen, and how it behaves."""

    model: str
    healthy: bool = True
    log_prompts: bool = False
    requests: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    order: list[str] = field(default_factory=list)
    bodies: deque[Body] = field(default_factory=lambda: deque(maxlen=100))


def read_text(body: Body) -> str:
    """The text of a request: the last user message, the prompt or the input. Raises ValueError when there is none."""
    match body:
        case {"messages": [*messages]}:
            texts = [message["content"] for message in messages if message.get("role") == "user"]
            return _flatten(texts[-1]) if texts else ""
        case {"prompt": str() | list() as text} | {"input": str() | list() as text}:
            return _flatten(text)
        case _:
            raise ValueError("messages, prompt or input is missing")


def _flatten(content: Any) -> str:
    parts = content if isinstance(content, list) else [content]
    return " ".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts)


def compose_answer(body: Body) -> tuple[str, str]:
    """The digest of a request, and its answer."""
    essence = [body.get("messages"), body.get("prompt"), body.get("input")]
    digest = hashlib.sha256(json.dumps(essence, sort_keys=True).encode()).hexdigest()[:8]
    words = _directive.sub("", read_text(body)).split()
    return digest, " ".join([digest, *words[:ANSWER_WORDS]])


def render_answer(url: str, body: Body, answer: str) -> Body:
    """The answer in the shape of its endpoint, with usage in words."""
    prompt, completion = len(read_text(body).split()), len(answer.split())
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    common = {"id": f"scripted-{answer[:8]}", "created": 0, "model": body.get("model")}
    if url == "/v1/embeddings":
        vector = [byte / 255 for byte in hashlib.sha256(answer.encode()).digest()[:EMBEDDING_SIZE]]
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        return {**common, "object": "list", "data": data, "usage": {"prompt_tokens": prompt, "total_tokens": prompt}}
    if url == "/v1/completions":
        choice: Body = {"index": 0, "text": answer, "finish_reason": "stop"}
        return {**common, "object": "text_completion", "choices": [choice], "usage": usage}
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    return {**common, "object": "chat.completion", "choices": [choice], "usage": usage}


def _render_error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "scripted_error", "code": status}
    return web.json_response({"error": error}, status=status)


def _is_first(mark: Path) -> bool:
    """Whether the file does not exist; it is made."""
    if mark.exists():
        return False
    mark.touch()
    return True


async def follow_directives(text: str, *, script: Script, request: web.Request) -> web.Response | None:
    """Do what the directives in the text say; a response, if they ask for another one than the answer."""
    for name, argument in _directive.findall(text):
        if argument.startswith("once ") and not _is_first(Path(argument.removeprefix("once "))):
            continue
        match name:
            case "status":
                return _render_error(int(argument), f"scripted status for: {text}")
            case "delay":
                await asyncio.sleep(float(argument))
            case "hang":
                await asyncio.Event().wait()
            case "drop" if request.transport:
                request.transport.abort()
            case "malformed":
                return web.Response(text="<html>not JSON</html>", content_type="text/html")
            case "exit":
                os._exit(137)
            case "unhealthy":
                script.healthy = False
            case _:
                return _render_error(400, f"no such directive: {name}")
    return None


async def answer_request(request: web.Request, *, script: Script) -> web.Response:
    """Answer one inference request."""
    try:
        body: Body = json.loads(await request.read())
        text = read_text(body)
        digest, answer = compose_answer(body)
    except (ValueError, TypeError, KeyError, AttributeError) as fault:
        return _render_error(400, f"bad request: {fault}")
    script.requests += 1
    script.order.append(digest)
    script.bodies.append(body)
    script.in_flight += 1
    script.most_in_flight = max(script.most_in_flight, script.in_flight)
    if script.log_prompts:
        print(f"prompt: {text}", flush=True)
    try:
        other = await follow_directives(text, script=script, request=request)
        return other or web.json_response(render_answer(request.path, body, answer))
    finally:
        script.in_flight -= 1


def build_app(script: Script) -> web.Application:
    """The web application."""

    async def answer(request: web.Request) -> web.Response:
        return await answer_request(request, script=script)

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=200 if script.healthy else 503)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": script.model, "object": "model"}]})

    async def stats(_: web.Request) -> web.Response:
        seen = {name: getattr(script, name) for name in ("requests", "in_flight", "most_in_flight", "order")}
        return web.json_response({**seen, "bodies": list(script.bodies)})

    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_get("/health", health)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/stats", stats)
    for url in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
        app.router.add_post(url, answer)
    return app


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m slacktide_local.scripted_engine")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="scripted")
    parser.add_argument("--log-prompts", action="store_true", help="print every prompt, as a careless engine would")
    parser.add_argument("--unhealthy", action="store_true", help="answer 503 to /health from the start")
    options = parser.parse_args(arguments)
    script = Script(model=options.model, healthy=not options.unhealthy, log_prompts=options.log_prompts)
    # A handler ends when its client goes away, so that `in_flight` counts what somebody waits for.
    web.run_app(
        build_app(script),
        host="127.0.0.1",
        port=options.port,
        print=lambda *_: None,
        access_log=None,
        handler_cancellation=True,
        handle_signals=True,
        shutdown_timeout=0.5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
