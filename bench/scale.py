"""Cost of symbols: one consumer of five intervals with 1, 10, 100 and 500 symbols, all indicators.

`make bench ARGS=scale`. Each number of symbols has a new broker, filled beforehand, and a new store. CPU time
per bar must not rise; memory is measured at the end.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.bars import fill
from bench.processes import cpu_s, resident_bytes
from bench.watch import Watch, consumer_process
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, whole

INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
SYMBOLS: Final = (1, 10, 100, 500)
COLUMNS: Final = ("symbols", "bars", "bars/s", "CPU µs a bar", "resident MB")
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
        COLUMNS,
        [cells(run) for run in runs],
    )
    result: dict[str, Any] = {
        "runs": runs,
        "cpu_us_per_bar_and_symbol": _slope(runs, "cpu_us"),
        "mb_per_symbol": _slope(runs, "resident_mb"),
    }
    print(f"each further symbol: {result['mb_per_symbol'] * 1e3:.0f} kB resident,", end=" ")
    print(f"{result['cpu_us_per_bar_and_symbol']:+.4f} µs a bar")
    print(f"written: {report.write('scale', result)}")
    return 0


def cells(run: dict[str, Any]) -> tuple[str, ...]:
    """The row of a run, for `COLUMNS`."""
    return (
        str(run["symbols"]),
        f"{run['bars']:,}",
        f"{run['bars_per_s']:,.0f}",
        f"{run['cpu_us']:.0f}",
        f"{run['resident_mb']:.0f}",
    )


def _slope(runs: list[dict[str, Any]], figure: str) -> float:
    """Least-squares slope by symbols."""
    return statistics.linear_regression([run["symbols"] for run in runs], [run[figure] for run in runs]).slope


def _run(directory: Path, symbols: int, least: int) -> dict[str, Any]:
    bars = max(_LEAST_BARS, least // (symbols * len(INTERVALS)))
    count = bars * symbols * len(INTERVALS)
    with KafkaServer(directory / "kafka") as kafka, InfluxServer(directory / "influx") as influx:
        ensure_topics(kafka.bootstrap_servers, INTERVALS)
        names = [f"COIN{number:03}USDC" for number in range(symbols)]
        for interval in INTERVALS:
            fill(kafka.bootstrap_servers, bars, names, interval)
        watch = Watch(influx)
        arguments = ["--stream", "klines", "--intervals", ",".join(INTERVALS)]
        settings = {"INTERVALS": ",".join(INTERVALS)}
        with consumer_process(kafka.bootstrap_servers, influx, arguments, settings) as process:
            pace = watch.wait_idle(_POINTS_A_BAR * count)
            used, resident = cpu_s(process), resident_bytes(process)
    return {
        "symbols": symbols,
        "bars": count,
        "bars_per_s": count / pace.seconds,
        "cpu_us": used / count * 1e6,
        "resident_mb": resident / 1e6,
    }
