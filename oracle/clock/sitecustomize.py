"""A host clock that can be set wrong: put this folder on PYTHONPATH and name a file by ORACLE_CLOCK_FILE.

Python runs this before anything else. The file holds the seconds (may be negative) by which `time.time` and
`time.time_ns` are off; without the file they are right. Monotonic clocks are unchanged, as when a host's
clock is set.
"""

import os
import time

_FILE = os.environ.get("ORACLE_CLOCK_FILE")
_TRUE_TIME_NS = time.time_ns
_LOOK_EVERY_NS = 50_000_000


class _Clock:
    def __init__(self, path: str) -> None:
        self._path = path
        self._offset_ns = 0
        self._looked_ns = 0

    def time_ns(self) -> int:
        now_ns = _TRUE_TIME_NS()
        if now_ns - self._looked_ns >= _LOOK_EVERY_NS:
            self._looked_ns = now_ns
            try:
                with open(self._path, encoding="ascii") as file:  # noqa: PTH123 - before anything is imported
                    self._offset_ns = int(float(file.read() or 0) * 1e9)
            except FileNotFoundError:
                self._offset_ns = 0
        return now_ns + self._offset_ns

    def time(self) -> float:
        return self.time_ns() / 1e9


if _FILE:
    _CLOCK = _Clock(_FILE)
    time.time_ns = _CLOCK.time_ns
    time.time = _CLOCK.time
