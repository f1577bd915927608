"""Files that are read whole: those of settings and secrets are small and never waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_small_file(path: Path, most_bytes: int) -> bytes:
    """All of a regular file.

    Raises:
        OSError: with the reason in words: also for a pipe, which might be waited for without end and could
            not be read twice, for a device, and for what is longer than `most_bytes`.
    """
    # Without O_NONBLOCK the opening of a pipe waits for whoever writes it.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device; copy what it gives into a file")
        found = b""
        while len(found) <= most_bytes and (more := os.read(file, most_bytes + 1 - len(found))):
            found += more
    finally:
        os.close(file)
    return _not_longer(found, most_bytes)


def read_named_file(path: Path, most_bytes: int) -> bytes:
    """The same for what a user names on the command line, who may mean a pipe: `<(command)`."""
    with path.open("rb", buffering=0) as file:
        found = b""
        while len(found) <= most_bytes and (more := file.read(most_bytes + 1 - len(found))):
            found += more
    return _not_longer(found, most_bytes)


def _not_longer(found: bytes, most_bytes: int) -> bytes:
    if len(found) > most_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes:,} bytes")
    return found
