"""What users do: files of random lines and options, dropped at random times, some of them cancelled."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from fakes.world import request

CANARY = "canary-in-a-prompt"
BATCHES = 20
MODELS = (
    "meta-llama/Llama-3.3-70B-Instruct-Turbo",  # route: together, together, sagemaker
    "deepseek-ai/DeepSeek-V3",
    "deepseek-ai/DeepSeek-R1",
    "smollm2",  # sagemaker alone
)
ROUTES = (
    *("together", "together,sagemaker", "sagemaker,together", "together,together,together,sagemaker", "sagemaker"),
    *("openai", "openai,openai,sagemaker", "openai,together,sagemaker", "together,openai"),
)
LONGEST = 4 * 3_600  # seconds in which files are dropped
BROKEN = (
    b"nonsense",
    b"{",
    b"\xff\xfe",
    b'{"custom_id": "no-body"}',
    json.dumps(request("unknown", model="nobody/knows")).encode(),
    b'{"body": {"model": "smollm2", "messages": []}}',
)


@dataclass(frozen=True)
class Drop:
    """A file that is dropped `at` seconds after the start, its metadata, and when a cancel marker follows it."""

    at: int
    path: str
    content: bytes
    metadata: dict[str, str]
    repeats_after: int | None = None  # seconds until its event comes once more
    cancel_after: int | None = None  # seconds
    is_cancelled_by_id: bool = False


def make_story(random: Random) -> list[Drop]:
    """What is dropped; some paths twice."""
    return [
        Drop(
            at=random.randrange(LONGEST),
            path=f"f{number % 17}.jsonl",
            content=_make_file(random, number),
            metadata=_make_options(random),
            repeats_after=_sometimes(random, 0.3, 7_200),
            cancel_after=_sometimes(random, 0.2, 4 * 3_600),
            is_cancelled_by_id=random.random() < 0.5,
        )
        for number in range(BATCHES)
    ]


def _sometimes(random: Random, share: float, longest: int) -> int | None:
    seconds = random.randrange(longest)
    return seconds if random.random() < share else None


def _make_file(random: Random, number: int) -> bytes:
    size = random.choice((1, 2, random.randint(3, 20), random.randint(20, 90), random.randint(90, 300)))
    models = random.sample(MODELS, random.randint(1, 3))
    bad = random.choice((0.0, 0.0, 0.05, 0.3))
    lines = [_make_line(random, f"{number}-{line}", models, bad) for line in range(1, size + 1)]
    return b"\n".join(lines) + random.choice((b"\n", b""))


def _make_line(random: Random, name: str, models: Sequence[str], bad: float) -> bytes:
    """A good request, whose prompt names it, or one of the bad ones; some custom_ids stand in a file more than once."""
    if random.random() < bad:
        return random.choice(BROKEN)
    custom_id = "twice" if random.random() < bad / 4 else f"request {name}"
    return json.dumps(request(custom_id, f"{CANARY} {name}", model=random.choice(models))).encode()


def _make_options(random: Random) -> dict[str, str]:
    options = {"completion_window": random.choice(("1h", "90m", "3h", "6h", "12h"))}
    choices = {
        "route": (0.4, random.choice(ROUTES)),
        "max_rounds": (0.2, str(random.randint(1, 5))),
        "not_before": (0.2, f"{random.randint(1, 120)}m"),
        "on_invalid": (0.1, "reject"),
        "tag": (0.2, "a tag"),
        "show_backend": (0.3, "true"),
    }
    for name, (share, value) in choices.items():
        if random.random() < share:
            options[name] = value
    return options
