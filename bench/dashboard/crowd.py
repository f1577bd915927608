"""What viewers cost the service: its share of a core with one of them, and with fifty."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any, Final

import orjson

from bench.dashboard.stage import Stage

_WARM_S: Final = 3.0  # of the viewers


class Crowd:
    """Viewers in a process of their own, for so many seconds.

    Args:
        count: viewers.
    """

    def __init__(self, stage: Stage, count: int, seconds: float) -> None:
        url = f"{stage.url.replace('http', 'ws')}/api/v1/stream"
        arguments = [url, stage.symbol, str(count), str(seconds)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.dashboard.viewers", *arguments], stdout=subprocess.PIPE
        )
        self._said = b""
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        self._said = self._process.communicate()[0]

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> dict[str, float]:
        """What they have seen.

        Raises:
            SystemExit: they ended early.
        """
        self._thread.join()
        if self._process.returncode:
            raise SystemExit("the viewers ended early")
        found: dict[str, float] = orjson.loads(self._said)
        return found


def measure(stage: Stage, counts: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Cores of the service and what its viewers have seen, by their number."""
    found = {}
    for count in counts:
        crowd = Crowd(stage, count, seconds)
        stage.tick(_WARM_S + 2.0)
        messages, cpu_s, began_s = stage.messages(), stage.api_cpu_s(), time.monotonic()
        stage.tick(seconds - 3.0)
        took_s = time.monotonic() - began_s
        cores = (stage.api_cpu_s() - cpu_s) / took_s
        rate = (stage.messages() - messages) / took_s
        while crowd.running:
            stage.tick(0.2)
        found[str(count)] = {"cores": cores, "messages_per_s": rate, **crowd.result()}
        stage.tick(1.0)
    return found
