"""Rows of Binance's REST answers to the messages of the contract. Pure. Source: BINANCE_SPOT.md §8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from producers.exchanges.binance.parse import EXCHANGE, close_time_ms, in_ms
from shared.errors import InvalidMessage
from shared.intervals import INTERVAL_MS
from shared.messages import DepthMessage, KlineMessage, TradeMessage, check
from shared.models import SCHEMA_VERSION

_INTERVAL_OF_MS: Final = {ms: interval for interval, ms in INTERVAL_MS.items()}


def kline_of_row(
    symbol: str, interval: str, row: Any, received_ms: int, beside: Sequence[tuple[int, int]] = ()
) -> KlineMessage:
    """A finished bar of `/api/v3/klines`: open, high, low, close, unlike the stream's order (§8.6).

    Args:
        beside: spans of time in which a recorded exchange has only bars beside the grid of their interval.

    Raises:
        InvalidMessage: the row breaks the contract.
    """
    _expect_list(row, 11, "kline row")
    open_time_ms = _time_of("open_time_ms", row[0])
    checked: KlineMessage = _backfilled(
        "kline",
        symbol,
        received_ms,
        interval=interval,
        open_time_ms=open_time_ms,
        close_time_ms=_close_time_ms(interval, open_time_ms, row[6], beside),
        open=row[1],
        high=row[2],
        low=row[3],
        close=row[4],
        base_volume=row[5],
        quote_volume=row[7],
        trade_count=row[8],
        taker_buy_base_volume=row[9],
        taker_buy_quote_volume=row[10],
        first_trade_id=None,
        last_trade_id=None,
        closed=True,
    )
    return checked


def interval_of_row(row: Any) -> str:
    """The interval of a kline row, from the times of its bar, for rows whose request is not known.

    Raises:
        InvalidMessage: its times tell none.
    """
    if type(row) is list and len(row) > 6 and type(row[0]) is int and type(row[6]) is int:
        interval = _INTERVAL_OF_MS.get(row[6] - row[0] + 1)
        if interval is not None:
            return interval
    raise InvalidMessage("kline row", row, "a bar whose close time tells its interval")


def _close_time_ms(
    interval: str, open_time_ms: int, close_time: Any, beside: Sequence[tuple[int, int]]
) -> int:
    if any(first <= open_time_ms <= last for first, last in beside):
        closing_ms = _time_of("close_time_ms", close_time)
        if open_time_ms < closing_ms < open_time_ms + INTERVAL_MS[interval]:
            return closing_ms
    return close_time_ms(interval, open_time_ms)


def trade_of_row(symbol: str, row: Any, received_ms: int) -> TradeMessage:
    """A trade of `/api/v3/historicalTrades` or `/api/v3/trades` (§8.4).

    Raises:
        InvalidMessage: the row breaks the contract.
    """
    if type(row) is not dict:
        raise InvalidMessage("trade row", row, "a JSON object")
    checked: TradeMessage = _backfilled(
        "trade",
        symbol,
        received_ms,
        trade_id=row.get("id"),
        price=row.get("price"),
        quantity=row.get("qty"),
        trade_time_ms=_time_of("trade_time_ms", row.get("time")),
        buyer_is_maker=row.get("isBuyerMaker"),
    )
    return checked


def ids_of_aggregate(row: Any) -> tuple[int, int, int]:
    """Aggregate id, first and last trade id of a row of `/api/v3/aggTrades` (§8.5).

    Raises:
        InvalidMessage: the row breaks the contract.
    """
    if type(row) is not dict:
        raise InvalidMessage("aggregate row", row, "a JSON object")
    ids = (row.get("a"), row.get("f"), row.get("l"))
    if not all(type(ident) is int for ident in ids):
        raise InvalidMessage("aggregate row", row, "an object with integers `a`, `f` and `l`")
    return ids  # type: ignore[return-value]  # checked one by one


def snapshot_of_body(symbol: str, body: Any, received_ms: int) -> DepthMessage:
    """The book of `/api/v3/depth` (§8.3).

    Raises:
        InvalidMessage: the body breaks the contract.
    """
    if type(body) is not dict:
        raise InvalidMessage("depth", body, "a JSON object")
    last_update_id = body.get("lastUpdateId")
    checked: DepthMessage = _backfilled(
        "depth",
        symbol,
        received_ms,
        kind="snapshot",
        first_update_id=last_update_id,
        final_update_id=last_update_id,
        bids=body.get("bids"),
        asks=body.get("asks"),
    )
    return checked


def _backfilled(kind: str, symbol: str, received_ms: int, /, **fields: Any) -> Any:
    """A message of REST; InvalidMessage if it breaks the contract."""
    message = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": symbol,
        "event_time_ms": None,
        "received_time_ms": received_ms,
        "source": "backfill",
        **fields,
    }
    check(kind, message)
    return message


def _time_of(name: str, value: Any) -> int:
    if type(value) is not int:
        raise InvalidMessage(name, value, "a time in ms or µs")
    return in_ms(value)


def _expect_list(row: Any, length: int, name: str) -> None:
    if type(row) is not list or len(row) < length:
        raise InvalidMessage(name, row, f"a list of at least {length} values")
