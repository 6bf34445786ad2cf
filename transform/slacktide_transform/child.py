"""A child process that dies with its parent and whose output does not reach the log unasked."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

PR_SET_PDEATHSIG = 1  # prctl(2)
STOP_SECONDS = 10.0  # SageMaker kills a container 30 s after its SIGTERM
BLOCK = 1 << 14  # bytes of output that are read at once
OUTPUT_SECONDS = 2.0  # for what it has written; a process of another group may hold the pipe open for ever

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; call it in the child, `parent` is the parent's pid.

    An orphaned engine would hold its memory, and on a GPU that is all there is. Linux only: elsewhere it does nothing.
    """
    if sys.platform != "linux":
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


class Child:
    """A running child process, the leader of a process group of its own."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.Task[None]) -> None:
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End it and all that it started: politely first, by force after STOP_SECONDS."""
        if self.exit_code is None:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self.wait()
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended already
            os.killpg(self.pid, signal.SIGKILL)  # workers that outlive their leader would keep the GPU's memory
        await self.wait()
        await asyncio.wait({self._output}, timeout=OUTPUT_SECONDS)  # its last words are in the pipe, and often say why it ended
        self._output.cancel()
        await asyncio.gather(self._output, return_exceptions=True)


async def start_child(command: Sequence[str], *, environment: Mapping[str, str], read_output: Callable[[str], None]) -> Child:
    """Start a child process; each line of its output and errors goes to `read_output`. Raises OSError."""
    # A pipe of our own: asyncio's would keep wait() from returning while a grandchild holds it open.
    reading, writing = os.pipe()
    parent = os.getpid()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return Child(process, asyncio.create_task(_read_lines(reading, read_output)))


async def _read_lines(descriptor: int, read_output: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 16)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            begun = b""  # a line that ends in a later block, if it is not longer than one
            while block := await reader.read(BLOCK):
                lines = (begun + block).splitlines(keepends=True)
                begun = b"" if lines[-1].endswith((b"\n", b"\r")) or len(lines[-1]) >= BLOCK else lines.pop()
                for line in lines:
                    read_output(line.decode(errors="replace").rstrip("\r\n"))
            if begun:
                read_output(begun.decode(errors="replace"))
        finally:
            transport.close()
