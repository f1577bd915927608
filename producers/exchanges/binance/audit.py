"""What Binance has issued, as questions to REST for callers with a client of their own. Pure.

Source: BINANCE_SPOT.md §8.2, §8.6, §8.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from producers.exchanges.rest_port import Issued, Query, best_of

# /ticker/24hr has the newest ids and best prices of 100 symbols for weight 40, of 20 symbols for 2.
_SYMBOLS_AT_ONCE: Final = 100


class BinanceAudit:
    """Weight 3 for the clock and up to 20 symbols, 41 for 100; 2 for a page of bars."""

    def reachable(self, rest_url: str) -> str:
        return f"{rest_url}/api/v3/ping"

    def clock(self, rest_url: str) -> Query[int]:
        return Query(f"{rest_url}/api/v3/time", lambda body: int(body["serverTime"]))

    def newest(self, rest_url: str, symbols: Sequence[str]) -> list[Query[list[Issued]]]:
        batches = (symbols[at : at + _SYMBOLS_AT_ONCE] for at in range(0, len(symbols), _SYMBOLS_AT_ONCE))
        return [
            Query(f"{rest_url}/api/v3/ticker/24hr?symbols={quote(_listed(batch))}", _issued)
            for batch in batches
        ]

    def trade_counts(
        self, rest_url: str, symbol: str, interval: str, first_ms: int, last_ms: int
    ) -> Query[dict[int, int]]:
        url = (
            f"{rest_url}/api/v3/klines?symbol={quote(symbol)}&interval={interval}"
            f"&startTime={first_ms}&endTime={last_ms}&limit=1000"
        )
        return Query(url, lambda rows: {int(row[0]): int(row[8]) for row in rows})


def _listed(symbols: Sequence[str]) -> str:
    return '["' + '","'.join(symbols) + '"]'


def _issued(body: Any) -> list[Issued]:
    return [
        Issued(str(row["symbol"]), int(row["lastId"]), best_of(row.get("bidPrice"), row.get("askPrice")))
        for row in body
    ]
