"""What Coinbase has issued, as questions to Advanced Trade for callers with a client of their own. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from producers.exchanges.coinbase.client import ADVANCED, path_of
from producers.exchanges.rest_port import Issued, Query, best_of
from producers.exchanges.rfc3339 import time_ms
from shared.errors import InvalidMessage
from shared.intervals import INTERVAL_MS

_PAGE: Final = 1_000


class CoinbaseAudit:
    """One request for the clock, one for each symbol, one for the trades of some bars."""

    def reachable(self, rest_url: str) -> str:
        return f"{rest_url}{ADVANCED}/time"

    def clock(self, rest_url: str) -> Query[int]:
        return Query(f"{rest_url}{ADVANCED}/time", lambda body: int(body["epochMillis"]))

    def newest(self, rest_url: str, symbols: Sequence[str]) -> list[Query[list[Issued]]]:
        return [
            Query(f"{_ticker(rest_url, symbol)}?limit=1", lambda body, symbol=symbol: [_issued(symbol, body)])  # type: ignore[misc]
            for symbol in symbols
        ]

    def trade_counts(
        self, rest_url: str, symbol: str, interval: str, first_ms: int, last_ms: int
    ) -> Query[dict[int, int]]:
        """By the trades themselves, of one page: Coinbase's candles do not count them."""
        step = INTERVAL_MS[interval]
        span = f"start={first_ms // 1000}&end={(last_ms + step) // 1000}"
        url = f"{_ticker(rest_url, symbol)}?limit={_PAGE}&{span}"
        return Query(url, lambda body: _counted(body, step, first_ms, last_ms))


def _ticker(rest_url: str, symbol: str) -> str:
    return f"{rest_url}{ADVANCED}/market/products/{path_of(symbol)}/ticker"


def _issued(symbol: str, body: Any) -> Issued:
    rows = body["trades"]
    newest = int(rows[0]["trade_id"]) if rows else -1
    return Issued(symbol, newest, best_of(body.get("best_bid"), body.get("best_ask")))


def _counted(body: Any, step: int, first_ms: int, last_ms: int) -> dict[int, int]:
    try:
        opens = [time_ms("time", row["time"]) // step * step for row in body["trades"]]
    except InvalidMessage as error:
        raise ValueError(str(error)) from None
    # The newest come first: a full page may end within its last bar.
    after_ms = opens[-1] if len(opens) >= _PAGE else first_ms - 1
    return dict(Counter(open_ms for open_ms in opens if after_ms < open_ms <= last_ms))
