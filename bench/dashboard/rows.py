"""`GET /rows` beside the store's own `Reader`, in turn, on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
import orjson

from chaos.servers import Servers
from chaos.stack import RestartAlways
from consumers.measurements import KLINE, Point, Series
from consumers.stores.factory import open_reader
from consumers.stores.influxdb import InfluxStore
from cryptostream.processes.child import Command
from cryptostream.processes.server import free_port
from cryptostream.processes.supervisor import Supervisor

_TAGS: Final = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
_MINUTE_MS: Final = 60_000
_BATCH: Final = 5_000
_READY_S: Final = 60.0


def measure(servers: Servers, directory: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Rows/s of each side.

    Args:
        count: bars. rounds: of each side, after one that is not counted.
    """
    servers.fresh(("1m",))
    end_ms = time.time_ns() // 1_000_000 // _MINUTE_MS * _MINUTE_MS
    first_ms = end_ms - count * _MINUTE_MS
    settings = servers.settings(("BTCUSDC",), ("1m",))
    with closing(InfluxStore(settings)) as store:
        points = list(_bars(count, first_ms))
        for first in range(0, count, _BATCH):
            store.write(points[first : first + _BATCH])
    port = free_port()
    environment = {
        **servers.environment(),
        "SYMBOLS": "BTCUSDC",
        "INTERVALS": "1m",
        "API_PORT": str(port),
        "LOG_FORMAT": "text",
    }
    processes = Supervisor(lambda name: directory / "logs" / f"{name}.log", print, relay_warnings=False)
    processes.start("api", lambda: Command("api", [], environment), policy=RestartAlways())
    try:
        url = f"http://127.0.0.1:{port}/api/v1/rows/kline"
        with httpx.Client(timeout=60) as http, closing(open_reader(settings)) as reader:
            _until_it_answers(http, url)
            span = {"from": str(first_ms), "to": str(end_ms)}

            def read() -> int:
                found = reader.read("kline", _TAGS, from_ns=first_ms * 10**6, to_ns=end_ms * 10**6)
                return sum(1 for _ in found)

            sides: dict[str, Callable[[], int]] = {
                "Reader": read,
                "JSON": lambda: _json(http, url, span),
                "CSV": lambda: _lines(http, url, span, "text/csv") - 1,
                "NDJSON": lambda: _lines(http, url, span, "application/x-ndjson") - 2,
            }
            rates: dict[str, list[float]] = {name: [] for name in sides}
            for number in range(rounds + 1):
                for name, side in sides.items():
                    rate = _rate(side, count, name)
                    if number:
                        rates[name].append(rate)
            return rates
    finally:
        processes.kill_all()


def _bars(count: int, first_ms: int) -> Iterator[Point]:
    series = Series(KLINE, tuple(_TAGS.values()))
    for number in range(count):
        price = 61_000 + number % 997 / 100
        volume = (number % 4_999 + 1) / 1_000
        prices = (price, price + 3, price - 3, price + 1)
        volumes = (volume, volume * price, volume / 2, volume * price / 2)
        values = (*prices, *volumes, number % 997)
        yield Point(series, (first_ms + number * _MINUTE_MS) * 10**6, values)


def _rate(side: Callable[[], int], count: int, name: str) -> float:
    began_s = time.perf_counter()
    found = side()
    took_s = time.perf_counter() - began_s
    if found != count:
        raise SystemExit(f"{name}: {found:,} rows instead of {count:,}")
    return count / took_s


def _json(http: httpx.Client, url: str, span: dict[str, str]) -> int:
    """All pages; what they hold is not decoded but for its end, as the Reader's rows are not encoded."""
    found: int = 0
    asked = span
    while True:
        body: bytes = http.get(url, params={**_TAGS, **asked}).raise_for_status().content
        found += body.count(b"],[") + 1
        following: str | None = orjson.loads(b"{" + body[body.rindex(b'"next":') :])["next"]
        if following is None:
            return found
        asked = {"to": span["to"], "cursor": following}


def _lines(http: httpx.Client, url: str, span: dict[str, str], media_type: str) -> int:
    found = 0
    with http.stream("GET", url, params={**_TAGS, **span}, headers={"Accept": media_type}) as answer:
        answer.raise_for_status()
        for part in answer.iter_raw():
            found += part.count(b"\n")
    return found


def _until_it_answers(http: httpx.Client, url: str) -> None:
    give_up_s = time.monotonic() + _READY_S
    while time.monotonic() < give_up_s:
        try:
            if http.get(url, params={**_TAGS, "last": "1"}).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    raise SystemExit(f"the API does not answer after {_READY_S:.0f} s")
