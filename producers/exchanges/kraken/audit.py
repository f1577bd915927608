"""What Kraken has issued, as questions to REST for callers with a client of their own. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from producers.exchanges.kraken.pairs import rest_name
from producers.exchanges.rest_port import Issued, Query, best_of
from shared.errors import ExchangeUnavailable
from shared.intervals import INTERVAL_MS

_MS: Final = 1_000
_NS: Final = 1_000_000
_PAGE: Final = 1_000
_MINUTE_MS: Final = 60_000
# REST's intervals, in minutes (COINBASE_KRAKEN.md §4.2).
_MINUTES: Final = frozenset((1, 5, 15, 30, 60, 240, 1_440, 10_080))


class KrakenAudit:
    """One request for the clock, two for each symbol, one for a page of bars."""

    def reachable(self, rest_url: str) -> str:
        return f"{rest_url}/0/public/SystemStatus"

    def clock(self, rest_url: str) -> Query[int]:
        return Query(f"{rest_url}/0/public/Time", lambda body: int(_result(body)["unixtime"]) * _MS)

    def newest(self, rest_url: str, symbols: Sequence[str]) -> list[Query[list[Issued]]]:
        queries: list[Query[list[Issued]]] = []
        for symbol in symbols:
            pair = quote(rest_name(symbol))
            trades = f"{rest_url}/0/public/Trades?pair={pair}&count=1"
            book = f"{rest_url}/0/public/Depth?pair={pair}&count=1"
            queries.append(Query(trades, lambda body, symbol=symbol: [_newest(symbol, body)]))  # type: ignore[misc]
            queries.append(Query(book, lambda body, symbol=symbol: [_best(symbol, body)]))  # type: ignore[misc]
        return queries

    def trade_counts(
        self, rest_url: str, symbol: str, interval: str, first_ms: int, last_ms: int
    ) -> Query[dict[int, int]]:
        """By Kraken's own candles; of intervals that it does not have, by its trades of one page."""
        pair, step = quote(rest_name(symbol)), INTERVAL_MS[interval]
        minutes = step // _MINUTE_MS
        if minutes in _MINUTES and step % _MINUTE_MS == 0:
            # Candles after this second.
            since = first_ms // _MS - 1
            url = f"{rest_url}/0/public/OHLC?pair={pair}&interval={minutes}&since={since}"
            return Query(url, lambda body: _counted(body, first_ms, last_ms))
        url = f"{rest_url}/0/public/Trades?pair={pair}&since={first_ms * _NS - 1}"
        return Query(url, lambda body: _counted_trades(body, step, last_ms))


def _result(body: Any) -> Any:
    if body["error"]:
        raise ExchangeUnavailable(f"kraken: {str(body['error'][0])[:100]}")
    return body["result"]


def _rows(body: Any) -> Any:
    return next(rows for name, rows in _result(body).items() if name != "last")


def _newest(symbol: str, body: Any) -> Issued:
    rows = _rows(body)
    return Issued(symbol, int(rows[-1][6]) if rows else -1, None)


def _best(symbol: str, body: Any) -> Issued:
    (sides,) = _result(body).values()
    bid, ask = (sides[name][0][0] if sides[name] else None for name in ("bids", "asks"))
    return Issued(symbol, -1, best_of(bid, ask))


def _counted(body: Any, first_ms: int, last_ms: int) -> dict[int, int]:
    counts = {int(row[0]) * _MS: int(row[7]) for row in _rows(body)}
    return {open_ms: count for open_ms, count in counts.items() if first_ms <= open_ms <= last_ms}


def _counted_trades(body: Any, step: int, last_ms: int) -> dict[int, int]:
    rows = _rows(body)
    opens = [int(float(row[2]) * _MS) // step * step for row in rows]
    # The page may end within the last one.
    end_ms = opens[-1] if len(rows) >= _PAGE else last_ms + 1
    return dict(Counter(open_ms for open_ms in opens if open_ms <= last_ms and open_ms < end_ms))
