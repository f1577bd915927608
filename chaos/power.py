"""A power cut of the broker's machine: each of its logs loses a random part of its end.

Kafka leaves flushing to the operating system, so a power cut loses the newest writes, of each file
independently; older ones have been written out. Kafka flushes its own metadata, which stay whole. At the next
start the broker itself repairs what it finds, torn batches included.
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
# Linux writes out after 5 to 30 s; the runs are short.
UNWRITTEN_S: Final = 10.0

Sizes = dict[Path, int]


@dataclass(frozen=True, slots=True)
class Cut:
    """The effect of a power cut.

    Attributes:
        logs: number of logs that lost bytes. lost_bytes: of all logs.
    """

    logs: int
    lost_bytes: int


class Power:
    """The power supply of one broker's machine.

    Args:
        log_dir: the broker's `log.dirs`, with a folder for each partition.
    """

    def __init__(self, log_dir: Path, chance: random.Random) -> None:
        self._log_dir = log_dir
        self._chance = chance
        self._seen: deque[tuple[float, Sizes]] = deque()

    def look(self, now_s: float) -> None:
        """Note the sizes of the logs; call it about once a second, by a monotonic clock."""
        self._seen.append((now_s, self._sizes()))
        # The newest look that is old enough, or the first one, has the sizes that were written out.
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
            # A quarter of the logs loses nothing, a quarter everything not written out, the others a part.
            taken = (0, most, self._chance.randint(0, most), self._chance.randint(0, most))
            lose = taken[self._chance.randrange(4)]
            left[path] = size - lose
            if lose:
                os.truncate(path, size - lose)
                logs, lost = logs + 1, lost + lose
        # What is left counts as written out.
        self._seen = deque((at, {**sizes, **_least(sizes, left)}) for at, sizes in self._seen)
        return Cut(logs, lost)

    def _sizes(self) -> Sizes:
        """The newest segment of each log; older ones were written out when it began."""
        newest = (
            sorted(partition.glob("*.log"))[-1:]
            for partition in sorted(self._log_dir.iterdir())
            if partition.is_dir() and not partition.name.startswith(_METADATA)
        )
        return {path: path.stat().st_size for paths in newest for path in paths}


def _least(sizes: Sizes, left: Sizes) -> Sizes:
    return {path: min(size, left[path]) for path, size in sizes.items() if path in left}
