"""Best bid and ask → `quote` points, ten a second and symbol at most (DESIGN §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from consumers.arrival import require_time
from consumers.enrich.port import Enriched, Record, StatelessEnricher
from consumers.ledger_events import PendingEvents
from consumers.measurements import QUOTE, Value
from consumers.points import Point, Series
from shared.messages import QuoteMessage, decode

QUOTE_SLOT_MS: Final = 100


class _Written(NamedTuple):
    """The newest point of an instrument: the slot it arrived in, the one it has, which fields it has."""

    arrived: int
    slot: int
    fields: frozenset[int]


class QuoteEnricher(StatelessEnricher):
    """The last update of each 100 ms wins.

    Spot quotes carry no event time, so their points' identity is the time of arrival, floored: the one use
    of it (BINANCE_SPOT.md §4). A batch that ends within a slot writes it again with the next one.

    A side that nobody is on has no fields. InfluxDB keeps a field that a second writing of the same point
    leaves out: a side that empties within a slot that is written already becomes a point of the next slot.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}
        self._newest: dict[tuple[str, str], _Written] = {}

    def decode(self, topic: str, value: bytes | None) -> QuoteMessage:  # noqa: ARG002
        message: QuoteMessage = decode("quote", value)
        require_time("received_time_ms", message["received_time_ms"])
        return message

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:  # noqa: ARG002
        last: dict[tuple[str, str, int], QuoteMessage] = {}
        for _, _, message in records:
            slot = message["received_time_ms"] // QUOTE_SLOT_MS
            last[message["exchange"], message["symbol"], slot] = message
        return Enriched(
            [self._point(exchange, symbol, slot, m) for (exchange, symbol, slot), m in last.items()],
            PendingEvents(),
        )

    def _point(self, exchange: str, symbol: str, slot: int, message: QuoteMessage) -> Point:
        key = (exchange, symbol)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(QUOTE, key)
        values = (
            *_side(message["bid_price"], message["bid_quantity"]),
            *_side(message["ask_price"], message["ask_quantity"]),
            message["update_id"],
        )
        return Point(series, self._place(key, slot, values) * QUOTE_SLOT_MS * 1_000_000, values)

    def _place(self, key: tuple[str, str], slot: int, values: tuple[Value, ...]) -> int:
        """The slot that a quote's point gets."""
        fields = frozenset(place for place, value in enumerate(values) if value is not None)
        newest, place = self._newest.get(key), slot
        if newest is not None and newest.arrived <= slot <= newest.slot:
            place = newest.slot if fields >= newest.fields else newest.slot + 1
        self._newest[key] = _Written(slot, place, fields)
        return place


def _side(price: str | None, quantity: str | None) -> tuple[float | None, float | None]:
    """Price and quantity; none of a side that nobody is on, which messages used to say by zeros."""
    if price is None or quantity is None or float(price) == 0.0:
        return None, None
    return float(price), float(quantity)
