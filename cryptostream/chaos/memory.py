"""What a process holds: resident memory and open files, from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Held(NamedTuple):
    """Of one process: resident memory in MB (10^6 bytes), open file descriptors."""

    resident_mb: float
    open_files: int


def held_by(pid: int) -> Held | None:
    """None if the process is gone, or where there is no /proc."""
    process = Path("/proc") / str(pid)
    try:
        pages = int((process / "statm").read_text(encoding="ascii").split()[1])
        return Held(pages * _PAGE_BYTES / 1e6, len(list((process / "fd").iterdir())))
    except OSError:
        return None
