"""A program that cannot outlive its parent: `python child.py PARENT_PID PROGRAM ARGUMENT…`.

Run by path, as a tiny launcher: it asks the kernel for SIGKILL at the parent's death, then becomes the
program (the request survives `exec`). SIGKILL, since a parent that vanished has lost its memory broker too,
and a restart on the same data must find neither an old writer of the store nor an old broker on its files;
nothing is lost by it (DESIGN §5.4). The alternative, a `preexec_fn`, is not safe in a parent with threads.

Linux only. Elsewhere the program is started all the same and ends by the parent's orderly stop alone.
The request is bound to the thread that started the child: start children from a thread that lives on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>


def bound_to_parent(command: Sequence[str]) -> list[str]:
    """The command line that starts `command` as a child which dies with the calling process."""
    return [sys.executable, str(Path(__file__).resolve()), str(os.getpid()), *command]


def _become(parent_pid: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the request was made: then nobody would end this process.
        if os.getppid() != parent_pid:
            return
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
