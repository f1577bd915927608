"""Reads prices and indicators for the screen from the store, once a second."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from consumers.measurements import Value
from consumers.stores.port import Reader, Row
from cryptostream.output import common_decimals
from cryptostream.run.proof.row_samples import RowSamples
from cryptostream.run.view import BarView, InstrumentView
from shared.errors import StoreError
from shared.intervals import INTERVAL_MS
from shared.markets import Market, exchanges_of, names_of

_PERIOD_S: Final = 1.0
_BAR_MEASUREMENTS: Final = ("kline", "kline_live")
_INDICATOR_MEASUREMENTS: Final = ("indicator", "indicator_live")
_BARS_BACK: Final = 10  # finds a symbol whose bars are later than another's
_SYMBOL_MEASUREMENTS: Final = ("trade", "quote", "book")


class PriceWatch:
    """Reads the newest prices on its own thread, so that a slow store never blocks the run.

    Attributes:
        instruments: of the last successful reading.
        problem: why the last reading failed; None if it did not.
        samples: of the rows read.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        markets: Sequence[Market],
        intervals: Sequence[str],
    ) -> None:
        self._names = names_of(markets)
        self.instruments = tuple(instrument_view(name, intervals, {}) for name in self._names.values())
        self.problem: str | None = None
        self.samples = RowSamples()
        self._open_reader = open_reader
        self._intervals = tuple(intervals)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=10.0)

    def _watch(self) -> None:
        reader: Reader | None = None
        while not self._closing.is_set():
            try:
                # Opened here: a SQLite connection belongs to its thread, and the consumers create the file.
                reader = reader or self._open_reader()
                read = self._read(reader)
                before = {view.symbol: view for view in self.instruments}
                self.instruments = tuple(with_trend(before[view.symbol], view) for view in read)
                self.problem = None
            except StoreError as error:
                self.problem = str(error)
            self._closing.wait(_PERIOD_S)
        if reader is not None:
            reader.close()

    def _read(self, reader: Reader) -> tuple[InstrumentView, ...]:
        newest: dict[Market, Newest] = {}
        for exchange in exchanges_of(self._names):
            for symbol, rows in newest_rows(reader, exchange).items():
                newest[Market(exchange, symbol)] = rows
                for (measurement, _), row in rows.items():
                    self.samples.receive(measurement, row)
        return tuple(
            instrument_view(name, self._intervals, newest.get(market, {}))
            for market, name in self._names.items()
        )


Newest = Mapping[tuple[str, str], Row]


def newest_rows(reader: Reader, exchange: str) -> dict[str, dict[tuple[str, str], Row]]:
    """The newest row of each series, by symbol and (measurement, interval or "").

    One query per measurement. InfluxDB takes seconds to find the newest of years of wide indicator rows, so
    they are read near the newest bars of their interval.
    """
    newest: defaultdict[str, dict[tuple[str, str], Row]] = defaultdict(dict)
    newest_ns: dict[str, int] = {}
    for measurement in (*_SYMBOL_MEASUREMENTS, *_BAR_MEASUREMENTS):
        for row in reader.read(measurement, {"exchange": exchange}, last=1):
            interval = str(row.get("interval") or "")
            newest[str(row["symbol"])][measurement, interval] = row
            newest_ns[interval] = max(newest_ns.get(interval, 0), _time(row))
    for interval in newest_ns.keys() & INTERVAL_MS.keys():
        tags = {"exchange": exchange, "interval": interval}
        from_ns = newest_ns[interval] - _BARS_BACK * INTERVAL_MS[interval] * 1_000_000
        for measurement in _INDICATOR_MEASUREMENTS:
            for row in reader.read(measurement, tags, from_ns=from_ns, last=1):
                newest[str(row["symbol"])][measurement, interval] = row
    return dict(newest)


def instrument_view(symbol: str, intervals: Sequence[str], newest: Newest) -> InstrumentView:
    """The view of a symbol, under the name that people see, from the newest rows of its series."""
    bars = tuple(_bar_view(interval, newest) for interval in intervals)
    trade, quote, book = (newest.get((name, ""), {}) for name in _SYMBOL_MEASUREMENTS)
    bid, ask = _number(quote.get("bid_price")), _number(quote.get("ask_price"))
    traded = _number(trade.get("price"))
    synced = book.get("synced")
    prices = [value for value in (bid, ask, traded, *(bar.close for bar in bars)) if value is not None]
    return InstrumentView(
        symbol=symbol,
        decimals=common_decimals(prices),
        last_price=traded
        if traded is not None
        else next((b.close for b in bars if b.close is not None), None),
        bid=bid,
        ask=ask,
        # Relative to the mid price, as in the `book` measurement.
        spread_bps=(ask - bid) / ((ask + bid) / 2) * 10_000 if bid and ask else None,
        synced=synced if isinstance(synced, bool) else None,
        bars=bars,
    )


def with_trend(before: InstrumentView, now: InstrumentView) -> InstrumentView:
    """The view with the direction of its price, and the decimals of all prices so far.

    An unchanged price keeps its last direction.
    """
    now = replace(now, decimals=max(before.decimals, now.decimals))
    if before.last_price is None or now.last_price is None or before.last_price == now.last_price:
        return replace(now, direction=before.direction)
    return replace(now, direction=1 if now.last_price > before.last_price else -1)


def _bar_view(interval: str, newest: Newest) -> BarView:
    kline, kline_open = _newer(newest.get(("kline", interval)), newest.get(("kline_live", interval)))
    values, values_open = _newer(
        newest.get(("indicator", interval)), newest.get(("indicator_live", interval))
    )
    return BarView(
        interval=interval,
        close=_number(kline.get("close")),
        rsi=_number(values.get("momentum_rsi")),
        macd=_number(values.get("trend_macd")),
        macd_signal=_number(values.get("trend_macd_signal")),
        atr=_number(values.get("volatility_atr")),
        open=kline_open or values_open,
    )


def _newer(closed: Row | None, live: Row | None) -> tuple[Row, bool]:
    """The newer of the rows of the last closed and the open bar, and whether it is the open bar's."""
    if live is not None and (closed is None or _time(live) > _time(closed)):
        return live, True
    return closed or {}, False


def _time(row: Row) -> int:
    return int(row["time_ns"] or 0)


def _number(value: Value | str) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
