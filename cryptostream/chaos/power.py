"""A power cut of the broker's machine: each of its logs loses its end, each as much as chance has it.

Kafka leaves flushing to the operating system, so what a machine loses with its power is what was written
last, of each file independently; what is older has been written out. Its own metadata it flushes itself: they
stay whole. What it checks itself at the next start, a batch that is torn among it, is left to it.
"""

from __future__ import annotations

import os
import random
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_METADATA: Final = "__cluster_metadata"
_CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"
# Linux writes out after five to thirty seconds; the runs are short.
UNWRITTEN_S: Final = 10.0

Sizes = dict[Path, int]


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut took.

    Attributes:
        logs: how many lost something. lost_bytes: of all.
    """

    logs: int
    lost_bytes: int


class Power:
    """Of one broker's machine.

    Args:
        log_dir: its `log.dirs`, with a folder for each partition.
    """

    def __init__(self, log_dir: Path, chance: random.Random) -> None:
        self._log_dir = log_dir
        self._chance = chance
        self._seen: deque[tuple[float, Sizes]] = deque()

    def look(self, now_s: float) -> None:
        """Note what is written; call it about once a second, of a clock that only goes forward."""
        self._seen.append((now_s, self._sizes()))
        # The newest look that is old enough says what has been written out; the first one else.
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - UNWRITTEN_S:
            self._seen.popleft()

    def cut(self) -> Cut:
        """Cut the logs; the broker is dead."""
        (self._log_dir / _CLEAN_SHUTDOWN).unlink(missing_ok=True)
        written_out = self._seen[0][1] if self._seen else {}
        logs = lost = 0
        left: Sizes = {}
        for path, size in self._sizes().items():
            most = max(0, size - written_out.get(path, 0))
            # A quarter of the logs loses nothing, a quarter all that it can, the others something.
            taken = (0, most, self._chance.randint(0, most), self._chance.randint(0, most))
            lose = taken[self._chance.randrange(4)]
            left[path] = size - lose
            if lose:
                os.truncate(path, size - lose)
                logs, lost = logs + 1, lost + lose
        # What is left is read from the disk at the next start.
        self._seen = deque((at, {**sizes, **_least(sizes, left)}) for at, sizes in self._seen)
        return Cut(logs, lost)

    def _sizes(self) -> Sizes:
        """The newest segment of each log: the others were written out when it was begun."""
        newest = (
            sorted(partition.glob("*.log"))[-1:]
            for partition in sorted(self._log_dir.iterdir())
            if partition.is_dir() and not partition.name.startswith(_METADATA)
        )
        return {path: path.stat().st_size for paths in newest for path in paths}


def _least(sizes: Sizes, left: Sizes) -> Sizes:
    return {path: min(size, left[path]) for path, size in sizes.items() if path in left}
