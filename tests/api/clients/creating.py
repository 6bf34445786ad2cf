"""Create batches of one file with an official client, as often as the command line says; prints their ids, or its errors.

The arguments: the client, its address, the id of the file, how many, and, for OpenAI's, an Idempotency-Key.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module

CHAT = "/v1/chat/completions"


def openai_creator(url: str, file_id: str, *key: str) -> Callable[[], str]:
    """With `openai`."""
    client = import_module("openai").OpenAI(base_url=f"{url}/openai/v1")
    headers = {"Idempotency-Key": key[0]} if key else {}
    new = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", "extra_headers": headers}
    return lambda: client.batches.create(**new).id


def together_creator(url: str, file_id: str) -> Callable[[], str]:
    """With `together` 3.x."""
    client = import_module("together").Together(base_url=url)
    return lambda: client.batches.create(input_file_id=file_id, endpoint=CHAT).job.id


def together1_creator(url: str, file_id: str) -> Callable[[], str]:
    """With `together` 1.5.x."""
    client = import_module("together").Together(base_url=f"{url}/v1")
    return lambda: client.batches.create_batch(file_id, CHAT).id


def attempt(create: Callable[[], str]) -> str:
    """The id of a batch, or the class of the error that the client's user catches."""
    try:
        return create()
    except Exception as error:  # each client has a root of its own
        return type(error).__name__


CREATORS = {"openai": openai_creator, "together": together_creator, "together1": together1_creator}

if __name__ == "__main__":
    name, url, file_id, count, *key = sys.argv[1:]
    create = CREATORS[name](url, file_id, *key)
    print(json.dumps([attempt(create) for _ in range(int(count))]))
