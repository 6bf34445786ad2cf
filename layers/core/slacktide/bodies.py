"""The bodies of requests, one endpoint each: what is wrong with them, field by field.

Fields and ranges are those of OpenAI's API reference and of Together's (chat completions, completions, embeddings); where the two
differ, the wider one counts. A parameter that is not known here passes: the backend knows its own.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from slacktide.codes import Code
from slacktide.json_text import Path
from slacktide.models import ENDPOINTS, Model

CHAT, COMPLETIONS, EMBEDDINGS = ENDPOINTS
ROLES = ("system", "developer", "user", "assistant", "tool", "function")

LARGEST = 2**53  # beyond it, readers of JSON differ in what an integer is (RFC 8259, section 6)
Integer = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Count = Annotated[int, Meta(ge=1, le=128)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]

# What a parameter may be; null is the same as leaving it out.
PARAMETERS: dict[str, Any] = {
    "max_tokens": Positive,
    "max_completion_tokens": Positive,
    "temperature": Temperature,
    "top_p": Share,
    "min_p": Share,
    "top_k": Integer,
    "n": Count,
    "seed": Integer,
    "presence_penalty": Penalty,
    "frequency_penalty": Penalty,
    "repetition_penalty": Annotated[float, Meta(ge=0)],
    "stop": str | list[str],
    "logprobs": bool | Integer,
    "top_logprobs": Annotated[int, Meta(ge=0, le=128)],
    "logit_bias": dict[str, float],
    "user": str,
    "metadata": dict[str, Any],
    "parallel_tool_calls": bool,
    "stream": bool,
}
_TOKENS = ("max_tokens", "max_completion_tokens")
RESPONSE_FORMATS = ("text", "json_object", "json_schema", "regex", "grammar")
_URL_PARTS = ("image_url", "video_url", "audio_url")
_DATA_URL = re.compile(r"data:[a-z0-9.+-]+/[a-z0-9.+-]+(?:;[a-z0-9=._-]+)*;base64,", re.IGNORECASE)
_TOOL_CHOICES = ("none", "auto", "required")

Found = tuple[Path, Code, str]  # where, what kind, and a message that begins with the field


def find_problems(body: dict[str, Any], endpoint: str, model: Model | None, *, media_urls: bool = True) -> Iterator[Found]:
    """All problems of a body, in the order of its fields in the API's documentation; paths begin with `body`.

    `media_urls` says whether media may be named by a URL instead of being in the request as a data URL.
    """
    if endpoint == CHAT:
        yield from _messages(body, media_urls=media_urls)
        yield from _tools(body)
        yield from _response_format(body)
    elif endpoint == COMPLETIONS:
        yield from _texts(body, "prompt")
    else:
        yield from _texts(body, "input")
    for name, kind in PARAMETERS.items():
        if body.get(name) is not None:
            yield from _converted(body[name], kind, ("body", name))
    if body.get("stream") is True:
        yield ("body", "stream"), Code.UNSUPPORTED_PARAMETER, "body.stream: a batch cannot stream; leave it out."
    if model is not None and model.context is not None:
        yield from _window(body, model, model.context)


def name_of(path: Path) -> str:
    """A path as people write it, for example `body.messages[0].role`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _window(body: dict[str, Any], model: Model, context: int) -> Iterator[Found]:
    for name in _TOKENS:
        asked = body.get(name)
        if isinstance(asked, int) and context < asked <= LARGEST:
            message = f"body.{name} is {asked}, but {model.id} has a window of {context} tokens."
            yield ("body", name), Code.INVALID_REQUEST, message


def _texts(body: dict[str, Any], name: str) -> Iterator[Found]:
    """A text, texts, tokens, or lists of tokens; none of them empty."""
    path = ("body", name)
    value = body.get(name)
    if value is None:
        yield _missing(path, "a text or a list of texts")
    elif isinstance(value, str | list) and not value:
        yield _wrong(path, "is empty")
    else:
        yield from _converted(value, str | list[str | int | list[int]], path)


# Messages


def _messages(body: dict[str, Any], *, media_urls: bool) -> Iterator[Found]:
    path: Path = ("body", "messages")
    messages = body.get("messages")
    if messages is None:
        yield _missing(path, "a list of messages")
    elif not isinstance(messages, list):
        yield _wrong(path, "must be a list of messages")
    elif not messages:
        yield _wrong(path, "is empty: a request has at least one message")
    else:
        for number, message in enumerate(messages):
            yield from _message(message, (*path, number), media_urls=media_urls)


def _message(message: Any, path: Path, *, media_urls: bool) -> Iterator[Found]:
    if not isinstance(message, dict):
        yield _wrong(path, "must be an object with role and content")
        return
    role = message.get("role")
    if role is None:
        yield _missing((*path, "role"), f"one of {', '.join(ROLES)}")
    elif role not in ROLES:
        yield _wrong((*path, "role"), f"must be one of {', '.join(ROLES)}")
    calls = message.get("tool_calls")
    if calls is not None:
        yield from _tool_calls(calls, (*path, "tool_calls"))
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        yield _missing((*path, "tool_call_id"), "the id of the tool call that this answers")
    yield from _content(message, path, may_be_null=role == "assistant" and _calls_something(message), media_urls=media_urls)


def _calls_something(message: dict[str, Any]) -> bool:
    return any(message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio"))


def _content(message: dict[str, Any], path: Path, *, may_be_null: bool, media_urls: bool) -> Iterator[Found]:
    content = message.get("content")
    path = (*path, "content")
    if content is None:
        if not may_be_null:
            yield _missing(path, "a text or a list of parts")
    elif isinstance(content, list):
        if not content:
            yield _wrong(path, "is empty: give a text, or at least one part")
        for number, part in enumerate(content):
            yield from _part(part, (*path, number), media_urls=media_urls)
    elif not isinstance(content, str):
        yield _wrong(path, "must be a text or a list of parts")


def _part(part: Any, path: Path, *, media_urls: bool) -> Iterator[Found]:
    """One part of a message's content; a type that is not known here is left to the backend."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        yield _wrong(path, "must be an object with a type, for example text or image_url")
    elif kind == "text":
        if not isinstance(part.get("text"), str):
            yield _missing((*path, "text"), "a text")
    elif kind in _URL_PARTS:
        yield from _media(part, kind, path, media_urls=media_urls)


def _media(part: dict[str, Any], kind: str, path: Path, *, media_urls: bool) -> Iterator[Found]:
    media = part.get(kind)
    url = media.get("url") if isinstance(media, dict) else None
    path = (*path, kind, "url")
    if not isinstance(url, str):
        yield _missing(path, "a data URL, or a URL" if media_urls else "a data URL")
    elif url[:5].lower() == "data:":
        if not _DATA_URL.match(url):
            yield _wrong(path, "must have the form data:<type>;base64,<data>")
    elif not url.lower().startswith(("https://", "http://")):
        yield _wrong(path, "must begin with data:, https:// or http://")
    elif not media_urls:
        yield _wrong(path, "must be a data URL: this stack fetches no media")


# Tools


def _tool_calls(calls: Any, path: Path) -> Iterator[Found]:
    if not isinstance(calls, list):
        yield _wrong(path, "must be a list of tool calls")
        return
    for number, call in enumerate(calls):
        place = (*path, number)
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict):
            yield _wrong(place, "must be an object with id, type and function")
            continue
        if not isinstance(call.get("id"), str):
            yield _missing((*place, "id"), "a text")
        if call.get("type", "function") == "function":
            yield from _called_function(function, (*place, "function"))


def _called_function(function: Any, path: Path) -> Iterator[Found]:
    if not isinstance(function, dict):
        yield _missing(path, "an object with name and arguments")
        return
    for name in ("name", "arguments"):
        if not isinstance(function.get(name), str):
            yield _missing((*path, name), "a text")


def _tools(body: dict[str, Any]) -> Iterator[Found]:
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        yield _wrong(("body", "tools"), "must be a list of tools")
    elif tools:
        for number, tool in enumerate(tools):
            yield from _tool(tool, ("body", "tools", number))
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        if choice not in _TOOL_CHOICES:
            yield _wrong(
                ("body", "tool_choice"), f"must be one of {', '.join(_TOOL_CHOICES)}, or an object that names a function"
            )
    elif choice is not None and not isinstance(choice, dict):
        yield _wrong(("body", "tool_choice"), f"must be one of {', '.join(_TOOL_CHOICES)}, or an object that names a function")


def _tool(tool: Any, path: Path) -> Iterator[Found]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        yield _wrong(path, "must be an object with a type, for example function")
    elif kind == "function":
        function = tool.get("function")
        if not isinstance(function, dict):
            yield _missing((*path, "function"), "an object with a name")
            return
        if not _fits(function.get("name"), ToolName):
            yield _wrong((*path, "function", "name"), "must have 1 to 64 letters, digits, dots, dashes or underscores")
        if not isinstance(function.get("parameters") or {}, dict):
            yield _wrong((*path, "function", "parameters"), "must be a JSON schema, which is an object")


def _response_format(body: dict[str, Any]) -> Iterator[Found]:
    wanted = body.get("response_format")
    path: Path = ("body", "response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in RESPONSE_FORMATS:
        yield _wrong((*path, "type") if kind else path, f"must be an object whose type is one of {', '.join(RESPONSE_FORMATS)}")
    elif kind == "json_schema" and not any(isinstance(wanted.get(name), dict) for name in ("json_schema", "schema")):
        yield _missing((*path, "json_schema"), "an object that holds the schema")


# What all have in common


def _missing(path: Path, wanted: str) -> Found:
    return path, Code.INVALID_REQUEST, f"{name_of(path)} is missing or of another type: it is {wanted}."


def _wrong(path: Path, what: str) -> Found:
    return path, Code.INVALID_REQUEST, f"{name_of(path)} {what}."


def _fits(value: Any, kind: Any) -> bool:
    return next(_converted(value, kind, ()), None) is None


def _converted(value: Any, kind: Any, path: Path) -> Iterator[Found]:
    """A value against a type; the message is msgspec's, which names types and limits, never the value."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        yield path, Code.INVALID_REQUEST, f"{name_of(path)}: {error}."
