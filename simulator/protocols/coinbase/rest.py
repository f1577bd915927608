"""Coinbase's public REST as a function from request to answer: Advanced Trade's and Exchange's paths.

Paths have a name without the product: "market/products/{id}/ticker", "products/{id}/trades".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulator.exchange import Span, TradeRow
from simulator.protocols.coinbase.feed import level_entries, status_of
from simulator.protocols.coinbase.names import alias_of, canonical
from simulator.protocols.coinbase.wire import Decimals, trimmed
from simulator.protocols.instants import ms_of, rfc3339, rfc3339_ms, trade_ns
from simulator.protocols.port import RestAnswer, RestRequest
from simulator.world.bars import Bar
from simulator.world.book import slot_at
from simulator.world.calendar import bar_open, opens_before
from simulator.world.market import Market
from simulator.world.rows import kline_row, trade_rows
from simulator.world.world import World

_ADVANCED: Final = "/api/v3/brokerage/"
_PAGE: Final = 1_000
_CANDLES: Final = 350
_EXCHANGE_CANDLES: Final = 300
_FAR_MS: Final = 10**13
_GRANULARITIES: Final = {
    "ONE_MINUTE": "1m", "FIVE_MINUTE": "5m", "FIFTEEN_MINUTE": "15m", "THIRTY_MINUTE": "30m",
    "ONE_HOUR": "1h", "TWO_HOUR": "2h", "FOUR_HOUR": "4h", "SIX_HOUR": "6h", "ONE_DAY": "1d",
}  # fmt: skip
_EXCHANGE_GRANULARITIES: Final = {60: "1m", 300: "5m", 900: "15m", 3600: "1h", 21600: "6h", 86400: "1d"}
_PRODUCT: Final = re.compile(r"(market/products|products)/([^/]+)(/[a-z]+)?")


class BadRequest(Exception):
    """The text of an error, with its status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Call:
    world: World
    product: str
    query: Mapping[str, str]
    now_ms: int
    chosen: frozenset[str] = frozenset()  # products, each in a parameter of its own; empty: all

    def market(self, name: str | None = None) -> Market:
        market = self.world.markets.get(canonical(self.product if name is None else name))
        if market is None:
            raise BadRequest("NotFound", 404)
        return market

    def whole(self, name: str, default: int | None = None) -> int | None:
        text = self.query.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise BadRequest(f"Invalid {name}")
        return int(text)

    def time_ms(self, name: str, default_ms: int) -> int:
        """A time in seconds or as RFC 3339."""
        text = self.query.get(name, "")
        if not text:
            return default_ms
        if re.fullmatch(r"[0-9]{1,11}", text):
            return int(text) * 1000
        try:
            return ms_of(text)
        except ValueError:
            raise BadRequest(f"Invalid {name}") from None


def endpoint_of(path: str) -> tuple[str, str] | None:
    """Name of an endpoint and product of a path; None if there is none."""
    name = path.removeprefix(_ADVANCED) if path.startswith(_ADVANCED) else path.removeprefix("/")
    if path.startswith(_ADVANCED) and name == "time":
        name = "brokerage/time"
    elif path.startswith(_ADVANCED) is not name.startswith("market/"):
        return None
    product = ""
    if name not in ENDPOINTS and (found := _PRODUCT.fullmatch(name)):
        product = found[2]
        name = f"{found[1]}/{{id}}{found[3] or ''}"
    return (name, product) if name in ENDPOINTS else None


def answer(world: World, request: RestRequest) -> RestAnswer:
    """Answer a request of a known endpoint."""
    chosen = frozenset(text for name, text in request.query if name == "product_ids")
    call = _Call(world, request.symbol, dict(request.query), request.now_ms, chosen)
    try:
        return ENDPOINTS[request.path](call)
    except BadRequest as bad:
        return RestAnswer(bad.status, {"error": "INVALID_ARGUMENT", "message": str(bad)})


def _brokerage_time(call: _Call) -> RestAnswer:
    seconds = call.now_ms // 1000
    iso = rfc3339_ms(seconds * 1000, 0).replace(".Z", "Z")
    return RestAnswer(200, {"iso": iso, "epochSeconds": str(seconds), "epochMillis": str(call.now_ms)})


def _time(call: _Call) -> RestAnswer:
    return RestAnswer(200, {"iso": rfc3339_ms(call.now_ms, 3), "epoch": call.now_ms / 1000})


# --- Advanced Trade ---


def _market_products(call: _Call) -> RestAnswer:
    found = [
        _product(call, market, name)
        for market in call.world.markets.values()
        for name in (market.symbol, alias_of(market.symbol))
        if name and (not call.chosen or name in call.chosen)
    ]
    return RestAnswer(200, {"products": found, "num_products": len(found)})


def _market_product(call: _Call) -> RestAnswer:
    return RestAnswer(200, _product(call, call.market(), call.product))


def _product(call: _Call, market: Market, name: str) -> dict[str, Any]:
    """A product's entry; under its alias it names the one that it is served as."""
    instrument, decimals = market.instrument, Decimals(market)
    status = status_of(market, call.world.statuses, call.now_ms)
    last = market.tape.last_before(call.now_ms + 1)
    alias = alias_of(market.symbol)
    quote = name.partition("-")[2]
    return {
        "product_id": name,
        "price": decimals.price(int(last.price_ticks[0])) if len(last) else "",
        "base_increment": decimals.quantity(1),
        "quote_increment": decimals.price(1),
        "base_min_size": decimals.quantity(1),
        "base_name": instrument.base_asset,
        "quote_name": quote,
        "is_disabled": False,
        "new": False,
        "status": status,
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": status != "online",
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": instrument.base_asset,
        "alias": market.symbol if name != market.symbol else "",
        "alias_to": [alias] if alias and name == market.symbol else [],
        "base_display_symbol": instrument.base_asset,
        "quote_display_symbol": "USD" if quote == "USDC" else quote,
        "view_only": False,
        "price_increment": decimals.price(1),
        "display_name": name,
        "product_venue": "CBE",
    }


def _market_ticker(call: _Call) -> RestAnswer:
    """The newest trades, within `start` to `end` (both inclusive) if given; newest first."""
    market, limit = call.market(), call.whole("limit", 100) or 100
    begin_ms, end_ms = call.time_ms("start", 0), min(call.time_ms("end", _FAR_MS), call.now_ms)
    rows = _newest(market, begin_ms, end_ms, min(limit, _PAGE), call.now_ms)
    trades = [
        {
            "trade_id": str(row.trade_id),
            "product_id": market.symbol,
            "price": trimmed(row.price),
            "size": trimmed(row.quantity),
            "time": rfc3339(trade_ns(row.trade_time_ms)),
            "side": _maker_side(row),
            "bid": "",
            "ask": "",
            "exchange": "coinbase",
        }
        for row in reversed(rows)
    ]
    (bid, _), (ask, _) = market.book.top(slot_at(call.now_ms))
    price = Decimals(market).price
    body = {"trades": trades, "best_bid": price(bid), "best_ask": price(ask)}
    return RestAnswer(200, body, trades=(market.symbol, rows))


def _newest(market: Market, begin_ms: int, end_ms: int, limit: int, now_ms: int) -> list[TradeRow]:
    tape, shift = market.tape, market.trade_numbering.shift(now_ms)
    first_id = max(tape.id_after(begin_ms - 1), tape.id_after(end_ms) - limit, shift + 1)
    return trade_rows(market, tape.by_id(first_id, limit, end_ms))


def _maker_side(row: TradeRow) -> str:
    return "BUY" if row.buyer_is_maker else "SELL"


def _market_candles(call: _Call) -> RestAnswer:
    """Candles that open from `start` to `end`, newest first; none for spans without trades."""
    interval = _GRANULARITIES.get(call.query.get("granularity", ""))
    if interval is None or "start" not in call.query or "end" not in call.query:
        raise BadRequest("start, end and granularity are required")
    limit = min(call.whole("limit", _CANDLES) or _CANDLES, _CANDLES)
    market = call.market()
    bars = _bars(call, market, interval, limit)
    rows = [kline_row(market, bar) for bar in bars]
    body = [
        {
            "start": str(row.open_time_ms // 1000),
            "low": trimmed(row.low),
            "high": trimmed(row.high),
            "open": trimmed(row.open),
            "close": trimmed(row.close),
            "volume": trimmed(row.base_volume),
        }
        for row in reversed(rows)
    ]
    return RestAnswer(200, {"candles": body}, klines=(market.symbol, interval, rows))


def _bars(call: _Call, market: Market, interval: str, limit: int) -> list[Bar]:
    end_ms = call.time_ms("end", call.now_ms)
    newest = opens_before(interval, bar_open(interval, end_ms), limit - 1)
    begin_ms = call.time_ms("start", newest)
    if call.now_ms < market.first_trade_ms or end_ms < begin_ms:
        return []
    span = Span(begin_ms, end_ms, limit + 1)
    bars = market.history.select(interval, 0, span, call.now_ms)
    if len(bars) > limit:
        raise BadRequest(f"number of candles requested should be less than {limit}")
    return [bar for bar in bars if bar.count]


def _product_book(call: _Call) -> RestAnswer:
    market = call.market(call.query.get("product_id", ""))
    limit = call.whole("limit", 50) or 50
    state = market.book.state(slot_at(call.now_ms))
    sides = {
        name: [
            {"price": level["price_level"], "size": level["new_quantity"]}
            for level in level_entries(market, call.now_ms, side.levels(limit), ())
        ]
        for name, side in (("bids", state.bids), ("asks", state.asks))
    }
    book = {"product_id": market.symbol, **sides, "time": rfc3339_ms(call.now_ms)}
    return RestAnswer(200, {"pricebook": book})


# --- Exchange ---


def _products(call: _Call) -> RestAnswer:
    return RestAnswer(200, [_exchange_product(call, market) for market in call.world.markets.values()])


def _exchange_product_of(call: _Call) -> RestAnswer:
    return RestAnswer(200, _exchange_product(call, call.market()))


def _exchange_product(call: _Call, market: Market) -> dict[str, Any]:
    instrument, decimals = market.instrument, Decimals(market)
    status = status_of(market, call.world.statuses, call.now_ms)
    return {
        "id": market.symbol,
        "base_currency": instrument.base_asset,
        "quote_currency": instrument.quote_asset,
        "quote_increment": decimals.price(1),
        "base_increment": decimals.quantity(1),
        "display_name": f"{instrument.base_asset}-{instrument.quote_asset}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": status,
        "status_message": "",
        "trading_disabled": status != "online",
        "auction_mode": False,
    }


def _trades(call: _Call) -> RestAnswer:
    """A page, newest first: of trades older than `after`, or newer than `before`, which are ids.

    With `before` alone these are the newest of all, as with every list of this host: not the next ones.
    """
    market, limit = call.market(), min(call.whole("limit", _PAGE) or _PAGE, _PAGE)
    tape, shift = market.tape, market.trade_numbering.shift(call.now_ms)
    after, before = call.whole("after"), call.whole("before")
    beyond = tape.id_after(call.now_ms)
    if after is not None:
        beyond = min(beyond, max(after + shift, shift + 1))
    first_id = max(beyond - limit, shift + 1, tape.first_id)
    if before is not None:
        first_id = max(first_id, before + shift + 1)
    rows = trade_rows(market, tape.by_id(first_id, max(0, beyond - first_id), call.now_ms))
    body = [
        {
            "trade_id": row.trade_id,
            "side": _maker_side(row).lower(),
            "size": row.quantity,
            "price": row.price,
            "time": rfc3339(trade_ns(row.trade_time_ms)),
        }
        for row in reversed(rows)
    ]
    headers = {"CB-BEFORE": str(rows[-1].trade_id), "CB-AFTER": str(rows[0].trade_id)} if rows else {}
    return RestAnswer(200, body, headers, trades=(market.symbol, rows))


def _candles(call: _Call) -> RestAnswer:
    """Rows [time, low, high, open, close, volume], newest first; none for spans without trades."""
    interval = _EXCHANGE_GRANULARITIES.get(call.whole("granularity", 60) or 0)
    if interval is None:
        raise BadRequest("Unsupported granularity")
    market = call.market()
    bars = _bars(call, market, interval, _EXCHANGE_CANDLES)
    rows = [kline_row(market, bar) for bar in bars]
    body = [
        [row.open_time_ms // 1000, *(float(text) for text in (row.low, row.high, row.open, row.close)),
         float(row.base_volume)]
        for row in reversed(rows)
    ]  # fmt: skip
    return RestAnswer(200, body, klines=(market.symbol, interval, rows))


ENDPOINTS: Final[Mapping[str, Callable[[_Call], RestAnswer]]] = {
    "brokerage/time": _brokerage_time,
    "market/products": _market_products,
    "market/products/{id}": _market_product,
    "market/products/{id}/ticker": _market_ticker,
    "market/products/{id}/candles": _market_candles,
    "market/product_book": _product_book,
    "time": _time,
    "products": _products,
    "products/{id}": _exchange_product_of,
    "products/{id}/trades": _trades,
    "products/{id}/candles": _candles,
}
PATHS: Final = tuple(ENDPOINTS)
