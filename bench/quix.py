"""Kafka → the six usual indicators → InfluxDB: our consumer beside Quix Streams on the same bars.

`make bench ARGS=quix`. Quix Streams pins another confluent-kafka, so it gets its own environment in the cache
folder, made once. Each round has a new broker, without state of earlier rounds. The stored values of both are
compared.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from influxdb_client.client.influxdb_client import InfluxDBClient

from bench import report
from bench.bars import SYMBOLS, fill
from bench.indicators import SIX
from bench.processes import running
from bench.store import settings_of
from bench.watch import Watch, consumer_process
from consumers.stores.factory import open_reader
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, whole
from shared.topics import klines_topic

QUIX: Final = "quixstreams==3.28.1"
_TOLERANCE: Final = 1e-9


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON; 1 if the two do not agree."""
    parser = Parser(prog="bench quix")
    parser.add_argument("--bars", type=whole, default=15_000, help="of each of four symbols (default 15,000)")
    parser.add_argument("--rounds", type=whole, default=3, help="rounds of each side, in turn (default 3)")
    asked = parser.parse_args(arguments)
    python = _environment()
    rates: dict[str, list[float]] = {"Quix Streams 3": [], "CryptoStream": []}
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name,
        InfluxServer(Path(name) / "i") as influx,
    ):
        for number in range(asked.rounds):
            with KafkaServer(Path(name) / f"kafka{number}") as kafka:
                ensure_topics(kafka.bootstrap_servers, ("1m",))
                start_ms = fill(kafka.bootstrap_servers, asked.bars)
                count = asked.bars * len(SYMBOLS)
                state_dir = Path(name) / f"state{number}"
                rates["Quix Streams 3"].append(_quix(python, kafka, influx, count, state_dir))
                rates["CryptoStream"].append(_ours(kafka, influx, count))
        compared, different = _compare(influx, start_ms)
    base = statistics.median(rates["Quix Streams 3"])
    report.show(
        f"Bars → six indicators → InfluxDB ({asked.rounds} rounds in turn, median and range)",
        ["", "bars/s", "of Quix Streams"],
        [
            [name, report.spread(values), f"{statistics.median(values) / base:.1f}×"]
            for name, values in rates.items()
        ],
    )
    print(f"{compared:,} values compared, {different} differ by more than {_TOLERANCE:g} relative")
    result = {"bars_per_s": rates, "compared": compared, "different": different}
    print(f"written: {report.write('quix', result)}")
    return 1 if different or not compared else 0


def _environment() -> Path:
    """The Python with Quix Streams."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cryptostream"
    folder = cache / QUIX.replace("==", "-")
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {QUIX} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", QUIX, "urllib3"], check=True)
    return python


def _quix(python: Path, kafka: KafkaServer, influx: InfluxServer, count: int, state_dir: Path) -> float:
    watch = Watch(influx)
    job = Path(__file__).with_name("quix_job.py")
    place = [kafka.bootstrap_servers, klines_topic("1m"), "bench-quix"]
    command = [str(python), str(job), *place, influx.url, influx.org, influx.token, str(state_dir)]
    with running(command, {}, stderr=subprocess.DEVNULL):
        return _rate(watch, count)


def _ours(kafka: KafkaServer, influx: InfluxServer, count: int) -> float:
    watch = Watch(influx)
    arguments = ["--stream", "klines", "--intervals", "1m"]
    settings = {"INDICATORS": ",".join(SIX), "INTERVALS": "1m"}
    with consumer_process(kafka.bootstrap_servers, influx, arguments, settings):
        return _rate(watch, count)


def _rate(watch: Watch, count: int) -> float:
    """Bars per second; a bar and its indicators are two points."""
    pace = watch.wait_idle(2 * count)
    return count * pace.share / pace.seconds


def _compare(influx: InfluxServer, start_ms: int) -> tuple[int, int]:
    """Values compared, and how many differ."""
    compared = different = 0
    with closing(open_reader(settings_of(influx))) as reader:
        for symbol in SYMBOLS:
            tags = {"exchange": "binance", "symbol": symbol, "interval": "1m"}
            ours = {
                row["time_ns"]: row for row in reader.read("indicator", tags, from_ns=start_ms * 1_000_000)
            }
            for time_ns, theirs in _rows(influx, symbol, start_ms):
                mine: Mapping[str, Any] = ours.get(time_ns, {})
                for name in SIX:
                    compared += name in theirs or name in mine
                    different += not _equal(mine.get(name), theirs.get(name))
    return compared, different


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _rows(influx: InfluxServer, symbol: str, start_ms: int) -> Iterator[tuple[int, dict[str, Any]]]:
    client: Any = InfluxDBClient(influx.url, influx.token, org=influx.org, timeout=120_000)
    query = f"""
        from(bucket: "market") |> range(start: {start_ms // 1000 - 1})
          |> filter(fn: (r) => r._measurement == "quix_indicator" and r.symbol == "{symbol}")
          |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    """
    for record in client.query_api().query_stream(query):
        values = {name: value for name, value in record.values.items() if value is not None}
        yield int(record.get_time().timestamp()) * 1_000_000_000, values
    client.close()
