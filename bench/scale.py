"""What symbols cost: one consumer of five intervals with 1, 10, 100 and 500 of them, all indicators.

`make bench ARGS=scale`. Each number of symbols has a broker and a store of its own, filled beforehand. Cost
that grows no faster than the symbols is a CPU time per bar that does not rise; memory is what the process
holds at the end.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import Producer

from bench import report
from bench.bars import bar_message, walk
from bench.watch import Watch, start_consumer
from consumers.indicators.bars import Bar
from cryptostream.commands.topics import ensure_topics
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from shared.arguments import Parser, whole
from shared.intervals import INTERVAL_MS
from shared.kafka import producer_config
from shared.messages import encode
from shared.topics import klines_topic

INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
SYMBOLS: Final = (1, 10, 100, 500)
_LEAST_BARS: Final = 40  # of a series: most indicators have values then
_POINTS_A_BAR: Final = 2


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON."""
    parser = Parser(prog="bench scale")
    parser.add_argument("--messages", type=whole, default=40_000, help="least bars a run (default 40,000)")
    asked = parser.parse_args(arguments)
    runs = []
    for symbols in SYMBOLS:
        with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
            runs.append(_run(Path(name), symbols, asked.messages))
    report.show(
        "One consumer, five intervals, all indicators",
        ["symbols", "bars", "bars/s", "CPU µs/bar", "resident MB"],
        [
            [
                str(run["symbols"]),
                f"{run['bars']:,}",
                f"{run['bars_per_s']:,.0f}",
                f"{run['cpu_us']:.0f}",
                f"{run['resident_mb']:.0f}",
            ]
            for run in runs
        ],
    )
    result = {
        "runs": runs,
        "cpu_us_per_bar_and_symbol": _slope(runs, "cpu_us"),
        "mb_per_symbol": _slope(runs, "resident_mb"),
    }
    print(f"each further symbol: {result['mb_per_symbol'] * 1e3:.0f} kB resident,", end=" ")
    print(f"{result['cpu_us_per_bar_and_symbol']:+.4f} µs a bar")
    print(f"written: {report.write('scale', result)}")
    return 0


def _slope(runs: list[dict[str, Any]], figure: str) -> float:
    """By least squares, for each further symbol."""
    return statistics.linear_regression([run["symbols"] for run in runs], [run[figure] for run in runs]).slope


def _run(directory: Path, symbols: int, least: int) -> dict[str, Any]:
    bars = max(_LEAST_BARS, least // (symbols * len(INTERVALS)))
    count = bars * symbols * len(INTERVALS)
    with KafkaServer(directory / "kafka") as kafka, InfluxServer(directory / "influx") as influx:
        ensure_topics(kafka.bootstrap_servers, INTERVALS)
        _fill(kafka.bootstrap_servers, symbols, bars)
        watch = Watch(influx)
        arguments = ["--stream", "klines", "--intervals", ",".join(INTERVALS)]
        process = start_consumer(
            kafka.bootstrap_servers, influx, arguments, {"INTERVALS": ",".join(INTERVALS)}
        )
        try:
            child = psutil.Process(process.pid)
            pace = watch.wait_idle(_POINTS_A_BAR * count)
            used, resident = sum(child.cpu_times()[:2]), child.memory_info().rss
        finally:
            process.terminate()
            process.wait(20)
    return {
        "symbols": symbols,
        "bars": count,
        "bars_per_s": count / pace.seconds,
        "cpu_us": used / count * 1e6,
        "resident_mb": resident / 1e6,
    }


def _fill(bootstrap_servers: str, symbols: int, bars: int) -> None:
    """Bars of all intervals that end now, series by series in the order of time."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    now_ms = time.time_ns() // 1_000_000
    walked = walk(bars)
    for interval in INTERVALS:
        step_ms = INTERVAL_MS[interval]
        first_ms = (now_ms // step_ms - bars) * step_ms
        for number, bar in enumerate(walked):
            for symbol in range(symbols):
                _send(producer, f"COIN{symbol:03}USDC", interval, first_ms + number * step_ms, bar)
            producer.poll(0)
    producer.flush()


def _send(producer: Producer, symbol: str, interval: str, open_time_ms: int, bar: Bar) -> None:
    message = bar_message(symbol, open_time_ms, bar)
    message["interval"], message["close_time_ms"] = interval, open_time_ms + INTERVAL_MS[interval] - 1
    while True:
        try:
            producer.produce(klines_topic(interval), encode(message), f"binance:{symbol}".encode())
            return
        except BufferError:
            producer.poll(0.05)
