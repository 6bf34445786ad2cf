"""The options of a batch: S3 user metadata of a dropped file, metadata of a created batch. Read strictly."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.models import BACKENDS, ENDPOINTS
from slacktide.settings import Settings
from slacktide.tickets import PRIORITIES

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# RFC 3339, section 5.6; seconds and their fraction may be left out.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)")
_DOLLARS = re.compile(r"\d{1,9}(\.\d{1,6})?")
OPTIONS = (
    "completion-window",
    "on-invalid",
    "max-invalid-ratio",
    "endpoint",
    "tag",
    "not-before",
    "route",
    "max-rounds",
    "show-backend",
    "max-cost-usd",
    "priority",
    "only-model",
    "output-expires-after",
)
LONGEST_TAG = LONGEST_MODEL = 256  # characters
LONGEST_ROUTE = 20  # steps
SHORTEST_EXPIRY, LONGEST_EXPIRY = 3_600, 2_592_000  # seconds: 1 hour to 30 days (`types/file_create_params.py` of `openai` 3.x)


def read_options(metadata: Mapping[str, str], settings: Settings, now: int) -> Options | Failure:
    """The options in an object's user metadata, or why they cannot be followed. Names that are not ours are left alone.

    `now` is what a `not-before` that is a duration counts from, in Unix seconds.
    """
    problems: list[str] = []
    window = _window(metadata.get("completion-window", "24h"), settings, problems)
    on_invalid = metadata.get("on-invalid", "skip")
    if on_invalid not in {"skip", "reject"}:
        problems.append("on-invalid is skip or reject")
    ratio = _ratio(metadata.get("max-invalid-ratio", "1"), problems)
    endpoint = metadata.get("endpoint")
    if endpoint is not None and endpoint not in ENDPOINTS:
        problems.append(f"endpoint is one of {', '.join(ENDPOINTS)}")
    tag = metadata.get("tag")
    if tag is not None and (len(tag) > LONGEST_TAG or not tag.isprintable()):
        problems.append(f"tag has at most {LONGEST_TAG} printable characters")
    options = Options(
        completion_window=window,
        on_invalid=on_invalid,
        max_invalid_ratio=ratio,
        endpoint=endpoint,
        tag=tag,
        not_before=_start(metadata.get("not-before"), settings, now, problems),
        route=_route(metadata.get("route"), problems),
        max_rounds=_rounds(metadata.get("max-rounds"), settings, problems),
        show_backend=_flag("show-backend", metadata.get("show-backend", "false"), problems),
        priority=_priority(metadata.get("priority", "normal"), problems),
        max_cost_usd=_budget(metadata.get("max-cost-usd"), problems),
        only_model=_model(metadata.get("only-model"), problems),
        output_expires_after=_expiry(metadata.get("output-expires-after"), problems),
    )
    if problems:
        return Failure(Code.INVALID_OPTION, "The options cannot be followed: " + "; ".join(problems) + ".")
    return options


def _seconds(text: str) -> int:
    """A duration in seconds; -1 where it is none."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else -1


def _window(text: str, settings: Settings, problems: list[str]) -> int:
    seconds = _seconds(text)
    if not settings.window_shortest <= seconds <= settings.window_longest:
        shortest, longest = settings.window_shortest, settings.window_longest
        problems.append(f"completion-window is a number with s, m, h or d, from {shortest}s to {longest}s")
    return seconds


def _ratio(text: str, problems: list[str]) -> float:
    try:
        ratio = round(float(text), 9)  # DynamoDB refuses numbers that are very close to 0
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        problems.append("max-invalid-ratio is a number from 0 to 1")
    return ratio


def _start(text: str | None, settings: Settings, now: int, problems: list[str]) -> int | None:
    """A time or a duration from now on, as Unix seconds; a time that is over is no hindrance."""
    if text is None:
        return None
    start = now + _seconds(text) if _DURATION.fullmatch(text) else _read_time(text)
    if start is None or start > now + settings.window_longest:
        longest = f"{settings.window_longest}s"
        problems.append(f"not-before is a time as 2026-01-31T22:00:00Z, or a number with s, m, h or d, at most {longest} ahead")
    return start


def _read_time(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text.upper()).timestamp()) if _TIME.fullmatch(text) else None
    except ValueError:  # no such day, or no such hour
        return None


def _route(text: str | None, problems: list[str]) -> list[str] | None:
    if text is None:
        return None
    route = [name.strip() for name in text.split(",")]
    if len(route) > LONGEST_ROUTE or not set(route) <= set(BACKENDS):
        problems.append(f"route has 1 to {LONGEST_ROUTE} of {', '.join(BACKENDS)}, with commas between them")
    return route


def _rounds(text: str | None, settings: Settings, problems: list[str]) -> int | None:
    if text is None:
        return None
    rounds = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
    if not 1 <= rounds <= settings.max_rounds:
        problems.append(f"max-rounds is a whole number from 1 to {settings.max_rounds}")
    return rounds


def _priority(text: str, problems: list[str]) -> str:
    if text not in PRIORITIES:
        problems.append(f"priority is one of {', '.join(PRIORITIES)}")
    return text


def _budget(text: str | None, problems: list[str]) -> Decimal | None:
    if text is None:
        return None
    amount = Decimal(text) if _DOLLARS.fullmatch(text) else Decimal(0)
    if not amount:
        problems.append("max-cost-usd is a number of dollars above 0, with at most six decimals")
    return amount


def _model(text: str | None, problems: list[str]) -> str | None:
    if text is not None and not (0 < len(text) <= LONGEST_MODEL and text.isprintable()):
        problems.append(f"only-model is the name of a model, of at most {LONGEST_MODEL} printable characters")
    return text


def _expiry(text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    seconds = _seconds(text)
    if not SHORTEST_EXPIRY <= seconds <= LONGEST_EXPIRY:
        limits = f"from {SHORTEST_EXPIRY}s to {LONGEST_EXPIRY}s"
        problems.append(f"output-expires-after is a number with s, m, h or d, {limits}")
    return seconds


def _flag(name: str, text: str, problems: list[str]) -> bool:
    if text not in {"true", "false"}:
        problems.append(f"{name} is true or false")
    return text == "true"
