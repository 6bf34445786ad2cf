"""A child process: its output reaches its reader, whatever ends first."""

import os
import signal
import sys

import pytest

from slacktide_transform import child
from slacktide_transform.child import start_child

pytestmark = pytest.mark.asyncio


async def run(code: str) -> list[str]:
    """What a child that runs this code, and is stopped at once when it has ended, had said."""
    said: list[str] = []
    started = await start_child([sys.executable, "-c", code], environment=os.environ, read_output=said.append)
    await started.wait()
    await started.stop()
    return said


async def test_its_last_words_are_read_before_it_is_given_up() -> None:
    """As much as a pipe holds: more than is read in one go."""
    assert await run("print('\\n'.join(['out of memory'] * 4_000))") == ["out of memory"] * 4_000


async def test_who_else_holds_its_output_open_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "OUTPUT_SECONDS", 0.2)
    (pid,) = await run("import subprocess; print(subprocess.Popen(['sleep', '20'], start_new_session=True).pid)")
    os.kill(int(pid), signal.SIGKILL)  # it lives still, and holds the pipe


async def test_a_line_without_end_comes_in_pieces() -> None:
    said = await run(f"print('a\\r\\nb'); print('x' * {3 * child.BLOCK}); print('end', end='')")
    assert (said[:2], said[-1]) == (["a", "b"], "end")
    assert "".join(said[2:-1]) == "x" * 3 * child.BLOCK
