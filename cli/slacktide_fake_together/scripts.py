"""A script file: settings and faults, in TOML or JSON."""

from pathlib import Path

import msgspec

from slacktide_fake_together.faults import Scripted
from slacktide_fake_together.settings import Settings


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a script file holds: a table `settings`, a list `faults`."""

    settings: Settings = Settings()
    faults: tuple[Scripted, ...] = ()


def read_script(path: Path) -> Script:
    """OSError when it cannot be read; msgspec.MsgspecError says what is wrong with it."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return msgspec.json.decode(content, type=Script)
    return msgspec.toml.decode(content, type=Script)
