"""An API on a store in memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.testclient import TestClient

from api.app import Parts, build_app
from api.history import History
from api.page import Page
from api.topics import Searches
from consumers.measurements import MEASUREMENTS
from consumers.stores.port import Row
from consumers.stores.rows import row_order
from consumers.tap.series import LiveKind, live_kinds
from shared.errors import StoreError
from shared.settings import Settings

MINUTE_NS = 60 * 10**9
# A minute's begin.
T0_MS = 1_785_767_100_000
T0_NS = T0_MS * 10**6
SERIES = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
ORIGIN = "http://127.0.0.1:8000"


def bars(count: int, **tags: str) -> list[Row]:
    """Bars of successive minutes."""
    return [
        {
            "time_ns": T0_NS + number * MINUTE_NS,
            **SERIES,
            **tags,
            "open": 1.0,
            "close": 2.5,
            "trade_count": number,
        }
        for number in range(count)
    ]


def counted(
    count: int, *, lost: Mapping[int, int] | None = None, begin_ns: int = T0_NS, **tags: str
) -> list[Row]:
    """Ledger rows of successive minutes."""
    series = {**SERIES, "stream": "klines", **tags}
    return [
        {
            "time_ns": begin_ns + number * MINUTE_NS,
            **series,
            "expected": 1,
            "stored": 1 - (lost or {}).get(number, 0),
            "lost": (lost or {}).get(number, 0),
        }
        for number in range(count)
    ]


class FakeReader:
    """A `Reader` of rows in memory.

    Args:
        failure: raised by every read.
    """

    def __init__(self, stored: Mapping[str, Iterable[Row]], failure: StoreError | None = None) -> None:
        self._stored = {name: list(rows) for name, rows in stored.items()}
        self._failure = failure
        self.reads: list[dict[str, Any]] = []

    def read(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> Iterator[Row]:
        self.reads.append({"measurement": measurement, "from_ns": from_ns, "to_ns": to_ns, "last": last})
        if self._failure is not None:
            raise self._failure
        kind = MEASUREMENTS[measurement]
        found = [
            row
            for row in self._stored.get(measurement, [])
            if tags.items() <= row.items()
            and (from_ns is None or int(row["time_ns"] or 0) >= from_ns)
            and (to_ns is None or int(row["time_ns"] or 0) < to_ns)
        ]
        if last is not None:
            series: dict[Any, list[Row]] = {}
            for row in found:
                series.setdefault(tuple(row[tag] for tag in kind.tags), []).append(row)
            found = [row for rows in series.values() for row in rows[-last:]]
        yield from sorted(found, key=row_order(kind))

    def close(self) -> None:
        """Nothing is open."""


def client(
    stored: Mapping[str, Iterable[Row]] | None = None,
    *,
    failure: StoreError | None = None,
    kinds: Mapping[str, LiveKind] | None = None,
    folder: Path | None = None,
    searches: Searches | None = None,
    stream: APIRouter | None = None,
    history: History | None = None,
    base_url: str = ORIGIN,
    **settings: Any,
) -> TestClient:
    """A client of an API on these rows, as a browser on this machine."""
    parts = Parts(
        Settings.model_construct(**{"symbols": ("BTCUSDC",), "intervals": ("1m",), **settings}),
        kinds or live_kinds(("momentum_rsi",)),
        history or History(lambda: FakeReader(stored or {}, failure)),
        Page(folder),
        searches=searches,
        stream=stream,
    )
    return TestClient(build_app(parts), base_url=base_url, raise_server_exceptions=False)


def now_minute_ns() -> int:
    """The begin of the minute that runs."""
    return time.time_ns() // MINUTE_NS * MINUTE_NS
