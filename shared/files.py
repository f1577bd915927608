"""Files that are read whole with a bound (settings, secrets), and files for their owner alone."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077


def keep_files_private() -> None:
    """Let this process and its children create files as 0600 and folders as 0700 from now on."""
    os.umask(_OTHERS)


def make_private(path: Path) -> None:
    """Create a file for its owner alone, or `narrow` an existing one. Raises OSError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        narrow(path)


def narrow(path: Path) -> None:
    """Remove others' permissions from a file or folder, if it exists and is ours.

    By its name: opening and closing it would release the locks that SQLite holds on it in this process.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if status.st_mode & _OTHERS and status.st_uid == os.geteuid():
        # A file system may have no modes: then its mount decides who reads it.
        with suppress(OSError):
            path.chmod(status.st_mode & 0o7777 & ~_OTHERS)


def read_small_file(path: Path, most_bytes: int) -> bytes:
    """All of a regular file.

    Raises:
        OSError: with the reason in words; also for a pipe, which might block for ever and cannot be read
            twice, for a device, and for a file longer than `most_bytes`.
    """
    # Without O_NONBLOCK opening a pipe waits for its writer.
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
    """The same for a file named on the command line, which may be a pipe: `<(command)`."""
    with path.open("rb", buffering=0) as file:
        found = b""
        while len(found) <= most_bytes and (more := file.read(most_bytes + 1 - len(found))):
            found += more
    return _not_longer(found, most_bytes)


def _not_longer(found: bytes, most_bytes: int) -> bytes:
    if len(found) > most_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes:,} bytes")
    return found
