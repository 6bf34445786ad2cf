"""A container that answers at once, without an engine: for runs of a million lines, where the pipeline is what is tried.

It is told its port by SageMaker's variables, as the real container is. The answer to a request is its own text behind
`echo: `; usage counts words. For each payload it prints which lines it saw, as ranges of line numbers:

    {"event": "answered", "lines": 250, "seen": [[2, 17], [19, 252]]}
"""

import json
import os
import sys
from typing import Any

import msgspec
from aiohttp import web

from slacktide_local.sagemaker.runner import MB

LARGEST_BODY = 101 * MB


class Message(msgspec.Struct):
    """A chat message with a text."""

    content: str


class Body(msgspec.Struct):
    """What a request says, at whichever endpoint."""

    messages: list[Message] = []
    prompt: str = ""


class Request(msgspec.Struct):
    """A request line."""

    custom_id: str
    body: Body
    url: str = "/v1/chat/completions"


class Usage(msgspec.Struct):
    """Words, for want of tokens."""

    prompt_tokens: int
    completion_tokens: int


class ResponseBody(msgspec.Struct):
    """An answer in the shape of its endpoint."""

    kind: str = msgspec.field(name="object")
    choices: list[dict[str, Any]]
    usage: Usage


class Response(msgspec.Struct):
    """An HTTP answer."""

    body: ResponseBody
    status_code: int = 200
    request_id: str = "instant"


class Answer(msgspec.Struct):
    """An output line."""

    custom_id: str
    response: Response
    error: None = None


_decode = msgspec.json.Decoder(Request).decode
_encoder = msgspec.json.Encoder()


def answer_line(line: bytes) -> tuple[int, bytes]:
    """The line number of a request, and its answer."""
    request = _decode(line)
    text = request.body.messages[-1].content if request.body.messages else request.body.prompt
    said = f"echo: {text}"
    words = Usage(text.count(" ") + 1, said.count(" ") + 1)
    if request.url == "/v1/completions":
        body = ResponseBody("text_completion", [{"index": 0, "text": said, "finish_reason": "stop"}], words)
    else:
        message = {"role": "assistant", "content": said}
        body = ResponseBody("chat.completion", [{"index": 0, "message": message, "finish_reason": "stop"}], words)
    return int(request.custom_id.rpartition(".")[2]), _encoder.encode(Answer(request.custom_id, Response(body)))


def find_ranges(lines: list[int]) -> list[tuple[int, int]]:
    """Runs of line numbers that follow each other, first and last of each."""
    ranges: list[tuple[int, int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], line
        else:
            ranges.append((line, line))
    return ranges


async def answer_payload(request: web.Request) -> web.Response:
    """Answer every line of a payload."""
    answers = [answer_line(line) for line in (await request.read()).split(b"\n") if line]
    seen = find_ranges([number for number, _ in answers])
    print(json.dumps({"event": "answered", "lines": len(answers), "seen": seen}), flush=True)
    return web.Response(body=b"".join(answer + b"\n" for _, answer in answers), content_type="application/jsonlines")


async def ping(_: web.Request) -> web.Response:
    """It is up as soon as it listens."""
    return web.Response()


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_get("/ping", ping)
    app.router.add_post("/invocations", answer_payload)
    host, port = os.environ["TRANSFORM_HOST"], int(os.environ["TRANSFORM_PORT"])
    web.run_app(app, host=host, port=port, print=lambda *_: None, access_log=None, shutdown_timeout=0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
