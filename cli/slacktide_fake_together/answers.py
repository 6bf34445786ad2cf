"""Answers without a model: the text of the request, or a fixed one, in the shape of its endpoint."""

import hashlib
from typing import Any

import msgspec

from slacktide_fake_together.account import Answer, Line

EMBEDDING_SIZE = 8
_KEPT = 2_000  # characters of a prompt in an answer
_raw = msgspec.json.Decoder(dict[str, Any])


def read_prompt(line: Line) -> str:
    """The text of a request: its last user message, its prompt or its input; empty when there is none."""
    try:
        body = _raw.decode(line.body)
    except msgspec.MsgspecError:
        return ""
    return find_text(body)


def find_text(body: dict[str, Any]) -> str:
    match body:
        case {"messages": [*messages]}:
            texts = [
                message.get("content") for message in messages if isinstance(message, dict) and message.get("role") == "user"
            ]
            return _flatten(texts[-1])[:_KEPT] if texts else ""
        case {"prompt": text} | {"input": text}:
            return _flatten(text)[:_KEPT]
        case _:
            return ""


def _flatten(content: Any) -> str:
    parts: list[Any] = content if isinstance(content, list) else [content]
    return " ".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts)


def fill(template: str, prompt: str) -> str:
    """The template with the prompt in place of `{prompt}`; other braces stay."""
    return template.replace("{prompt}", prompt)


def answer_line(line: Line, *, endpoint: str, template: str, models: tuple[str, ...] | None) -> Answer:
    """The answer to one request, or the error of one that is not answerable."""
    try:
        body = _raw.decode(line.body)
    except msgspec.MsgspecError:
        return render_error(400, "The body is not an object.", code="invalid_request")
    model = body.get("model")
    if not isinstance(model, str) or (models is not None and model not in models):
        return render_error(
            404, "Unable to access the model: it does not exist or cannot be batched.", code="model_not_available"
        )
    prompt = find_text(body)
    return Answer(200, encode(render_answer(endpoint, model, prompt, fill(template, prompt))))


def render_answer(endpoint: str, model: str, prompt: str, text: str) -> dict[str, Any]:
    """The body of an answer; usage counts words. `types/chat/chat_completion.py`, `completion.py`, `embedding.py` of 3.1.1."""
    asked, answered = len(prompt.split()), len(text.split())
    usage = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
    common: dict[str, Any] = {"id": "fake", "created": 0, "model": model}
    if endpoint == "/v1/embeddings":
        vector = [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:EMBEDDING_SIZE]]
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        return {**common, "object": "list", "data": data, "usage": {"prompt_tokens": asked, "total_tokens": asked}}
    if endpoint == "/v1/completions":
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
        return {**common, "object": "text_completion", "choices": [choice], "usage": usage}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    return {**common, "object": "chat.completion", "choices": [choice], "usage": usage}


def render_error(status: int, message: str, *, code: str | None = None) -> Answer:
    """The answer to a request that failed."""
    error = {
        "message": message,
        "type": "server_error" if status >= 500 else "invalid_request_error",
        "param": None,
        "code": code,
    }
    return Answer(status, encode({"error": error}))


def encode(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
