"""The fake's page says what the fake does: options, settings, faults, calls."""

import inspect
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from slacktide_cli.verbs.fake_together import fake_together
from slacktide_fake_together.faults import BatchFault, Call, CallFault, Fault, Lines, Scripted, read_faults
from slacktide_fake_together.routes import ROUTES
from slacktide_fake_together.scripts import Script
from slacktide_fake_together.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "fake-together.md").read_text()
KINDS = get_args(Scripted)


def find_section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def read_rows(text: str) -> dict[str, list[str]]:
    """The tables' rows whose first cell is code, by that."""
    rows = [re.split(r"(?<!\\)\|", row) for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE)]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}


def test_every_option_is_documented_with_its_default() -> None:
    rows = read_rows(find_section("Start it"))
    parameters = inspect.signature(fake_together).parameters
    assert list(rows) == ["--json" if name == "as_json" else f"--{name.replace('_', '-')}" for name in parameters]
    for name in ("port", "seed", "concurrency"):
        assert rows[f"--{name}"][0] == f"`{parameters[name].default}`"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = read_rows(find_section("Settings"))
    assert list(rows) == list(Settings.__struct_fields__)
    for name, default in msgspec.to_builtins(Settings()).items():
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            assert rows[name][0] == f"`{default:g}`" or rows[name][0] == f"`{default}`", name
        if default is None:
            assert rows[name][0] == "none"


def test_every_fault_is_documented_with_its_fields() -> None:
    rows = read_rows(find_section("Faults"))
    common = set(Fault.__struct_fields__)
    assert common <= set(rows)
    kinds = {kind.__struct_config__.tag: set(kind.__struct_fields__) - common - {"call"} for kind in KINDS}
    assert kinds == {name: set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", rows[name][0]))) for name in kinds}
    assert set(rows) == common | set(kinds)


def test_every_call_and_every_kind_of_bad_line_is_documented() -> None:
    section = find_section("Faults")
    assert [call for call in get_args(Call) if f"`{call}`" not in section] == []
    assert {route.call for route in ROUTES} - {"control"} == set(get_args(Call)) - {"*"}
    (what,) = [field.type for field in msgspec.structs.fields(Lines) if field.name == "what"]
    assert [name for name in get_args(what) if f"`{name}`" not in section] == []


def test_the_example_is_a_script() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [type(fault).__struct_config__.tag for fault in msgspec.toml.decode(example, type=Script).faults] == ["timeout", "end"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__struct_config__.tag)
def test_every_kind_is_of_a_call_or_of_a_batch(kind: type[Fault]) -> None:
    assert issubclass(kind, CallFault) != issubclass(kind, BatchFault)
    needed = {"delay": {"seconds_late": 1}, "slow": {"bytes_per_second": 1}}
    needed |= {"end": {"status": "FAILED"}, "lines": {"what": "missing"}}
    tag = str(kind.__struct_config__.tag)
    assert [type(fault) for fault in read_faults({"kind": tag, **needed.get(tag, {})})] == [kind]
