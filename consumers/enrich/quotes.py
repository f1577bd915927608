"""Best bid and ask → `quote` points, ten a second and symbol at most (DESIGN §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consumers.arrival import require_time
from consumers.enrich.port import Enriched, Record, StatelessEnricher
from consumers.ledger_events import PendingEvents
from consumers.measurements import QUOTE
from consumers.points import Point, Series
from shared.messages import QuoteMessage, decode

QUOTE_SLOT_MS: Final = 100


class QuoteEnricher(StatelessEnricher):
    """The last update of each 100 ms wins.

    Spot quotes carry no event time, so their points' identity is the time of arrival, floored: the one use
    of it (BINANCE_SPOT.md §4). A batch that ends within a slot writes it again with the next one.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

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
        return Point(
            series,
            slot * QUOTE_SLOT_MS * 1_000_000,
            (
                float(message["bid_price"]),
                float(message["bid_quantity"]),
                float(message["ask_price"]),
                float(message["ask_quantity"]),
                message["update_id"],
            ),
        )
