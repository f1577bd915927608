"""A consumer process, and the rate of its points as InfluxDB counts them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import urllib3

from bench.processes import running
from cryptostream.engines.influxdb import InfluxServer

_IDLE_S: Final = 2.0  # without a new point for so long all are written
_DEADLINE_S: Final = 300.0
# Each request costs the machine some milliseconds.
_PERIOD_S: Final = 0.1


@dataclass(frozen=True)
class Pace:
    """InfluxDB's count from its first points to its last.

    Attributes:
        share: of the points after the first ones, which only start the clock.
        seconds: duration.
    """

    share: float
    seconds: float


def pace_of(seen: Sequence[tuple[float, int]]) -> Pace:
    """The pace of counts at times, from the first change to the last.

    Where there is a single change, from the count before it: of so few points it is a bound at best.
    """
    changes = [number for number in range(1, len(seen)) if seen[number][1] != seen[number - 1][1]]
    begin = changes[0] if len(changes) > 1 else changes[0] - 1
    (start_s, first), (end_s, last) = seen[begin], seen[changes[-1]]
    return Pace((last - first) / (last - seen[0][1]), end_s - start_s)


class Watch:
    """Polls InfluxDB's count of written points in a thread.

    Attributes:
        first: the count at the start.
    """

    def __init__(self, influx: InfluxServer) -> None:
        self._url = f"{influx.url}/metrics"
        self._http = urllib3.PoolManager()
        self.first = self.written()
        self._seen: list[tuple[float, int]] = [(time.monotonic(), self.first)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def written(self) -> int:
        text = self._http.request("GET", self._url).data.decode()
        sums = (line for line in text.splitlines() if line.startswith("storage_writer_ok_points_sum"))
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in sums)

    def wait_idle(self, at_least: int, idle_s: float = _IDLE_S) -> Pace:
        """Wait for `at_least` points and `idle_s` without one; the pace from the first to the last."""
        give_up = time.monotonic() + _DEADLINE_S
        while True:
            seen = list(self._seen)
            moved_s = next((at for at, count in seen if count == seen[-1][1]), 0.0)
            stored = seen[-1][1] - self.first
            if stored >= at_least and time.monotonic() - moved_s > idle_s:
                self._stop.set()
                return pace_of(seen)
            if time.monotonic() > give_up:
                raise SystemExit(f"only {stored:,} of {at_least:,} points were stored in time")
            time.sleep(0.1)

    def _follow(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            self._seen.append((time.monotonic(), self.written()))


@contextmanager
def consumer_process(
    bootstrap_servers: str,
    influx: InfluxServer,
    arguments: Sequence[str],
    settings: Mapping[str, str] | None = None,
    code: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The real consumer process.

    Args:
        code: directory of another state of the code; None for this one.
    """
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STORE": "influxdb",
        "INFLUX_URL": influx.url,
        "INFLUX_TOKEN": influx.token,
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
        # `-m` looks in the working directory first, and then here.
        **({} if code is None else {"PYTHONPATH": str(code)}),
    }
    with running([sys.executable, "-m", "consumers", *arguments], environment, cwd=code) as process:
        yield process
