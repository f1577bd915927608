"""REST endpoints as a function from request to answer (BINANCE_SPOT.md §7, §8); no sockets, no clocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulator.exchange import Exchange, KlineRow
from simulator.protocols.binance import tickers
from simulator.protocols.binance.exchange_info import QUERIED_STATUSES, exchange_info
from simulator.protocols.binance.rest_parameters import INVALID_SYMBOL, BadRequest, Parameters
from simulator.protocols.port import RestAnswer, RestRequest

# Units of time that a client may choose, per millisecond.
TIME_UNITS: Final[Mapping[str | None, int]] = {
    **dict.fromkeys((None, "MILLISECOND", "millisecond"), 1),
    **dict.fromkeys(("MICROSECOND", "microsecond"), 1000),
}


@dataclass(frozen=True, slots=True)
class _Call:
    """One request while it is answered; `scale` is 1, or 1000 for times in microseconds."""

    exchange: Exchange
    parameters: Parameters
    now_ms: int
    scale: int


_Weight = Callable[[Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    Attributes:
        weight: of a request with this query (BINANCE_SPOT.md §8.1).
        database: sums long history: answered outside the loop that feeds the streams.
        market_data: the market-data-only host has it too (BINANCE_SPOT.md §7.1).
    """

    answer: Callable[[_Call], RestAnswer]
    weight: _Weight
    database: bool = False
    market_data: bool = True


def answer(exchange: Exchange, request: RestRequest) -> RestAnswer:
    """Answer a request of a known path; refusals are answers, too."""
    scale = TIME_UNITS.get(request.time_unit)
    if scale is None:
        return refusal(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    parameters = Parameters(request.query, exchange.symbols)
    try:
        return ENDPOINTS[request.path].answer(_Call(exchange, parameters, request.now_ms, scale))
    except BadRequest as bad:
        return refusal(bad.code, str(bad))


def refusal(code: int, text: str, status: int = 400) -> RestAnswer:
    return RestAnswer(status, {"code": code, "msg": text})


def _ping(call: _Call) -> RestAnswer:
    call.parameters.finish()
    return RestAnswer(200, {})


def _time(call: _Call) -> RestAnswer:
    call.parameters.finish()
    return RestAnswer(200, {"serverTime": call.now_ms * call.scale})


def _exchange_info(call: _Call) -> RestAnswer:
    parameters = call.parameters
    chosen = parameters.chosen_symbols()
    permissions, status = parameters.text("permissions"), parameters.text("symbolStatus")
    parameters.text("showPermissionSets")
    parameters.finish()
    if status is not None and status not in QUERIED_STATUSES:
        raise BadRequest(-1122, "Invalid symbolStatus.")
    if chosen and (permissions or status):
        raise BadRequest(-1128, "Combination of optional parameters invalid.")
    entries = call.exchange.symbol_entries(call.now_ms)
    if chosen:
        entries = [entry for entry in entries if entry["symbol"] in chosen[0]]
    if status:
        entries = [entry for entry in entries if entry["status"] == status]
    return RestAnswer(200, exchange_info(entries, call.now_ms * call.scale))


def _depth(call: _Call) -> RestAnswer:
    symbol = call.parameters.symbol()
    limit = call.parameters.limit(100, 5000)
    call.parameters.text("symbolStatus")
    call.parameters.finish()
    depth = call.exchange.depth(symbol, limit, call.now_ms)
    if depth is None:
        return refusal(INVALID_SYMBOL[0], f"Invalid symbol: the recording holds no order book of {symbol}.")
    return RestAnswer(200, {"lastUpdateId": depth.last_update_id, "bids": depth.bids, "asks": depth.asks})


def _klines(call: _Call) -> RestAnswer:
    parameters = call.parameters
    symbol, interval = parameters.symbol(), parameters.interval()
    span, offset_ms = parameters.span(500, 1000), parameters.time_zone_ms()
    parameters.finish()
    rows = call.exchange.klines(symbol, interval, offset_ms, span, call.now_ms)
    body = [_kline_body(row, call.scale) for row in rows]
    # In another time zone the interval's bars are others.
    shown = None if offset_ms else (symbol, interval, rows)
    return RestAnswer(200, body, klines=shown)


def _kline_body(row: KlineRow, scale: int) -> list[Any]:
    body: list[Any] = [*row, "0"]
    if scale != 1:
        body[0] *= scale
        body[6] = (body[6] + 1) * scale - 1
    return body


def _trades(call: _Call) -> RestAnswer:
    symbol, limit = call.parameters.symbol(), call.parameters.limit(500, 1000)
    call.parameters.finish()
    return _trade_answer(call, symbol, None, limit)


def _historical_trades(call: _Call) -> RestAnswer:
    symbol, limit = call.parameters.symbol(), call.parameters.limit(500, 1000)
    from_id = call.parameters.integer("fromId")
    call.parameters.finish()
    return _trade_answer(call, symbol, from_id, limit)


def _trade_answer(call: _Call, symbol: str, from_id: int | None, limit: int) -> RestAnswer:
    rows = call.exchange.trades(symbol, from_id, limit, call.now_ms)
    body = [
        {
            "id": row.trade_id,
            "price": row.price,
            "qty": row.quantity,
            "quoteQty": row.quote_quantity,
            "time": row.trade_time_ms * call.scale,
            "isBuyerMaker": row.buyer_is_maker,
            "isBestMatch": True,
        }
        for row in rows
    ]
    return RestAnswer(200, body, trades=(symbol, rows))


def _agg_trades(call: _Call) -> RestAnswer:
    symbol, from_id = call.parameters.symbol(), call.parameters.integer("fromId")
    span = call.parameters.span(500, 1000)
    call.parameters.finish()
    if from_id is not None and (span.start_ms is not None or span.end_ms is not None):
        raise BadRequest(-1128, "Combination of optional parameters invalid.")
    rows = call.exchange.aggregates(symbol, from_id, span, call.now_ms)
    return RestAnswer(
        200,
        [
            {
                "a": row.aggregate_id,
                "p": row.price,
                "q": row.quantity,
                "f": row.first_trade_id,
                "l": row.last_trade_id,
                "T": row.trade_time_ms * call.scale,
                "m": row.buyer_is_maker,
                "M": True,
            }
            for row in rows
        ],
    )


def _per_symbol(make: Callable[[_Call, str], dict[str, Any] | None]) -> Callable[[_Call], RestAnswer]:
    def answer_each(call: _Call) -> RestAnswer:
        chosen = call.parameters.chosen_symbols()
        call.parameters.text("symbolStatus")
        names, single = chosen or (list(call.exchange.symbols), False)
        bodies = [body for name in names if (body := make(call, name)) is not None]
        call.parameters.finish()
        if not single:
            return RestAnswer(200, bodies)
        return RestAnswer(200, bodies[0]) if bodies else refusal(*INVALID_SYMBOL)

    return answer_each


def _price(call: _Call, symbol: str) -> dict[str, Any] | None:
    return tickers.last_price(call.exchange, symbol, call.now_ms)


def _book_ticker(call: _Call, symbol: str) -> dict[str, Any] | None:
    return tickers.best_quotes(call.exchange, symbol, call.now_ms)


def _day(call: _Call, symbol: str) -> dict[str, Any]:
    kind = call.parameters.text("type") or "FULL"
    if kind not in ("FULL", "MINI"):
        raise BadRequest(-1139, "Invalid ticker type.")
    return tickers.day(call.exchange, symbol, call.now_ms, mini=kind == "MINI", scale=call.scale)


def _average_price(call: _Call) -> RestAnswer:
    symbol = call.parameters.symbol()
    call.parameters.finish()
    return RestAnswer(200, tickers.average_price(call.exchange, symbol, call.now_ms, call.scale))


def _fixed(weight: int) -> _Weight:
    return lambda _query: weight


def _depth_weight(query: Mapping[str, str]) -> int:
    text = query.get("limit", "100")
    limit = int(text) if text.isdecimal() else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def _ticker_weight(one: int, several: int) -> _Weight:
    return lambda query: one if "symbol" in query else several


def _day_weight(query: Mapping[str, str]) -> int:
    if "symbol" in query:
        return 2
    if "symbols" not in query:
        return 80
    count = query["symbols"].count(",") + 1
    return 2 if count <= 20 else 40 if count <= 100 else 80


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "ping": Endpoint(_ping, _fixed(1)),
    "time": Endpoint(_time, _fixed(1)),
    "exchangeInfo": Endpoint(_exchange_info, _fixed(20)),
    "depth": Endpoint(_depth, _depth_weight),
    "trades": Endpoint(_trades, _fixed(25)),
    "historicalTrades": Endpoint(_historical_trades, _fixed(25), market_data=False),
    "aggTrades": Endpoint(_agg_trades, _fixed(4)),
    "klines": Endpoint(_klines, _fixed(2), database=True),
    # As on the testnet, equal to klines (BINANCE_SPOT.md §11).
    "uiKlines": Endpoint(_klines, _fixed(2), database=True),
    "avgPrice": Endpoint(_average_price, _fixed(2), database=True),
    "ticker/price": Endpoint(_per_symbol(_price), _ticker_weight(2, 4)),
    "ticker/bookTicker": Endpoint(_per_symbol(_book_ticker), _ticker_weight(2, 4)),
    "ticker/24hr": Endpoint(_per_symbol(_day), _day_weight, database=True),
}
