"""Trades of Coinbase over REST: Exchange's pages, which go by id, and Advanced Trade's, which go by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from producers.clock import AHEAD_MS
from producers.exchanges.coinbase.answers import PAGE, trades
from producers.exchanges.coinbase.client import CoinbaseClient, path_of
from producers.exchanges.coinbase.products import Product
from producers.exchanges.rest_port import Reject
from producers.trade_pages import MOST_PAGES, same_trade
from shared.dead_letters import as_json
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from shared.messages import TradeMessage

# How far before a time the trade before it is looked for, in seconds.
_STEPS_BACK_S: Final = (10, 600, 86_400)

# Rows that keep the contract, and those that do not, with the reason.
_Read = tuple[list[TradeMessage], list[tuple[Any, str]]]


class CoinbasePages:
    """Pages are ascending, and without rows that break the contract or lie beyond the exchange's clock.

    Args:
        exchange_ms, reject: see `CoinbaseRest`.

    Attributes:
        listed: products by the symbol that was asked for, as far as known.
    """

    def __init__(self, client: CoinbaseClient, exchange_ms: Callable[[], int], reject: Reject) -> None:
        self._client = client
        self._exchange_ms = exchange_ms
        self._reject = reject
        self.listed: dict[str, Product] = {}

    async def find(self, symbols: Sequence[str]) -> dict[str, Product]:
        """Those of the symbols that are listed."""
        found = await self._client.listed(symbols)
        self.listed |= found
        return found

    async def since(self, symbol: str, begin_ms: int, received_ms: int) -> list[TradeMessage]:
        """The first page of trades since a time, with one before it if there is one."""
        before = await self._newest_before(symbol, begin_ms, received_ms)
        if before is not None:
            page = await self.page(symbol, received_ms, after=before["trade_id"] + PAGE)
            return following(symbol, before, page)
        # There was none for a day: those since then are few.
        page = await self.page(symbol, received_ms)
        for _ in range(MOST_PAGES):
            if len(page) < PAGE or page[0]["trade_time_ms"] < begin_ms:
                return following(symbol, page[0], page) if page else []
            earlier = await self.page(symbol, received_ms, after=page[0]["trade_id"] + 1)
            following(symbol, page[0], earlier)
            page = earlier
        raise ExchangeRefused(f"trades of {symbol} since {begin_ms}: not reached within {MOST_PAGES} pages")

    async def _newest_before(self, symbol: str, begin_ms: int, received_ms: int) -> TradeMessage | None:
        """The newest trade before a time; None if there was none for a day."""
        end_s = begin_ms // 1000
        for back_s in _STEPS_BACK_S:
            rows = await self.ticker(symbol, received_ms, start_s=max(0, end_s - back_s), end_s=end_s)
            before = [row for row in rows if row["trade_time_ms"] < begin_ms]
            if before:
                return before[-1]
        return None

    async def prove(self, symbol: str, row: TradeMessage, received_ms: int) -> None:
        """Advanced Trade counts this trade of Exchange as Exchange does.

        Raises:
            ExchangeUnavailable: it does not, or does not have it now.
        """
        if await self.shown(symbol, row, received_ms) is None:
            raise ExchangeUnavailable(
                f"trades of {symbol}: Advanced Trade does not show trade {row['trade_id']} as Exchange does"
            )

    async def shown(self, symbol: str, row: TradeMessage, received_ms: int) -> TradeMessage | None:
        """A trade of Exchange as Advanced Trade shows it, if it is the same one there."""
        second = row["trade_time_ms"] // 1000
        rows = await self.ticker(symbol, received_ms, start_s=second, end_s=second + 1)
        return next((each for each in rows if same_trade(row, each)), None)

    async def page(self, symbol: str, received_ms: int, *, after: int | None = None) -> list[TradeMessage]:
        """A page of Exchange, ascending: the newest with ids below `after`."""
        parameters = {"limit": str(PAGE)}
        if after is not None:
            parameters["after"] = str(after)
        path = f"products/{path_of(await self.product(symbol))}/trades"
        reading = self._reading(symbol, received_ms)
        return await self._readable(symbol, await self._client.exchange(path, parameters, reading))

    async def ticker(
        self,
        symbol: str,
        received_ms: int,
        *,
        limit: int = PAGE,
        start_s: int | None = None,
        end_s: int | None = None,
    ) -> list[TradeMessage]:
        """Trades of Advanced Trade, ascending: the newest, or those between two times, both inclusive."""
        parameters = {"limit": str(limit)}
        if start_s is not None and end_s is not None:
            parameters |= {"start": str(start_s), "end": str(end_s)}
        path = f"market/products/{path_of(await self.product(symbol))}/ticker"
        reading = self._reading(symbol, received_ms)
        return await self._readable(symbol, await self._client.advanced(path, parameters, reading))

    def _reading(self, symbol: str, received_ms: int) -> Callable[[Any], _Read]:

        def read(body: Any) -> _Read:
            bad: list[tuple[Any, str]] = []
            rows = trades(symbol, body, received_ms, lambda row, reason: bad.append((row, reason)))
            return rows, bad

        return read

    async def _readable(self, symbol: str, page: _Read) -> list[TradeMessage]:
        """Without rows that break the contract or lie beyond the exchange's clock."""
        rows, bad = page
        for row, reason in bad:
            self._reject("rest:trades", symbol, reason, as_json(row))
        if bad and not rows:
            raise ExchangeUnreadable(f"trades of {symbol}: none of {len(bad)} rows can be read")
        newest_ms = max((row["trade_time_ms"] for row in rows), default=0)
        if newest_ms <= self._exchange_ms() + AHEAD_MS:
            return rows
        # Our estimate of the exchange's clock may be old.
        latest_ms = await self._client.time_ms() + AHEAD_MS
        for row in rows:
            if row["trade_time_ms"] > latest_ms:
                reason = f"trade_time_ms: {row['trade_time_ms']} is beyond the exchange's clock"
                self._reject("rest:trades", symbol, reason, as_json(row))
        return [row for row in rows if row["trade_time_ms"] <= latest_ms]

    async def product(self, symbol: str) -> str:
        """The product that is served for a symbol: `BTC-USD` for `BTC-USDC`."""
        if symbol not in self.listed:
            await self.find([symbol])
        product = self.listed.get(symbol)
        if product is None:
            raise UnknownSymbol(f"coinbase: {symbol} is not listed")
        return product.streamed_as


def following(symbol: str, known: TradeMessage, page: list[TradeMessage]) -> list[TradeMessage]:
    """The known trade of a page, and all that follow.

    Raises:
        ExchangeUnavailable: the page trails the known trade.
        ExchangeUnreadable: it contradicts it, or ids are absent, of which nobody knows whether they were
            issued. Asking again seldom helps.
    """
    rows = [row for row in page if row["trade_id"] >= known["trade_id"]]
    newest_ms = max((row["trade_time_ms"] for row in page), default=0)
    if not rows and newest_ms < known["trade_time_ms"]:
        raise ExchangeUnavailable(f"trades of {symbol}: a page ends before trade {known['trade_id']}")
    if not rows or not same_trade(rows[0], known):
        raise ExchangeUnreadable(
            f"trades of {symbol}: a page does not have trade {known['trade_id']} as it was given before"
        )
    for one, other in pairwise(rows):
        if other["trade_id"] != one["trade_id"] + 1:
            raise ExchangeUnreadable(f"trades of {symbol}: a page lacks those after {one['trade_id']}")
    return rows
