"""The options of a dropped file: S3 user metadata, read strictly."""

import re
from collections.abc import Mapping

from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.models import ENDPOINTS
from slacktide.settings import Settings

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# Known to later parts of Slacktide; refused until they are there, since a budget that is not kept is worse than none.
_NOT_YET = ("not-before", "max-cost-usd", "max-rounds", "route", "priority")
LONGEST_TAG = 256


def read_options(metadata: Mapping[str, str], settings: Settings) -> Options | Failure:
    """The options in an object's user metadata, or why they cannot be followed. Names that are not ours are left alone."""
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
    problems += [f"{name} is not supported by this version" for name in _NOT_YET if name in metadata]
    if problems:
        return Failure(Code.INVALID_OPTION, "The object's metadata cannot be followed: " + "; ".join(problems) + ".")
    return Options(completion_window=window, on_invalid=on_invalid, max_invalid_ratio=ratio, endpoint=endpoint, tag=tag)


def _window(text: str, settings: Settings, problems: list[str]) -> int:
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else -1
    if not settings.window_shortest <= seconds <= settings.window_longest:
        shortest, longest = settings.window_shortest, settings.window_longest
        problems.append(f"completion-window is a number with s, m, h or d, from {shortest}s to {longest}s")
    return seconds


def _ratio(text: str, problems: list[str]) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        problems.append("max-invalid-ratio is a number from 0 to 1")
    return ratio
