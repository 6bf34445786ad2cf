"""Results put back in input order: by Slacktide, and by the dictionary of parsed JSON that one writes first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.batches import BATCH_ID, Store, answers_key

Join = Callable[[Store], int]


def write_custom_ids(store: Store) -> None:
    """The custom_ids of the input alone, for the dictionary, which so is spared the bodies of the input."""
    with (store.root / "input" / "file.jsonl").open("rb") as lines, _custom_ids(store.root).open("w") as file:
        file.writelines(json.dumps(json.loads(line)["custom_id"]) + "\n" for line in lines)


def join_by_dictionary(store: Store) -> int:
    """All that the backend answered into a dictionary; then line after line out of it. It takes no SHA-256, as assembly does."""
    answers: dict[str, dict[str, Any]] = {}
    for job in store.read_jobs():
        with (store.root / answers_key(job)).open("rb") as file:
            for text in file:
                answer = json.loads(text)
                answers[answer["custom_id"]] = answer["response"]
    line = 0
    with _custom_ids(store.root).open("rb") as custom_ids, naive_output(store.root).open("w", encoding="utf-8") as output:
        for line, custom_id in enumerate(custom_ids, 1):
            name = f"{BATCH_ID}.1.{line}"
            response = answers[name]
            response["request_id"] = name
            entry = {"id": name, "custom_id": json.loads(custom_id), "line": line, "response": response, "error": None}
            output.write(json.dumps(entry) + "\n")
    return line


def collect_and_assemble(store: Store) -> int:
    """All that lies between the answers of a backend and the results; on AWS the jobs are collected side by side."""
    store.collect()
    return store.assemble()


def naive_output(root: Path) -> Path:
    """Where the dictionary's lines are written."""
    return root / "naive.jsonl"


def _custom_ids(root: Path) -> Path:
    return root / "custom_ids.jsonl"


JOINS: dict[str, Join] = {
    "dictionary": join_by_dictionary,
    "collected": collect_and_assemble,
    "assembly": Store.assemble,
}
