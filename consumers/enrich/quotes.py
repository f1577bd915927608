"""Best bid and ask → `quote` points, ten a second and symbol at most (DESIGN §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from consumers.arrival import require_time
from consumers.enrich.port import Enriched, Record, StatelessEnricher
from consumers.measurements import QUOTE, Point, SeriesByTags, Value
from shared.ledger import PendingEvents
from shared.messages import QuoteMessage, decode

QUOTE_PERIOD_MS: Final = 100


class _Written(NamedTuple):
    """The newest point of an instrument: the period it arrived in, its own period, its fields."""

    arrived: int
    period: int
    fields: frozenset[int]


class QuoteEnricher(StatelessEnricher):
    """The last update of each period of 100 ms wins.

    Spot quotes carry no event time: their points' identity is the floored time of arrival, the one use of it
    (BINANCE_SPOT.md §4). A period that spans two batches is written twice.

    An empty side has no fields. InfluxDB keeps a field that a second write of the same point omits: a side
    that empties within a written period becomes a point of the next period.
    """

    def __init__(self) -> None:
        self._series = SeriesByTags(QUOTE)
        self._newest: dict[tuple[str, str], _Written] = {}

    def decode(self, topic: str, value: bytes | None) -> QuoteMessage:  # noqa: ARG002
        message: QuoteMessage = decode("quote", value)
        require_time("received_time_ms", message["received_time_ms"])
        return message

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:  # noqa: ARG002
        last: dict[tuple[str, str, int], QuoteMessage] = {}
        for _, _, message in records:
            period = message["received_time_ms"] // QUOTE_PERIOD_MS
            last[message["exchange"], message["symbol"], period] = message
        return Enriched(
            [self._point(exchange, symbol, period, m) for (exchange, symbol, period), m in last.items()],
            PendingEvents(),
        )

    def _point(self, exchange: str, symbol: str, period: int, message: QuoteMessage) -> Point:
        key = (exchange, symbol)
        values = (
            *_side(message["bid_price"], message["bid_quantity"]),
            *_side(message["ask_price"], message["ask_quantity"]),
            message["update_id"],
        )
        time_ns = self._period_of_point(key, period, values) * QUOTE_PERIOD_MS * 1_000_000
        return Point(self._series[key], time_ns, values)

    def _period_of_point(self, key: tuple[str, str], arrived: int, values: tuple[Value, ...]) -> int:
        fields = frozenset(position for position, value in enumerate(values) if value is not None)
        newest, period = self._newest.get(key), arrived
        if newest is not None and newest.arrived <= arrived <= newest.period:
            period = newest.period if fields >= newest.fields else newest.period + 1
        self._newest[key] = _Written(arrived, period, fields)
        return period


def _side(price: str | None, quantity: str | None) -> tuple[float | None, float | None]:
    """Price and quantity; None for an empty side, which older messages give as zeros."""
    if price is None or quantity is None or float(price) == 0.0:
        return None, None
    return float(price), float(quantity)
