"""Settings: all that is wrong is named at once."""

import msgspec
import pytest

from slacktide.errors import SettingsError
from slacktide.settings import Settings, read_settings

NEEDED = {"SLACKTIDE_BUCKET": "b", "SLACKTIDE_TABLE": "t", "SLACKTIDE_EVENT_BUS": "e"}


def test_what_is_needed_is_enough() -> None:
    assert read_settings(NEEDED | {"OTHER": "x"}) == Settings(bucket="b", table="t", event_bus="e")


def test_every_field_is_read_from_its_variable() -> None:
    for field in msgspec.structs.fields(Settings):
        text, value = {str: ("three", "three"), bool: ("false", False)}.get(field.type, ("3", 3))
        assert getattr(read_settings(NEEDED | {"SLACKTIDE_" + field.name.upper(): text}), field.name) == value


def test_empty_means_default() -> None:
    assert read_settings(NEEDED | {"SLACKTIDE_WAIT_FIRST": ""}).wait_first == 15


def test_everything_wrong_is_named() -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings({"SLACKTIDE_TABLE": "", "SLACKTIDE_WAIT_FIRST": "0", "SLACKTIDE_FUNCTION_TIMEOUT": "soon"})
    for name in ("BUCKET", "TABLE", "EVENT_BUS", "WAIT_FIRST", "FUNCTION_TIMEOUT"):
        assert f"SLACKTIDE_{name}" in str(raised.value)


def test_a_lease_outlives_the_function() -> None:
    settings = read_settings(NEEDED | {"SLACKTIDE_FUNCTION_TIMEOUT": "900"})
    assert settings.lease > 900
