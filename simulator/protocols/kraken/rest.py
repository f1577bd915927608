"""Kraken's public REST as a function from request to answer: errors come with status 200."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from simulator.exchange import KlineRow, Span
from simulator.protocols.instants import rfc3339_ms, trade_ns
from simulator.protocols.kraken.feed import order_type
from simulator.protocols.kraken.names import RestPair, rest_pair
from simulator.protocols.kraken.session import pair_status, system_status
from simulator.protocols.port import RestAnswer, RestRequest
from simulator.world.book import published_ms, slot_at
from simulator.world.market import Market, exact_decimals
from simulator.world.rows import kline_row, trade_rows
from simulator.world.world import World

PREFIX: Final = "/0/public/"
_PAGE: Final = 1_000
_OHLC_ROWS: Final = 720
_MOST_LEVELS: Final = 500
_NS_A_MS: Final = 1_000_000
# REST's intervals in minutes.
_INTERVALS: Final = {1: "1m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 240: "4h", 1440: "1d", 10080: "1w"}
UNKNOWN_PAIR: Final = "EQuery:Unknown asset pair"
INVALID: Final = "EGeneral:Invalid arguments"


class BadRequest(Exception):
    """The text of an error."""


@dataclass(frozen=True, slots=True)
class _Call:
    world: World
    query: Mapping[str, str]
    now_ms: int

    def market(self) -> Market:
        """The market of `pair`, by any of its names."""
        market = market_of(self.world, self.query.get("pair", ""))
        if market is None:
            raise BadRequest(UNKNOWN_PAIR)
        return market

    def whole(self, name: str, default: int | None = None) -> int | None:
        text = self.query.get(name)
        if text is None:
            return default
        try:
            return int(Decimal(text))
        except (ArithmeticError, ValueError):
            raise BadRequest(INVALID) from None


def market_of(world: World, name: str) -> Market | None:
    """The market of a pair by any of its names; None if there is none."""
    for symbol, market in world.markets.items():
        names = rest_pair(symbol)
        if name in (names.key, names.altname, names.wsname, symbol, symbol.replace("/", "")):
            return market
    return None


def answer(world: World, request: RestRequest) -> RestAnswer:
    """Answer a request of a known endpoint."""
    try:
        return ENDPOINTS[request.path](_Call(world, dict(request.query), request.now_ms))
    except BadRequest as bad:
        return RestAnswer(200, {"error": [str(bad)]})


def _result(result: Any, **shown: Any) -> RestAnswer:
    return RestAnswer(200, {"error": [], "result": result}, **shown)


def _time(call: _Call) -> RestAnswer:
    return _result({"unixtime": call.now_ms // 1000, "rfc1123": rfc3339_ms(call.now_ms, 3)})


def _system_status(call: _Call) -> RestAnswer:
    status = system_status(call.world, call.now_ms)
    return _result({"status": status, "timestamp": rfc3339_ms(call.now_ms, 0).replace(".Z", "Z")})


def _asset_pairs(call: _Call) -> RestAnswer:
    markets: Sequence[Market] = tuple(call.world.markets.values())
    if "pair" in call.query:
        chosen = [market_of(call.world, name) for name in call.query["pair"].split(",")]
        markets = [market for market in chosen if market is not None]
        if len(markets) < len(chosen):
            raise BadRequest(UNKNOWN_PAIR)
    return _result(
        {
            (names := rest_pair(market.symbol)).key: _pair_body(
                market, names, pair_status(call.world, market, call.now_ms)
            )
            for market in markets
        }
    )


def _pair_body(market: Market, names: RestPair, status: str) -> dict[str, Any]:
    decimals = market.instrument.price_decimals
    return {
        "altname": names.altname,
        "wsname": names.wsname,
        "aclass_base": "currency",
        "base": names.base,
        "aclass_quote": "currency",
        "quote": names.quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "ordermin": market.quantity(1),
        "costmin": "0.5",
        "tick_size": exact_decimals(decimals)(1),
        "status": status,
    }


def _trades(call: _Call) -> RestAnswer:
    """A page of trades later than `since` (exclusive), oldest first; without it the newest ones."""
    market, since = call.market(), call.whole("since")
    count = min(max(1, call.whole("count", _PAGE) or _PAGE), _PAGE)
    tape, shift = market.tape, market.trade_numbering.shift(call.now_ms)
    if since is None:
        first_id = tape.id_after(call.now_ms) - count
    else:
        since_ns = _as_ns(since)
        since_ms = since_ns // _NS_A_MS
        shared = trade_ns(since_ms) <= since_ns
        first_id = tape.id_after(since_ms if shared else since_ms - 1)
    trades = tape.by_id(max(first_id, shift + 1), count, call.now_ms)
    rows = trade_rows(market, trades)
    price = _rest_price(market)
    body = [
        [
            price(ticks),
            row.quantity,
            trade_ns(row.trade_time_ms) / 1e9,
            "s" if row.buyer_is_maker else "b",
            "l" if order_type(lots) == "limit" else "m",
            "",
            row.trade_id,
        ]
        for row, ticks, lots in zip(rows, trades.price_ticks.tolist(), trades.lots.tolist(), strict=True)
    ]
    last_ns = trade_ns(rows[-1].trade_time_ms) if rows else _as_ns(since or 0)
    key = rest_pair(market.symbol).key
    return _result({key: body, "last": str(last_ns)}, trades=(market.symbol, rows))


def _as_ns(since: int) -> int:
    """`since` may be seconds or nanoseconds."""
    return since if since >= 10**12 else since * 10**9


def _rest_price(market: Market) -> Callable[[int], str]:
    """Prices of trades have 5 places, or the pair's if they are more."""
    decimals = market.instrument.price_decimals
    padding = "0" * max(0, 5 - decimals)
    exact = exact_decimals(decimals)
    return lambda ticks: exact(ticks) + padding


def _ohlc(call: _Call) -> RestAnswer:
    """The newest bars, at most 720, flat ones included; the last one is running."""
    market, minutes = call.market(), call.whole("interval", 1)
    interval = _INTERVALS.get(minutes or 0)
    if interval is None:
        raise BadRequest(INVALID)
    since = call.whole("since", 0) or 0
    if call.now_ms < market.first_trade_ms:
        rows: list[KlineRow] = []
    else:
        bars = market.history.select(interval, 0, Span(None, None, _OHLC_ROWS), call.now_ms)
        rows = [kline_row(market, bar) for bar in bars if bar.open_ms > since * 1000]
    price = exact_decimals(market.instrument.price_decimals)
    body = [_bar_body(row, market, price) for row in rows]
    # The last bar that is over.
    committed = rows[-2].open_time_ms // 1000 if len(rows) > 1 else since
    key = rest_pair(market.symbol).key
    return _result({key: body, "last": committed}, klines=(market.symbol, interval, rows))


def _bar_body(row: KlineRow, market: Market, price: Callable[[int], str]) -> list[Any]:
    scale = 10**market.instrument.price_decimals
    cut = [price(int(Decimal(text) * scale)) for text in (row.open, row.high, row.low, row.close)]
    volume = Decimal(row.base_volume)
    vwap = price(int(Decimal(row.quote_volume) / volume * scale)) if volume else "0.0"
    return [row.open_time_ms // 1000, *cut, vwap, row.base_volume, row.trade_count]


def _depth(call: _Call) -> RestAnswer:
    market, count = call.market(), call.whole("count", 100)
    if count is None or not 1 <= count <= _MOST_LEVELS:
        raise BadRequest(INVALID)
    state, price = market.book.state(slot_at(call.now_ms)), _rest_price(market)
    second = published_ms(state.slot) // 1000
    sides = {
        name: [[price(ticks), market.quantity(lots), second] for ticks, lots in side.levels(count)]
        for name, side in (("asks", state.asks), ("bids", state.bids))
    }
    return _result({rest_pair(market.symbol).key: sides})


ENDPOINTS: Final[Mapping[str, Callable[[_Call], RestAnswer]]] = {
    "Time": _time,
    "SystemStatus": _system_status,
    "AssetPairs": _asset_pairs,
    "Trades": _trades,
    "OHLC": _ohlc,
    "Depth": _depth,
}
