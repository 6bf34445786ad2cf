"""A fake Together: its Batch API in memory, for tests and for trying things out. See docs/fake-together.md."""

from slacktide_fake_together.core import FakeTogether
from slacktide_fake_together.settings import Settings

__all__ = ["FakeTogether", "Settings"]
