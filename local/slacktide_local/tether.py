"""Run a command that ends when its parent does: `python tether.py <parent's pid> <command> [arguments]`.

A file of its own, run by path and without the package, so that it costs a bare interpreter's start. The wish to be
signalled on the parent's death (prctl, PR_SET_PDEATHSIG) survives the exec, so the command itself needs no support.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become the command."""
    parent, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        sys.exit(f"tether: prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it died before the tie was made
        sys.exit("tether: the parent is gone")
    os.execvpe(command[0], command, os.environ)  # noqa: S606 - the command is a list, and never a shell's


if __name__ == "__main__":
    main()
