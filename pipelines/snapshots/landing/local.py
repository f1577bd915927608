"""A directory as a landing: temporary name, fsync, rename; one lock for compare-and-swap."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines.snapshots.landing.port import Blob, Conflict, LandingUnavailable

# Not .parquet: readers of the directory must not find partial files.
_TEMPORARY: Final = ".part"
_LOCK: Final = ".lock"


class LocalLanding:
    """Blobs are files below a directory, which is made on demand."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, folder: str) -> list[str]:
        with self._explained(folder):
            try:
                with os.scandir(self._root / folder) as entries:
                    found = [entry.name for entry in entries if entry.is_file()]
            except FileNotFoundError:
                return []
        return sorted(name for name in found if not name.endswith(_TEMPORARY) and name != _LOCK)

    def read(self, name: str) -> Blob | None:
        with self._explained(name):
            try:
                with (self._root / name).open("rb") as file:
                    # By descriptor, so that version and content belong to the same file.
                    return Blob(file.read(), _version(os.fstat(file.fileno())))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes, version: str | None) -> None:
        path = self._root / name
        with self._explained(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_TEMPORARY}")
            try:
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                with self._lock():
                    if self._current(path) != version:
                        raise Conflict(f"{name}: written by another run meanwhile")
                    temporary.replace(path)
                _sync_directory(path.parent)
            finally:
                temporary.unlink(missing_ok=True)

    def delete(self, name: str, version: str | None = None) -> None:
        path = self._root / name
        with self._explained(name):
            if not path.exists():
                return
            with self._lock():
                if version is not None and self._current(path) not in (version, None):
                    raise Conflict(f"{name}: written by another run meanwhile")
                path.unlink(missing_ok=True)

    @staticmethod
    def _current(path: Path) -> str | None:
        try:
            return _version(path.stat())
        except FileNotFoundError:
            return None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """For a comparison and a rename; the kernel releases it when the process dies."""
        with (self._root / _LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LandingUnavailable(
                f"{self._root / name}: {error.strerror}; snapshots wait in the spool until it works again"
            ) from None


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}"


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
