"""What reads an input file, side by side: Slacktide, the packages it is compared with, and the floor below all of them.

Each is a function that loads what it needs, outside the time, and answers a function that reads a file and answers how
many of its lines it takes for good; none, if it refuses the file. That lines are counted shows that they were read.
"""
# ruff: noqa: PLC0415 - each contender is loaded only in its own process
# pyright: reportMissingImports=false

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

BLOCK = 1 << 16  # bytes read at once, as the pipeline does
Read = Callable[[Path], int]


def read_blocks(path: Path) -> Iterator[bytes]:
    """A file in blocks, without a buffer of Python's between."""
    with path.open("rb", buffering=0) as file:
        yield from iter(partial(file.read, BLOCK), b"")


def load_memcpy() -> Read:
    """The bytes from the page cache into memory, once, and no more than that."""
    buffer = bytearray(BLOCK)

    def run(path: Path) -> int:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return -1

    return run


def load_newlines() -> Read:
    """The same, and every line feed counted."""
    return lambda path: sum(block.count(b"\n") for block in read_blocks(path))


def load_json() -> Read:
    """`json.loads` of every line, and no check of what comes out."""

    def run(path: Path) -> int:
        lines = 0
        with path.open("rb") as file:
            for line in file:
                json.loads(line)
                lines += 1
        return lines

    return _refusing(run, ValueError)


def load_check_file() -> Read:
    """What Together's client does before it uploads a file."""
    from together.lib.utils.files import check_file

    def run(path: Path) -> int:
        report = check_file(path, "batch-api")
        return report["num_samples"] if report["is_check_passed"] else 0

    return run


def load_litellm() -> Read:
    """What LiteLLM's proxy does with a batch file that is uploaded. It does not count the lines."""
    from litellm.proxy.openai_files_endpoints.batch_file_validation import check_batch_file_upload

    def run(path: Path) -> int:
        with path.open("rb") as file:
            return 0 if check_batch_file_upload(path.name, file, None) is not None else -1

    return run


def load_pydantic() -> Read:
    """As vLLM's `validate_batch` reads a file: every line into a pydantic model, messages by the types of the package openai.

    vLLM cannot be imported without PyTorch, so its models are built here, with those fields of its request that the files
    have, or could have; its own request has some sixty more. As there, a message of any role is one, and the body of a url
    that is not known is tried as a request all the same.
    """
    from typing import Required

    from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam, ChatCompletionMessageToolCallParam
    from pydantic import BaseModel, ConfigDict, field_validator
    from typing_extensions import TypedDict

    class CustomMessage(TypedDict, total=False):
        role: Required[str]
        content: str | list[ChatCompletionContentPartParam]
        name: str
        tool_call_id: str | None
        tool_calls: list[ChatCompletionMessageToolCallParam] | None

    class ChatCompletionRequest(BaseModel):
        model_config = ConfigDict(extra="allow")
        messages: list[ChatCompletionMessageParam | CustomMessage]
        model: str | None = None
        max_tokens: int | None = None
        temperature: float | None = None
        top_p: float | None = None
        n: int | None = 1
        presence_penalty: float | None = None
        frequency_penalty: float | None = None
        stream: bool | None = False

    class BatchRequestInput(BaseModel):
        model_config = ConfigDict(extra="allow")
        custom_id: str
        method: str
        url: str
        body: ChatCompletionRequest

        @field_validator("body", mode="plain")
        @classmethod
        def check_body(cls, value: Any) -> ChatCompletionRequest:
            """The body by itself, as in vLLM, where its type is chosen here."""
            return ChatCompletionRequest.model_validate(value)

    def run(path: Path) -> int:
        lines = 0
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                if line.strip():
                    BatchRequestInput.model_validate_json(line)
                    lines += 1
        return lines

    return _refusing(run, ValueError)


def load_slacktide() -> Read:
    """The whole of `slacktide validate`, but for its report: the pipeline's scan, and nothing kept of a good line."""
    from slacktide.batch import Options
    from slacktide.models import shipped_models
    from slacktide_cli.preflight import examine

    models = shipped_models()

    def run(path: Path) -> int:
        report = examine(read_blocks(path), name=path.name, models=models, options=Options(), most=20)
        return report.total - report.invalid

    return run


def load_splitting() -> Read:
    """The scan of the pipeline, with its lines written to files by model and endpoint, and all else that a batch needs.

    It reads the file as the others do. To read it from S3, in ranges by threads, is measured with the download.
    """
    from bench.batches import Store
    from slacktide.models import shipped_models

    shipped_models()  # once for a process, as with the others; it is kept

    def run(path: Path) -> int:
        with Store.temporary(path) as store:
            index = store.validate(read_blocks(path))
        return index.total - index.invalid

    return run


def _refusing(run: Read, *errors: type[Exception]) -> Read:
    """A reader whose exceptions are its way to refuse a file."""

    def refuse(path: Path) -> int:
        try:
            return run(path)
        except errors:
            return 0

    return refuse


VALIDATORS: dict[str, Callable[[], Read]] = {
    "memcpy": load_memcpy,
    "newlines": load_newlines,
    "json": load_json,
    "check_file": load_check_file,
    "litellm": load_litellm,
    "pydantic": load_pydantic,
    "slacktide": load_slacktide,
    "splitting": load_splitting,
}
