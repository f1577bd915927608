"""Top of the verified order book → `book` points (DESIGN §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Final

from consumers.arrival import require_arrived
from consumers.enrich.port import Enriched, Record, StatelessEnricher
from consumers.measurements import BOOK, Point, Series, SeriesByTags, Value
from shared.ledger import PendingEvents
from shared.messages import BookMessage, Levels, decode

# Prices and quantities have at most 40 digits (shared.models.DecimalString): sums and differences are exact.
_EXACT: Final = Context(prec=60)
_NS_PER_MS: Final = 1_000_000
_NOT_SYNCED: Final[tuple[Value, ...]] = (None,) * 8 + (False,)


class BookEnricher(StatelessEnricher):
    """Every book message is one point; while the book is not synced, `synced` is its only value.

    A store keeps a field that a second write of the same point omits: a book that lacks a value which the
    point of its millisecond has, of an empty side or of no sync, becomes a point one nanosecond later.
    """

    def __init__(self) -> None:
        self._series = SeriesByTags(BOOK)
        self._newest: dict[Series, Point] = {}

    def decode(self, topic: str, value: bytes | None) -> BookMessage:  # noqa: ARG002
        message: BookMessage = decode("book", value)
        require_arrived("event_time_ms", _time_ms(message), message)
        return message

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:  # noqa: ARG002
        return Enriched([self._point(message) for _, _, message in records], PendingEvents())

    def _point(self, message: BookMessage) -> Point:
        series = self._series[message["exchange"], message["symbol"]]
        values = book_values(message["bids"], message["asks"]) if message["synced"] else _NOT_SYNCED
        time_ns = _time_ms(message) * _NS_PER_MS
        newest = self._newest.get(series)
        if newest is not None and newest.time_ns // _NS_PER_MS * _NS_PER_MS == time_ns:
            time_ns = newest.time_ns + _lacks(values, newest.values)
        point = self._newest[series] = Point(series, time_ns, values)
        return point


def _lacks(values: tuple[Value, ...], before: tuple[Value, ...]) -> bool:
    return any(value is None and other is not None for value, other in zip(values, before, strict=True))


def book_values(bids: Levels, asks: Levels) -> tuple[Value, ...]:
    """Values of a synced book in the order of the measurement's columns.

    `imbalance` is (bid_depth − ask_depth) / (bid_depth + ask_depth), from −1 to 1, over the levels given;
    `spread_bps` is the spread in ten-thousandths of the mid price. Values that an empty side leaves undefined
    are None.
    """
    bid_depth, ask_depth = _depth(bids), _depth(asks)
    depth = _EXACT.add(bid_depth, ask_depth)
    imbalance = float((bid_depth - ask_depth) / depth) if depth else None
    bid = Decimal(bids[0][0]) if bids else None
    ask = Decimal(asks[0][0]) if asks else None
    mid = spread = spread_bps = None
    if bid is not None and ask is not None:
        exact_mid, exact_spread = _EXACT.add(bid, ask) / 2, _EXACT.subtract(ask, bid)
        mid, spread = float(exact_mid), float(exact_spread)
        spread_bps = float(exact_spread / exact_mid * 10_000) if exact_mid else None
    return (
        None if bid is None else float(bid),
        None if ask is None else float(ask),
        mid,
        spread,
        spread_bps,
        imbalance,
        float(bid_depth),
        float(ask_depth),
        True,
    )


def _depth(levels: Levels) -> Decimal:
    depth = Decimal(0)
    for _, quantity in levels:
        depth = _EXACT.add(depth, Decimal(quantity))
    return depth


def _time_ms(message: BookMessage) -> int:
    """Event time of the last diff; the time of arrival for a book without any diff yet."""
    event_time_ms = message["event_time_ms"]
    return message["received_time_ms"] if event_time_ms is None else event_time_ms
