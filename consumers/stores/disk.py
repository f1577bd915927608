"""Free space under a store: warns when it is low, stops writing before the disk is full (DESIGN §5.7)."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from shared.errors import StoreUnavailable

log: Final = logging.getLogger(__name__)

# A warning below this free space, in bytes or as a part of the disk.
WARN_BYTES: Final = 2 * 10**9
WARN_PART: Final = 0.05
# No writes below this free space: the broker and other programs on the same disk need the rest.
PAUSE_BYTES: Final = 500 * 10**6
_LOOK_PERIOD_S: Final = 1.0
_RETRY_AFTER_S: Final = 5.0


class Space(NamedTuple):
    """Bytes of a disk."""

    total: int
    free: int


class DiskGuard:
    """Checks the free space at most once a second.

    Args:
        path: a directory on the disk.
        space: bytes of the disk under a path; raises OSError.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        path: Path,
        *,
        space: Callable[[Path], Space] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause_bytes: int = PAUSE_BYTES,
    ) -> None:
        self._path = path
        self._space = space or disk_space
        self._clock = clock
        self._pause_bytes = pause_bytes
        self._look_at = clock()
        self._free = pause_bytes
        self._warned = False

    def require_space(self) -> None:
        """Raise StoreUnavailable while the disk is nearly full; nothing is lost."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _LOOK_PERIOD_S
            self._look()
        if self._free < self._pause_bytes:
            raise StoreUnavailable(
                f"SQLITE_PATH: the disk under {self._path} has {_megabytes(self._free)} free, less than "
                f"{_megabytes(self._pause_bytes)}; free some space, writing goes on by itself",
                _RETRY_AFTER_S,
            )

    def _look(self) -> None:
        try:
            total, self._free = self._space(self._path)
        except OSError:  # the write itself will report the disk's error
            self._free = self._pause_bytes
            return
        low = self._free < max(WARN_BYTES, int(total * WARN_PART))
        if low and not self._warned:
            log.warning(
                "the disk under %s has %s free of %s; below %s nothing is stored until there is room again",
                self._path,
                _megabytes(self._free),
                _megabytes(total),
                _megabytes(self._pause_bytes),
            )
        self._warned = low


def disk_space(path: Path) -> Space:
    """Bytes of the disk under a path, for a user without privileges."""
    usage = shutil.disk_usage(path)
    return Space(usage.total, usage.free)


def _megabytes(count: int) -> str:
    return f"{count / 10**6:,.0f} MB"
