"""Files for their owner alone: what is stored, logged or secret is nobody else's on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077


def keep_files_private() -> None:
    """From here on this process, and all that it starts, makes files 0600 and folders 0700."""
    os.umask(_OTHERS)


def make_private(path: Path) -> None:
    """See that a file is there and its owner's alone; one of an older version is narrowed.

    Raises:
        OSError: it can neither be made nor looked at.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        narrow(path)


def narrow(path: Path) -> None:
    """Take others' rights from a file or folder, if it is there and ours.

    By its name: to open and close it would end the locks that SQLite holds on it in this process.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
        # A file system may know no modes: then its mount says who reads it.
        with suppress(OSError):
            path.chmod(status.st_mode & 0o7777 & ~_OTHERS)
