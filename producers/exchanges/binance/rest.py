"""Binance's REST interface: one client, one weight budget, bounded retries."""

from __future__ import annotations

import asyncio
import difflib
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final, TypeVar

import aiohttp

from producers.clock import AHEAD_MS
from producers.exchanges.binance import weight_budget as weights
from producers.exchanges.binance.answers import (
    Answer,
    decide,
    exchange_info,
    object_of,
    rows_of,
    served_ms,
    server_time,
    used_weight,
)
from producers.exchanges.binance.listing import listed, named, names_of
from producers.exchanges.binance.parse import TimeAhead
from producers.exchanges.binance.rows import (
    ids_of_aggregate,
    kline_of_row,
    snapshot_of_body,
    trade_of_row,
)
from producers.exchanges.binance.ticker import ticker_of_body
from producers.exchanges.binance.weight_budget import SHARE, WeightBudget
from producers.exchanges.bodies import body_of
from producers.exchanges.rest_port import SNAPSHOT_LEVELS, Beside, DayTicker, Listing, OptionalRequest, Reject
from shared.backoff import Backoff
from shared.dead_letters import as_json
from shared.errors import (
    ExchangeBlocked,
    ExchangeError,
    ExchangeRefused,
    ExchangeUnavailable,
    ExchangeUnreadable,
    InvalidMessage,
    UnknownSymbol,
)
from shared.messages import DepthMessage, KlineMessage, TradeMessage
from shared.proxies import proxy_for
from shared.shortened import quoted, shortened

Row = TypeVar("Row", KlineMessage, TradeMessage, tuple[int, int, int])

_LOG = logging.getLogger(__name__)

# The server itself gives up after 10 s (BINANCE_SPOT.md §7.2).
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, connect=5)
_ATTEMPTS: Final = 4
_AT_ONCE: Final = 4
_HISTORY_AGAIN_MS: Final = 300_000
# A clock read to the second is a second late at most; and servers of an exchange differ a little.
_DATE_PRECISION_MS: Final = 1_500
_TICKERS_AT_ONCE: Final = 20  # as many as weigh least
_NAMES_SYMBOLS: Final = frozenset(("symbol", "symbols"))
_OPTIONAL: Final[dict[OptionalRequest, int]] = {
    "book": weights.DEPTH_WEIGHT,
    "top of book": weights.SMALL_DEPTH_WEIGHT,
    "issued trades": weights.AGGREGATES_WEIGHT,
}


class BinanceRest:
    """Public endpoints as methods that return checked messages.

    Every method raises ExchangeUnavailable after some attempts, ExchangeRefused and UnknownSymbol at once.

    Args:
        history_url: host of `historicalTrades`, which the market-data host lacks (BINANCE_SPOT.md §7.1).
        exchange_ms: the exchange's clock as far as known; the budget goes by its minutes.
        reject: takes rows that break the contract: source, symbol, reason, bytes. They count as missing; an
            answer without other rows is ExchangeUnreadable.
        share: of the exchange's weight limit.

    Raises:
        SettingsError: the environment names an unusable proxy.

    Attributes:
        bounds_ms: least and greatest time that it can be, from a time that the exchange says.
        recorded_halts: by symbol, spans without bars of a recorded exchange, from exchangeInfo.
    """

    def __init__(
        self,
        rest_url: str,
        history_url: str,
        exchange_ms: Callable[[], int],
        reject: Reject,
        share: float = SHARE,
    ) -> None:
        self._rest_url = rest_url
        self._history_url = history_url
        for url in (rest_url, history_url):
            proxy_for(url)  # an unusable proxy is an error now, not at each request
        self._exchange_ms = exchange_ms
        self._reject = reject
        self.bounds_ms: Callable[[int], tuple[int, int]] = lambda said_ms: (said_ms, said_ms)
        self.budget = WeightBudget(share=share)
        self._session: aiohttp.ClientSession | None = None
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        # No requests while the exchange asks to wait: by host, since a firewall's block concerns only one.
        self._closed_until_ms: dict[str, int] = {}
        self._no_history_until_ms = 0
        self._served_ms: int | None = None  # Date of the newest answer of `rest_url`
        self._date_logged = False
        self._unlisted: set[str] = set()  # by the newest exchangeInfo
        self.recorded_halts: dict[str, tuple[tuple[int, int], ...]] = {}
        self.listed: Mapping[str, Any] = {}  # its frames need no more than they say
        self._listings: dict[str, Listing] = {}

    def listing(self, symbol: str) -> Listing | None:
        """By the newest exchangeInfo that had it."""
        return self._listings.get(symbol)

    def has_spare(self, request: OptionalRequest) -> bool:
        """Whether the budget has room for a request that may be left out."""
        return self.budget.spare(_OPTIONAL[request], self._exchange_ms())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def time_ms(self) -> int:
        """The exchange's clock; if it refuses to answer, the Date of the refusal."""
        try:
            return await self._get(self._rest_url, "time", {}, weights.TIME_WEIGHT, server_time)
        except ExchangeRefused as refusal:
            if self._served_ms is None:
                raise
            if not self._date_logged:
                self._date_logged = True
                _LOG.warning("%s; its clock is read to the second from its answers' Date", refusal)
            return self._served_ms

    async def latest_ms(self) -> int:
        """A time not before anything in earlier answers.

        By the exchange's clock, asked now: our estimate of it may be a minute old, and is used only if the
        exchange does not answer.
        """
        try:
            said_ms = await self.time_ms()
        except (ExchangeRefused, ExchangeUnavailable):
            said_ms = self._exchange_ms()
        return self.bounds_ms(said_ms)[1] + _DATE_PRECISION_MS

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Status of each symbol (BINANCE_SPOT.md §10).

        Raises:
            UnknownSymbol: with the unknown symbols and similar names.
        """
        found = await self.listed_statuses(symbols)
        unknown = [symbol for symbol in symbols if symbol not in found]
        if unknown:
            names = await self._names()
            raise UnknownSymbol("; ".join(_explain_unknown(symbol, names) for symbol in unknown))
        return found

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Status of those symbols that are listed."""
        # Unlisted symbols are asked for by themselves: one makes the exchange refuse the request.
        unlisted = [symbol for symbol in symbols if symbol in self._unlisted]
        found = await listed([symbol for symbol in symbols if symbol not in self._unlisted], self._statuses)
        found |= await listed(unlisted, self._statuses)
        self._unlisted = (self._unlisted | set(symbols)) - found.keys()
        return {symbol: found[symbol] for symbol in symbols if symbol in found}

    async def _names(self) -> list[str]:
        """All symbols; none if the exchange does not say."""
        try:
            weight = weights.ALL_PRICES_WEIGHT
            return names_of(await self._get(self._rest_url, "ticker/price", {}, weight, rows_of))
        except ExchangeError:
            return []  # they only serve a hint

    async def klines(
        self, symbol: str, interval: str, first: int, last: int, received_ms: int
    ) -> list[KlineMessage]:
        """Finished bars with open times from `first` to `last`, ascending, at most one page.

        A bar is finished if it ended before the exchange's time, taken before the request (BINANCE_SPOT.md
        §9, trap 17). If that time is contradicted, a later bar in the answer proves it.
        """
        server_time_ms = await self.time_ms()
        parameters = {
            "symbol": symbol,
            "interval": interval,
            "startTime": str(first),
            "endTime": str(last),
            "limit": "1000",
        }
        rows = await self._get(self._rest_url, "klines", parameters, weights.KLINES_WEIGHT, rows_of)
        beside = self.recorded_halts.get(symbol, ())
        klines = self._checked(
            "klines", symbol, rows, lambda row: kline_of_row(symbol, interval, row, received_ms, beside)
        )
        newest_ms = max((kline["open_time_ms"] for kline in klines), default=0)
        least_ms, most_ms = self.bounds_ms(server_time_ms)
        finished = [
            kline
            for kline in klines
            if kline["close_time_ms"] < (most_ms if kline["open_time_ms"] < newest_ms else least_ms)
        ]
        for kline in klines:
            # One bar is usually open; a later one is invalid.
            if kline["open_time_ms"] > most_ms + AHEAD_MS:
                error = TimeAhead("open_time_ms", kline["open_time_ms"], most_ms + AHEAD_MS)
                self._reject("rest:klines", symbol, str(error), as_json(kline))
        return finished

    async def trades(
        self, symbol: str, first: int, last: int, received_ms: int
    ) -> tuple[list[TradeMessage], int]:
        """Trades with ids from `first` to `last`, at most one page; and the lowest available id.

        While `historicalTrades` is refused, only the newest 1,000 are available: then the second value is the
        lowest of them, otherwise 0. Older ones are requested again nevertheless: a missing path, a missing
        key or a firewall may be fixed.
        """
        newest: list[TradeMessage] | None = None
        if self._exchange_ms() < self._no_history_until_ms:
            newest = await self.newest_trades(symbol, 1_000, received_ms)
            if _lowest(newest) <= first or self._closed_ms(self._history_url) > 0:
                return newest, _lowest(newest)
        parameters = {"symbol": symbol, "fromId": str(first), "limit": str(min(1_000, last - first + 1))}
        try:
            rows = await self._get(
                self._history_url, "historicalTrades", parameters, weights.TRADES_WEIGHT, rows_of
            )
            return await self._trades_of(symbol, rows, received_ms), 0
        except (ExchangeRefused, ExchangeBlocked) as refusal:
            self._no_history_until_ms = self._exchange_ms() + _HISTORY_AGAIN_MS
            if newest is None:
                _LOG.warning("%s; for some minutes the newest 1,000 trades are asked for first", refusal)
                newest = await self.newest_trades(symbol, 1_000, received_ms)
        return newest, _lowest(newest)

    async def trades_beside(
        self,
        symbol: str,
        first: int,
        last: int,
        received_ms: int,  # noqa: ARG002 - a refusal needs less
        beside: Beside,  # noqa: ARG002
    ) -> list[TradeMessage]:
        raise ExchangeRefused(f"trades {first} to {last} of {symbol}: Binance gives them by their ids")

    async def trades_from(
        self,
        symbol: str,
        begin_ms: int,
        received_ms: Callable[[], int],  # noqa: ARG002
    ) -> AsyncIterator[list[TradeMessage]]:
        raise ExchangeRefused(f"trades of {symbol} since {begin_ms}: Binance has bars of its own")
        yield []  # what makes it an iterator

    async def newest_trades(self, symbol: str, limit: int, received_ms: int) -> list[TradeMessage]:
        """The newest trades, ascending, at most 1,000."""
        parameters = {"symbol": symbol, "limit": str(limit)}
        rows = await self._get(self._rest_url, "trades", parameters, weights.TRADES_WEIGHT, rows_of)
        return await self._trades_of(symbol, rows, received_ms)

    async def newest_trade(self, symbol: str, received_ms: int) -> TradeMessage | None:
        """REST's newest trade, by time; None if it has none. Weighs as much as 1,000 trades."""
        rows = await self.newest_trades(symbol, 1, received_ms)
        return max(rows, key=lambda trade: (trade["trade_time_ms"], trade["trade_id"]), default=None)

    async def issued_trades(
        self, symbol: str, begin_ms: int, end_ms: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Ranges of trade ids in aggTrades between these times, and ranges that were never issued.

        Neighbouring aggregates whose trade ids do not join prove that none was issued in between
        (BINANCE_SPOT.md §4.3, §5 law 1). One page: the proof ends with it.
        """
        parameters = {"symbol": symbol, "startTime": str(begin_ms), "endTime": str(end_ms), "limit": "1000"}
        rows = await self._get(self._rest_url, "aggTrades", parameters, weights.AGGREGATES_WEIGHT, rows_of)
        # Invalidated duplicates carry no ids (§4.3).
        named = [ids for ids in self._checked("aggTrades", symbol, rows, ids_of_aggregate) if ids[1] >= 0]
        never = [
            (before[2] + 1, after[1] - 1)
            for before, after in pairwise(named)
            if after[0] == before[0] + 1 and after[1] > before[2] + 1
        ]
        return [(first, last) for _, first, last in named if first <= last], never

    async def newest_trade_id(self, symbol: str) -> int | None:
        """Id of the newest trade, at a tenth of the trade's weight; None: there is none."""
        parameters = {"symbol": symbol, "type": "MINI"}
        try:
            body = await self._get(
                self._rest_url, "ticker/24hr", parameters, weights.DAY_TICKER_WEIGHT, object_of
            )
        except ExchangeRefused:
            newest = await self.newest_trades(symbol, 1, self._exchange_ms())
            return newest[-1]["trade_id"] if newest else None
        newest_id = body.get("lastId")
        if type(newest_id) is not int:
            raise ExchangeUnreadable(f"ticker/24hr of {symbol}: lastId is {quoted(newest_id)}, no trade id")
        return newest_id if newest_id >= 0 else None

    async def newest_trade_ids(self, symbols: Sequence[str]) -> dict[str, int]:
        """Id of the newest trade of each symbol that has one, at weight 2 for 20 symbols."""
        found: dict[str, int] = {}
        for at in range(0, len(symbols), _TICKERS_AT_ONCE):
            parameters = {**named(symbols[at : at + _TICKERS_AT_ONCE]), "type": "MINI"}
            rows = await self._get(
                self._rest_url, "ticker/24hr", parameters, weights.DAY_TICKER_WEIGHT, rows_of
            )
            for row in rows:
                if type(row) is not dict or type(row.get("lastId")) is not int:
                    raise ExchangeUnreadable(f"ticker/24hr: {quoted(row)} has no trade id")
                if row["lastId"] >= 0 and row.get("symbol") in symbols:
                    found[row["symbol"]] = row["lastId"]
        return found

    async def first_trade(self, symbol: str, begin_ms: int, end_ms: int) -> int | None:
        """Id of the first trade between these times, or of one aggregated with it; None: none yet."""
        issued, _ = await self.issued_trades(symbol, begin_ms, end_ms)
        return issued[0][0] if issued else None

    async def day_ticker(self, symbol: str) -> DayTicker:
        """Statistics of the last 24 hours."""
        body = await self._get(
            self._rest_url, "ticker/24hr", {"symbol": symbol}, weights.DAY_TICKER_WEIGHT, object_of
        )
        try:
            return ticker_of_body(symbol, body)
        except InvalidMessage as error:
            self._reject("rest:ticker/24hr", symbol, str(error), as_json(body))
            raise ExchangeUnreadable(f"ticker/24hr of {symbol}: {error}") from None

    async def depth(
        self, symbol: str, received_ms: Callable[[], int], levels: int = SNAPSHOT_LEVELS
    ) -> DepthMessage:
        """A snapshot of the order book with `levels` a side, at most 1,000."""
        parameters = {"symbol": symbol, "limit": str(levels)}
        weight = weights.SMALL_DEPTH_WEIGHT if levels <= weights.SMALL_DEPTH else weights.DEPTH_WEIGHT
        body = await self._get(self._rest_url, "depth", parameters, weight, object_of)
        try:
            return snapshot_of_body(symbol, body, received_ms())
        except InvalidMessage as error:
            self._reject("rest:depth", symbol, str(error), as_json(body))
            raise ExchangeUnreadable(f"depth of {symbol}: {error}") from None

    async def _trades_of(self, symbol: str, rows: list[Any], received_ms: int) -> list[TradeMessage]:
        latest_ms = self._exchange_ms() + AHEAD_MS

        def read(row: Any) -> TradeMessage:
            trade = trade_of_row(symbol, row, received_ms)
            if trade["trade_time_ms"] > latest_ms:
                raise TimeAhead("trade_time_ms", trade["trade_time_ms"], latest_ms)
            return trade

        if any(_is_ahead(row, latest_ms) for row in rows):
            # Our estimate of the exchange's clock may be old: ask, if the exchange answers that.
            with suppress(ExchangeRefused):
                latest_ms = await self.time_ms() + AHEAD_MS
        return self._checked("trades", symbol, rows, read)

    def _checked(self, path: str, symbol: str, rows: list[Any], read: Callable[[Any], Row]) -> list[Row]:
        checked: list[Row] = []
        for row in rows:
            try:
                checked.append(read(row))
            except InvalidMessage as error:
                self._reject(f"rest:{path}", symbol, str(error), as_json(row))
        if rows and not checked:
            # Unreadable rows must not count as an answer without rows.
            raise ExchangeUnreadable(f"{path} of {symbol}: none of {len(rows)} rows can be read")
        return checked

    async def _statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        info = await self._get(
            self._rest_url, "exchangeInfo", named(symbols), weights.EXCHANGE_INFO_WEIGHT, exchange_info
        )
        if info.weight_limit:
            self.budget.set_limit(info.weight_limit)
        self.recorded_halts |= info.recorded_halts
        self._listings |= info.listings
        return info.statuses

    async def _get(
        self, base: str, path: str, parameters: dict[str, str], weight: int, read: Callable[[Any], Answer]
    ) -> Answer:
        backoff = Backoff(random.random, first_s=0.5, cap_s=8.0)
        while True:
            try:
                return await self._get_once(base, path, parameters, weight, read)
            except ExchangeUnavailable as error:
                if backoff.failures + 1 >= _ATTEMPTS or error.retry_after:
                    raise
                await asyncio.sleep(backoff.failed())

    async def _get_once(
        self, base: str, path: str, parameters: dict[str, str], weight: int, read: Callable[[Any], Answer]
    ) -> Answer:
        request = f"GET {base}/api/v3/{path}"
        async with self._at_once:
            await self._await_budget(base, weight, request)
            self.budget.started(weight, self._exchange_ms())
            used: int | None = None
            try:
                status, headers, body = await self._send(f"{base}/api/v3/{path}", parameters)
                used = used_weight(headers)
                if base == self._rest_url:
                    self._served_ms = served_ms(headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = shortened(error) or type(error).__name__
                raise ExchangeUnavailable(f"{request}: no answer ({reason})") from None
            finally:
                self.budget.finished(weight, self._exchange_ms(), used)
        try:
            return decide(status, headers, body, request, read)
        except UnknownSymbol:
            if parameters.keys() & _NAMES_SYMBOLS:
                raise
            raise ExchangeRefused(
                f"{request}: refused ({status}, for a symbol, and none was named)"
            ) from None
        except ExchangeUnavailable as error:
            if error.retry_after:
                until_ms = self._exchange_ms() + int(error.retry_after * 1000)
                hosts = {base} if isinstance(error, ExchangeBlocked) else {self._rest_url, self._history_url}
                self._closed_until_ms.update(dict.fromkeys(hosts, until_ms))
            raise

    async def _await_budget(self, base: str, weight: int, request: str) -> None:
        closed_ms = self._closed_ms(base)
        if closed_ms > 0:
            raise ExchangeUnavailable(f"{request}: the exchange asked to wait", closed_ms / 1000)
        wait_ms = self.budget.wait_ms(weight, self._exchange_ms())
        if wait_ms:
            # Spread over the first seconds of the minute: all containers wait for the same one.
            await asyncio.sleep(wait_ms / 1000 + random.random() * 2)
            await self._await_budget(base, weight, request)

    def _closed_ms(self, base: str) -> int:
        """How long no request may go to a host; 0 or less: it may."""
        return self._closed_until_ms.get(base, 0) - self._exchange_ms()

    async def _send(self, url: str, parameters: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        request = self._session.get(url, params=parameters, proxy=proxy_for(url), allow_redirects=False)
        async with request as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, await body_of(response)


def _explain_unknown(symbol: str, names: list[str]) -> str:
    near = difflib.get_close_matches(symbol, names, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else "see its exchangeInfo for those it has"
    return f'SYMBOLS: "{symbol}" is not traded on Binance; {hint}'


def _is_ahead(row: Any, latest_ms: int) -> bool:
    """Whether a row's time, in ms or µs, may lie beyond the exchange's clock."""
    time = row.get("time") if type(row) is dict else None
    return type(time) is int and (latest_ms < time < latest_ms * 100 or time > latest_ms * 1000)


def _lowest(trades: Sequence[TradeMessage]) -> int:
    return min((trade["trade_id"] for trade in trades), default=0)
