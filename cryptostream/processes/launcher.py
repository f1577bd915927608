"""Starts a program that cannot outlive its parent: `python launcher.py PARENT_PID PROGRAM ARGUMENT…`.

A separate file, since it is run by path without imports of ours: it asks the kernel for SIGKILL at the
parent's death, then becomes the program (the request survives `exec`). SIGKILL, since a dead parent has lost
its memory broker, and a restart on the same data must find neither an old writer of the store nor an old
broker; it loses nothing (DESIGN §5.4). A `preexec_fn` is not safe in a parent with threads.

Linux only: elsewhere the program ends only by the parent's orderly stop. The request is bound to the thread
that started the child: start children from a thread that stays alive.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>


def start_bound(
    command: Sequence[str],
    *,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` as a child that dies with the calling process."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        start_new_session=True,  # the parent handles the terminal's Ctrl-C
    )


def _become(parent_pid: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # If the parent died before the request, nothing would end this process.
        if os.getppid() != parent_pid:
            return
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
