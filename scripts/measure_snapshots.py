"""Measures one slot of many symbols in real time: python -m scripts.measure_snapshots.

Starts a simulated exchange, waits for the next slot, takes it by the given command (default `cryptostream
snapshots run`), and prints the figures of docs/snapshots.md. Reading the weight costs weight: one every two
seconds.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.plan import slot_weight
from shared.proxies import direct

_SLOT_S = 300
_PORT = "9457"
_URL = f"http://127.0.0.1:{_PORT}"


def watch_weight(by_minute: dict[int, int], done: threading.Event) -> None:
    """Largest used weight by minute, as the exchange reports it."""
    while not done.wait(2):
        with direct().open(f"{_URL}/api/v3/time", timeout=5) as answer:
            minute = int(time.time() // 60)
            used = int(answer.headers["x-mbx-used-weight-1m"])
            by_minute[minute] = max(by_minute[minute], used)


def measure(symbols: list[str], command: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            **os.environ,
            "SNAPSHOT_SYMBOLS": ",".join(symbols),
            "SNAPSHOT_DIR": directory,
            "BINANCE_REST_URL": _URL,
        }
        slot_s = (int(time.time()) // _SLOT_S + 1) * _SLOT_S
        time.sleep(slot_s + 0.5 - time.time())
        by_minute: dict[int, int] = defaultdict(int)
        done = threading.Event()
        watcher = threading.Thread(target=watch_weight, args=(by_minute, done))
        watcher.start()
        begun_s = time.monotonic()
        code = subprocess.run(command, env=settings, stdout=subprocess.DEVNULL, check=False).returncode
        seconds = time.monotonic() - begun_s
        done.set()
        watcher.join()
        rows = SnapshotFiles(LocalLanding(Path(directory) / "parquet"), _SLOT_S * 1000).rows(slot_s * 1000)
    complete = [row for row in rows if row.status == "complete"]
    last_s = max(row.observed_time_ms for row in complete) / 1000 - slot_s
    rss_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    sys.stdout.write(
        f"{len(symbols)} symbols, exit code {code}, {len(complete)} complete: "
        f"weight {slot_weight(len(symbols)):,}, last row {last_s:.0f} s after the slot, "
        f"whole command {seconds:.0f} s, "
        f"most weight in a minute {max(by_minute.values()):,}, peak memory {rss_mb:.0f} MB\n"
    )


def main() -> None:
    symbols = [f"C{number:03d}USDT" for number in range(int(os.environ.get("SYMBOLS", "500")))]
    command = sys.argv[1:] or [sys.executable, "-m", "cryptostream.cli", "snapshots", "run"]
    exchange = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", _PORT, "--symbols", ",".join(symbols)],
        stdout=subprocess.DEVNULL,
    )
    try:
        measure(symbols, command)
    finally:
        exchange.terminate()
        exchange.wait()


if __name__ == "__main__":
    main()
