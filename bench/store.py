"""Points to InfluxDB, acknowledged: our writer, a tight loop of prepared lines, and influxdb-client as its
manual shows.

`make bench ARGS=store`. All sides write the same trades to the same server, in turn.
"""

from __future__ import annotations

import gzip
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions

from bench import report
from consumers.measurements import TRADE, Series
from consumers.measurements import Point as OurPoint
from consumers.stores.influxdb import InfluxStore
from consumers.stores.line_protocol import encode
from cryptostream.engines.influxdb import InfluxServer
from shared.arguments import Parser, whole
from shared.interpreter import freeze_gc, shorten_switch_interval
from shared.settings import Settings, load_settings

_BATCH: Final = 5_000  # what InfluxDB's manual advises for a request
_ONE_BY_ONE: Final = 500
_SERIES: Final = tuple(Series(TRADE, ("binance", symbol)) for symbol in ("BTCUSDC", "ETHUSDC"))

# Writes points; returns its duration in seconds.
Side = Callable[[Sequence[OurPoint]], float]


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON."""
    parser = Parser(prog="bench store")
    parser.add_argument("--points", type=whole, default=100_000, help="points a round (default 100,000)")
    parser.add_argument("--rounds", type=whole, default=5, help="rounds of each side, in turn (default 5)")
    asked = parser.parse_args(arguments)
    freeze_gc()  # as the consumers do
    shorten_switch_interval()
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as directory,
        InfluxServer(Path(directory) / "influx") as influx,
    ):
        rates = _measure(influx, asked.points, asked.rounds)
    limit = max(statistics.median(rates[name]) for name in ("lines made before", "… and compressed"))
    report.show(
        f"Points to InfluxDB, acknowledged ({asked.rounds} rounds in turn, median and range)",
        ["", "points/s", "of the limit"],
        [
            [name, report.spread(values), f"{statistics.median(values) / limit:.1%}"]
            for name, values in rates.items()
        ],
    )
    print(f"written: {report.write('store', {'points_per_s': rates})}")
    return 0


def _measure(influx: InfluxServer, count: int, rounds: int) -> dict[str, list[float]]:
    sides = _sides(influx)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    start_ns = time.time_ns() - (rounds + 1) * len(sides) * 3_600_000_000_000
    for number in range(rounds + 1):
        for name, side in sides.items():
            start_ns += 3_600_000_000_000  # separate hours, so that no side overwrites points
            points = list(trades(_ONE_BY_ONE if "a request each" in name else count, start_ns))
            took_s = side(points)
            if number:  # the first round warms up
                rates[name].append(len(points) / took_s)
    return rates


def trades(count: int, start_ns: int) -> Iterator[OurPoint]:
    """Trades of two symbols in turn, 30 ms apart."""
    for number in range(count):
        values = (number, 61_000 + number % 997 / 100, (number % 4_999 + 1) / 100_000, number % 2 == 0)
        yield OurPoint(_SERIES[number % 2], start_ns + number * 30_000_000 + number % 1_000_000, values)


def settings_of(influx: InfluxServer) -> Settings:
    """The settings that name this server as the store."""
    return load_settings(
        store="influxdb", influx_url=influx.url, influx_org=influx.org, influx_token=influx.token
    )


def _sides(influx: InfluxServer) -> dict[str, Side]:
    store = InfluxStore(settings_of(influx))
    client: Any = InfluxDBClient(influx.url, influx.token, org=influx.org)
    synchronous = client.write_api(write_options=SYNCHRONOUS)
    post = _LinePoster(influx)

    def ours(points: Sequence[OurPoint]) -> float:
        return _timed(lambda: store.write(points))

    def made_before(points: Sequence[OurPoint]) -> float:
        bodies = [encode(batch) for batch in _batches(points)]
        return _timed(lambda: post(bodies, compressed=False))

    def compressed_before(points: Sequence[OurPoint]) -> float:
        bodies = [gzip.compress(encode(batch), 1) for batch in _batches(points)]
        return _timed(lambda: post(bodies, compressed=True))

    def one_by_one(points: Sequence[OurPoint]) -> float:
        return _timed(lambda: [synchronous.write(bucket="ticks", record=_point(point)) for point in points])

    def listed(points: Sequence[OurPoint]) -> float:
        return _timed(
            lambda: [
                synchronous.write(bucket="ticks", record=[_point(point) for point in batch])
                for batch in _batches(points)
            ]
        )

    def batching(points: Sequence[OurPoint]) -> float:
        def work() -> None:
            options = WriteOptions(batch_size=_BATCH, flush_interval=1_000)
            with client.write_api(write_options=options) as api:
                for point in points:
                    api.write(bucket="ticks", record=_point(point))

        return _timed(work)

    return {
        "lines made before": made_before,
        "… and compressed": compressed_before,
        "CryptoStream": ours,
        "Point, synchronous, a request each": one_by_one,
        f"Point, synchronous, lists of {_BATCH:,}": listed,
        f"Point, batching API of {_BATCH:,}": batching,
    }


class _LinePoster:
    """The tight loop: minimal requests."""

    def __init__(self, influx: InfluxServer) -> None:
        self._http = urllib3.PoolManager()
        self._url = f"{influx.url}/api/v2/write?org={influx.org}&bucket=ticks&precision=ns"
        self._headers = {"Authorization": f"Token {influx.token}"}

    def __call__(self, bodies: Sequence[bytes], *, compressed: bool) -> None:
        headers = {**self._headers, "Content-Encoding": "gzip"} if compressed else self._headers
        for body in bodies:
            answer = self._http.request("POST", self._url, body=body, headers=headers)
            if answer.status != 204:
                raise SystemExit(f"InfluxDB answered {answer.status}: {answer.data[:200]!r}")


def _point(point: OurPoint) -> Any:
    """As the client's manual writes it."""
    new_point: Any = Point
    made = new_point(point.series.measurement.name)
    for tag, value in zip(point.series.measurement.tags, point.series.tags, strict=True):
        made = made.tag(tag, value)
    for column, number in zip(point.series.measurement.columns, point.values, strict=True):
        made = made.field(column.name, number)
    return made.time(point.time_ns)


def _batches(points: Sequence[OurPoint]) -> list[Sequence[OurPoint]]:
    return [points[first : first + _BATCH] for first in range(0, len(points), _BATCH)]


def _timed(work: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
