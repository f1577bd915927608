"""A consumer process and how fast InfluxDB sees its points, timed from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import urllib3

from cryptostream.engines.influxdb import InfluxServer

_IDLE_S: Final = 2.0  # no new point for so long: all are written
_DEADLINE_S: Final = 300.0
# Each look costs some milliseconds of the process that may be the one measured.
_PERIOD_S: Final = 0.05


@dataclass(frozen=True)
class Pace:
    """What InfluxDB saw from its first points to its last.

    Attributes:
        share: of all points, those that came after the first; the first ones only start the clock.
        seconds: that they took.
    """

    share: float
    seconds: float


class Watch:
    """Follows InfluxDB's count of written points in a thread of its own.

    Attributes:
        first: the count at the beginning.
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
        """Until `at_least` points have come and none for `idle_s`; the pace from the first to the last."""
        give_up = time.monotonic() + _DEADLINE_S
        while True:
            moved = [self._seen[0]] + [
                now for last, now in zip(self._seen, self._seen[1:], strict=False) if now[1] != last[1]
            ]
            if moved[-1][1] - moved[0][1] >= at_least and time.monotonic() - moved[-1][0] > idle_s:
                self._stop.set()
                (start, first), (end, last) = moved[1], moved[-1]
                return Pace((last - first) / (last - moved[0][1]), end - start)
            if time.monotonic() > give_up:
                raise SystemExit(
                    f"only {moved[-1][1] - moved[0][1]} of {at_least} points were stored in time"
                )
            time.sleep(0.1)

    def _follow(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            self._seen.append((time.monotonic(), self.written()))


def start_consumer(
    bootstrap_servers: str,
    influx: InfluxServer,
    arguments: list[str],
    settings: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """The real consumer process."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STORE": "influxdb",
        "INFLUX_URL": influx.url,
        "INFLUX_TOKEN": influx.token,
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
    }
    return subprocess.Popen([sys.executable, "-m", "consumers", *arguments], env=environment)
