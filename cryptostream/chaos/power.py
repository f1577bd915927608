"""A power cut of the broker's machine: each of its logs loses its end, each as much as chance has it.

Kafka leaves flushing to the operating system, so what a machine loses with its power is the end of each file,
independently. Its own metadata it flushes itself: they stay whole. What it checks itself at the next start, a
batch that is torn among it, is left to it.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_METADATA: Final = "__cluster_metadata"
_CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"
# A machine writes out what is older than half a minute or so. Most cuts are that short, some are not.
_SHORT_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut took.

    Attributes:
        logs: how many lost something. lost_bytes: of all.
    """

    logs: int
    lost_bytes: int


def cut_power(log_dir: Path, chance: random.Random) -> Cut:
    """Cut the logs of a broker that is dead.

    Args:
        log_dir: its `log.dirs`, with a folder for each partition.
    """
    (log_dir / _CLEAN_SHUTDOWN).unlink(missing_ok=True)
    logs = lost = 0
    for partition in sorted(path for path in log_dir.iterdir() if path.is_dir()):
        segments = sorted(partition.glob("*.log"))
        if not segments or partition.name.startswith(_METADATA):
            continue
        # Only the newest one: the others were written out when it was begun.
        size = segments[-1].stat().st_size
        taken = _taken(size, chance)
        if taken:
            os.truncate(segments[-1], size - taken)
            logs, lost = logs + 1, lost + taken
    return Cut(logs, lost)


def _taken(size: int, chance: random.Random) -> int:
    """A quarter of the logs loses nothing, half a little, a quarter much; none its beginning.

    Of a series whose progress and topic are both gone to the first record nobody can know that it was there.
    """
    kind = chance.randrange(8)
    if kind < 2 or not size:
        return 0
    most = size * 9 // 10
    return chance.randint(0, min(most, _SHORT_BYTES) if kind < 6 else most)
