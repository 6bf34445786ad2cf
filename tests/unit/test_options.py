"""Options of a dropped file: read strictly, refused together, never guessed."""

from decimal import Decimal

import msgspec
import pytest

from fakes.world import SETTINGS
from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.options import read_options

NOW = 1_790_000_000


def test_defaults() -> None:
    assert read_options({}, SETTINGS, NOW) == Options()
    assert read_options({"content-owner": "x", "mtime": "1"}, SETTINGS, NOW) == Options(), "names of others are left alone"


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3_600), ("7d", 604_800), ("90m", 5_400), ("86400s", 86_400)])
def test_windows(text: str, seconds: int) -> None:
    assert read_options({"completion-window": text}, SETTINGS, NOW) == Options(completion_window=seconds)


def test_all_options() -> None:
    metadata = {"on-invalid": "reject", "max-invalid-ratio": "0.25", "endpoint": "/v1/embeddings", "tag": "blüte 7"}
    wanted = Options(on_invalid="reject", max_invalid_ratio=0.25, endpoint="/v1/embeddings", tag="blüte 7")
    assert read_options(metadata, SETTINGS, NOW) == wanted


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("90m", NOW + 5_400),
        ("0s", NOW),
        ("2026-09-22T10:00:00Z", 1_790_071_200),
        ("2026-09-22t12:00+02:00", 1_790_071_200),
        ("2026-09-22 10:00:00.5z", 1_790_071_200),
        ("2020-01-01T00:00:00Z", 1_577_836_800),
    ],
)
def test_times_to_begin_at(text: str, start: int) -> None:
    assert read_options({"not-before": text}, SETTINGS, NOW) == Options(not_before=start)


def test_routes_and_rounds() -> None:
    metadata = {"route": "together, sagemaker,sagemaker", "max-rounds": "2", "show-backend": "true"}
    wanted = Options(route=["together", "sagemaker", "sagemaker"], max_rounds=2, show_backend=True)
    assert read_options(metadata, SETTINGS, NOW) == wanted


def test_models_and_expiry() -> None:
    wanted = Options(only_model="smollm2", output_expires_after=3_600)
    assert read_options({"only-model": "smollm2", "output-expires-after": "1h"}, SETTINGS, NOW) == wanted
    assert read_options({"output-expires-after": "30d"}, SETTINGS, NOW) == Options(output_expires_after=2_592_000)


def test_priorities_and_budgets() -> None:
    wanted = Options(priority="high", max_cost_usd=Decimal("12.50"))
    assert read_options({"priority": "high", "max-cost-usd": "12.50"}, SETTINGS, NOW) == wanted


BAD = {
    "completion-window": ["", "24", "24 h", "-1h", "59m", "8d", "1.5h", "999999999d", "24H"],
    "on-invalid": ["", "stop", "SKIP"],
    "max-invalid-ratio": ["", "nan", "-0.1", "1.1", "half", "inf", "1e400"],
    "endpoint": ["", "/v1/images", "chat"],
    "tag": ["x" * 257, "a\nb", "\x00"],
    "not-before": [
        "",
        "x",
        "tomorrow",
        "2026-09-22",
        "2026-09-22T10:00:00",
        "2026-02-30T10:00:00Z",
        "8d",
        "2027-01-01T00:00:00Z",
    ],
    "max-cost-usd": ["", "0", "0.0", "-1", "1.0000001", "1e3", "nan", "$5", "1,5", "1234567890"],
    "max-rounds": ["", "0", "-1", "1.5", "11", "\N{SUPERSCRIPT TWO}"],
    "route": ["", "here", "together,", "together;sagemaker", ",".join(["sagemaker"] * 21)],
    "show-backend": ["", "yes", "True"],
    "priority": ["", "1", "High", "urgent"],
    "only-model": ["", "x" * 257, "a\nb"],
    "output-expires-after": ["", "3599s", "59m", "31d", "2592001s", "1", "-1h", "never"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_bad_option_is_named(name: str, text: str) -> None:
    failure = read_options({name: text}, SETTINGS, NOW)
    assert isinstance(failure, Failure)
    assert failure.code is Code.INVALID_OPTION
    assert name in failure.message


def test_all_bad_options_are_named_at_once() -> None:
    failure = read_options({"on-invalid": "x", "completion-window": "y", "priority": "z"}, SETTINGS, NOW)
    assert isinstance(failure, Failure)
    assert all(name in failure.message for name in ("on-invalid", "completion-window", "priority"))


def test_the_stack_sets_the_windows() -> None:
    brief = msgspec.structs.replace(SETTINGS, window_shortest=10)
    assert read_options({"completion-window": "10s"}, brief, NOW) == Options(completion_window=10)
