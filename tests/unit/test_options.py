"""Options of a dropped file: read strictly, refused together, never guessed."""

import msgspec
import pytest

from fakes.world import SETTINGS
from slacktide.batch import Failure, Options
from slacktide.codes import Code
from slacktide.options import read_options


def test_defaults() -> None:
    assert read_options({}, SETTINGS) == Options()
    assert read_options({"content-owner": "x", "mtime": "1"}, SETTINGS) == Options(), "names of others are left alone"


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3_600), ("7d", 604_800), ("90m", 5_400), ("86400s", 86_400)])
def test_windows(text: str, seconds: int) -> None:
    assert read_options({"completion-window": text}, SETTINGS) == Options(completion_window=seconds)


def test_all_options() -> None:
    metadata = {"on-invalid": "reject", "max-invalid-ratio": "0.25", "endpoint": "/v1/embeddings", "tag": "blüte 7"}
    wanted = Options(on_invalid="reject", max_invalid_ratio=0.25, endpoint="/v1/embeddings", tag="blüte 7")
    assert read_options(metadata, SETTINGS) == wanted


BAD = {
    "completion-window": ["", "24", "24 h", "-1h", "59m", "8d", "1.5h", "999999999d", "24H"],
    "on-invalid": ["", "stop", "SKIP"],
    "max-invalid-ratio": ["", "nan", "-0.1", "1.1", "half", "inf"],
    "endpoint": ["", "/v1/images", "chat"],
    "tag": ["x" * 257, "a\nb", "\x00"],
    "not-before": ["x"],
    "max-cost-usd": ["1"],
    "max-rounds": ["1"],
    "route": ["sagemaker"],
    "priority": ["1"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_bad_option_is_named(name: str, text: str) -> None:
    failure = read_options({name: text}, SETTINGS)
    assert isinstance(failure, Failure)
    assert failure.code is Code.INVALID_OPTION
    assert name in failure.message


def test_all_bad_options_are_named_at_once() -> None:
    failure = read_options({"on-invalid": "x", "completion-window": "y", "route": "z"}, SETTINGS)
    assert isinstance(failure, Failure)
    assert all(name in failure.message for name in ("on-invalid", "completion-window", "route"))


def test_the_stack_sets_the_windows() -> None:
    brief = msgspec.structs.replace(SETTINGS, window_shortest=10)
    assert read_options({"completion-window": "10s"}, brief) == Options(completion_window=10)
